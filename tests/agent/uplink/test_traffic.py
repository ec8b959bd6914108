"""Bytes on the air: which class, which day, which month, and what a wrong or missing clock does."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.uplink.traffic import (
    CLASSES,
    KEPT_DAYS,
    KEPT_MONTHS,
    UNDATED_MONTH_S,
    Counted,
    Meter,
    Traffic,
)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def totals(traffic: Traffic, of: str = "days") -> dict[str, int]:
    counts = getattr(traffic.counted, of)
    return {key: sum(count.metered) for key, count in sorted(counts.items())}


def test_a_day_and_a_month_are_utc() -> None:
    traffic = Traffic()
    for text, nbytes in [
        ("2027-01-31T23:59:59.999", 1),
        ("2027-02-01T00:00:00", 10),
        ("2027-02-01T12:00:00", 100),
        ("2027-02-28T23:00:00", 1000),
    ]:
        traffic.add("history", nbytes, metered=True, utc_ms=at(text))
    assert totals(traffic) == {"2027-01-31": 1, "2027-02-01": 110, "2027-02-28": 1000}
    assert totals(traffic, "months") == {"2027-01": 1, "2027-02": 1110}
    assert traffic.spent() == 1110


def test_unmetered_bytes_are_counted_apart() -> None:
    traffic = Traffic()
    traffic.add("bulk", 10_000, metered=False, utc_ms=at("2027-01-31"))
    traffic.add("alarm", 3, metered=True, utc_ms=at("2027-01-31"))
    assert traffic.spent() == 3
    assert sum(traffic.this_month().unmetered) == 10_000


def test_without_a_clock_bytes_count_against_the_last_known_month() -> None:
    traffic = Traffic()
    traffic.add("live", 100, metered=True, utc_ms=at("2027-01-30"))
    traffic.add("live", 7, metered=True, utc_ms=None)
    traffic.passed(3_600, None)
    assert traffic.spent() == 107
    assert totals(traffic, "months") == {"2027-01": 100}
    # The clock is known again: all that happened today, as far as anybody knows.
    traffic.passed(1, at("2027-02-02"))
    assert totals(traffic, "months") == {"2027-01": 100, "2027-02": 7}
    assert traffic.spent() == 7


def test_where_no_clock_is_ever_known_a_month_is_31_days_of_powered_on_time() -> None:
    traffic = Traffic()
    traffic.add("live", 7, metered=True, utc_ms=None)
    traffic.passed(UNDATED_MONTH_S - 1, None)
    assert traffic.spent() == 7
    traffic.passed(1, None)
    assert traffic.spent() == 0
    assert totals(traffic, "months") == {"undated": 7}


@pytest.mark.parametrize("wrong", ["2036-11-25", "2027-02-01", "2027-01-16"])
def test_a_clock_that_was_ahead_opens_no_second_budget(wrong: str) -> None:
    """Once it is right again, what it put into the future happened today."""
    traffic = Traffic()
    traffic.add("live", 100, metered=True, utc_ms=at("2027-01-15"))
    traffic.add("live", 50, metered=True, utc_ms=at(wrong))
    traffic.add("live", 1, metered=True, utc_ms=at("2027-01-15T01:00"))
    assert totals(traffic) == {"2027-01-15": 151}
    assert totals(traffic, "months") == {"2027-01": 151}
    assert traffic.spent() == 151


@pytest.mark.parametrize(
    ("moments", "since"),
    [
        (["2027-01-25T10:00", "2027-01-26T12:00"], "2027-01-25T10:00"),
        (["2027-01-25T10:00", "2027-02-01T05:00", "2027-02-09"], "2027-02-01T05:00"),
        (["2027-01-25T10:00", "2036-11-25", "2027-01-26"], "2027-01-25"),  # was ahead
        (["2027-02-01T10:00", "2027-01-26T07:00"], "2027-01-26T07:00"),  # was ahead from the start
        (["2027-01-25T10:00", None, "2027-01-26"], "2027-01-25T10:00"),
        ([None, "2027-01-25T10:00"], "2027-01-25T09:00"),  # powered on for an hour before
        ([None, "2027-02-01T00:20"], "2027-02-01"),
    ],
)
def test_since_when_a_month_is_counted(moments: list[str | None], since: str) -> None:
    traffic = Traffic()
    for moment in moments:
        traffic.passed(3_600, at(moment) if moment else None)
        traffic.add("live", 1, metered=True, utc_ms=at(moment) if moment else None)
    assert traffic.counted.since_ms == at(since)


def test_an_earlier_version_wrote_no_beginning() -> None:
    traffic = Traffic()
    for day in ("2027-01-20T10:00", "2027-01-22T10:00"):
        traffic.add("live", 1, metered=True, utc_ms=at(day))
    older = msgspec.msgpack.decode(msgspec.msgpack.encode(traffic.counted))[:-1]
    again = Traffic(msgspec.convert(older, Counted))
    assert again.counted.since_ms == 0 and again.spent() == 2
    again.passed(1, at("2027-01-23"))
    assert again.counted.since_ms == at("2027-01-20")


def test_old_days_and_months_are_forgotten() -> None:
    traffic = Traffic()
    for day in range(800):
        traffic.add("live", 1, metered=True, utc_ms=at("2027-01-01") + day * 86_400_000)
    assert len(traffic.counted.days) <= KEPT_DAYS + 1
    assert len(traffic.counted.months) <= KEPT_MONTHS + 1


def test_what_an_earlier_life_owed_counts_as_sent() -> None:
    counted = Traffic().counted
    counted.owed = 500
    traffic = Traffic(counted)
    assert traffic.spent() == 500 and traffic.counted.owed == 0


MOMENTS = st.one_of(
    st.none(), st.integers(at("2026-11-01"), at("2027-03-01")), st.just(at("2036-01-01"))
)


@given(st.lists(st.tuples(st.sampled_from(CLASSES), st.integers(0, 10**9), st.booleans(), MOMENTS)))
def test_no_byte_is_lost_or_invented(counts: list[tuple[str, int, bool, int | None]]) -> None:
    traffic = Traffic()
    for storage_class, nbytes, metered, utc_ms in counts:
        traffic.add(storage_class, nbytes, metered=metered, utc_ms=utc_ms)
    kept = [*traffic.counted.months.values(), traffic.counted.undated]
    for i, storage_class in enumerate(CLASSES):
        assert sum(day.metered[i] for day in kept) == sum(
            n for c, n, metered, _ in counts if metered and c == storage_class
        )
        assert sum(day.unmetered[i] for day in kept) == sum(
            n for c, n, metered, _ in counts if not metered and c == storage_class
        )


def test_bytes_on_the_wire_belong_to_messages_in_their_order_then_to_overhead() -> None:
    meter = Meter()
    meter.handed("history", 100)
    meter.handed("alarm", 10)
    assert meter.seen(60) == {"alarm": 0, "live": 0, "history": 60, "bulk": 0, "overhead": 0}
    assert meter.owed == 50
    assert meter.seen(70) == {"alarm": 10, "live": 0, "history": 40, "bulk": 0, "overhead": 20}
    meter.handed("bulk", 1_000)
    meter.ended()
    assert meter.seen(5)["overhead"] == 5


@given(
    st.lists(
        st.one_of(
            st.integers(0, 1000), st.tuples(st.sampled_from(CLASSES[:4]), st.integers(1, 1000))
        )
    )
)
def test_what_was_seen_is_what_is_counted(steps: list[int | tuple[str, int]]) -> None:
    meter = Meter()
    handed = counted = 0
    for step in steps:
        if isinstance(step, tuple):
            meter.handed(*step)
            handed += step[1]
        else:
            found = meter.seen(step)
            assert sum(found.values()) == step
            counted += sum(found.values()) - found["overhead"]
    assert counted + meter.owed == handed
