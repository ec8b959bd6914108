"""When the table of UTC offsets gets a row, and which."""

from __future__ import annotations

import pytest

from agent.clock import BUILD_UTC_MS, HORIZON_MS, OffsetRow, OffsetSource, utc_ms
from agent.processors.clock import UTC_PATH, VEHICLE_PATH, ClockTable
from agent.record import Record, Scalar

BOOT, OTHER = "b" * 32, "a" * 32
UTC = BUILD_UTC_MS + 86_400_000
RTC = OffsetRow(BOOT, 0, UTC + 5_000_000, OffsetSource.RTC)
NTP = OffsetRow(BOOT, 0, UTC, OffsetSource.NTP)
NONE = OffsetRow(BOOT, 0, 0, OffsetSource.NONE)
GNSS = OffsetRow(BOOT, 0, UTC, OffsetSource.GNSS)


def fix(at_ms: int, offset_ms: int = UTC) -> Record:
    return Record("gnss", at_ms, {UTC_PATH: at_ms + offset_ms, "Vehicle.Speed": 1.0})


def rows_after(start: list[OffsetRow], stated: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """(from, offset) of the rows that were added."""
    table = ClockTable(BOOT, start)
    for at_ms, offset_ms in stated:
        record = fix(at_ms, offset_ms)
        assert table.step(record) == (record,)
    assert list(table.rows[: len(start)]) == start
    added = table.rows[len(start) :]
    assert all(row.boot == BOOT and row.source is OffsetSource.GNSS for row in added)
    return [(row.from_boottime_ms, row.utc_offset_ms) for row in added]


FAR = UTC + 60_000


@pytest.mark.parametrize(
    ("start", "stated", "added"),
    [
        ([], [(1000, UTC)], []),
        ([], [(1000, UTC), (2000, UTC)], [(2000, UTC)]),
        ([NONE], [(1000, UTC), (2000, UTC + 30)], [(2000, UTC + 30)]),
        ([RTC], [(1000, UTC), (2000, UTC)], [(2000, UTC)]),
        # GNSS beats NTP even where both agree
        ([NTP], [(1000, UTC), (2000, UTC)], [(2000, UTC)]),
        # the same within 100 ms is no move
        ([GNSS], [(1000, UTC), (2000, UTC + 100), (3000, UTC - 100), (4000, UTC + 100)], []),
        ([GNSS], [(1000, UTC + 101), (2000, UTC + 101)], [(2000, UTC + 101)]),
        # one outlier is ignored, also again and again; two that disagree confirm nothing
        ([GNSS], [(1000, FAR), (2000, UTC), (3000, FAR), (4000, UTC)], []),
        ([GNSS], [(1000, FAR), (2000, FAR + 5_000), (3000, UTC)], []),
        ([GNSS], [(1000, FAR), (2000, FAR + 5_000), (3000, FAR + 5_000)], [(3000, FAR + 5_000)]),
        ([], [(1000, FAR), (2000, UTC), (3000, UTC)], [(3000, UTC)]),
        # there and back again
        ([GNSS], [(1, FAR), (2, FAR), (3, UTC), (4, UTC)], [(2, FAR), (4, UTC)]),
        # another boot's rows say nothing about this one
        ([OffsetRow(OTHER, 0, UTC, OffsetSource.GNSS)], [(1, UTC), (2, UTC)], [(2, UTC)]),
    ],
)
def test_rows(
    start: list[OffsetRow], stated: list[tuple[int, int]], added: list[tuple[int, int]]
) -> None:
    assert rows_after(start, stated) == added


@pytest.mark.parametrize(
    "value",
    [
        0,
        BUILD_UTC_MS - 1,
        BUILD_UTC_MS - 1024 * 7 * 86_400_000,  # a week rollover
        BUILD_UTC_MS + HORIZON_MS + 1,
        float(UTC),
        True,
        "2026-11-23T00:00:00Z",
    ],
)
def test_what_cannot_be_is_not_believed(value: Scalar) -> None:
    table = ClockTable(BOOT, [NONE])
    for at_ms in (1000, 2000, 3000):
        table.step(Record("gnss", at_ms, {UTC_PATH: value}))
    assert table.rows == (NONE,)


def test_unbelievable_time_between_two_good_ones_changes_nothing() -> None:
    table = ClockTable(BOOT, [NONE])
    table.step(fix(1000))
    table.step(Record("gnss", 1500, {UTC_PATH: 0}))
    table.step(fix(2000))
    assert table.rows[1:] == (OffsetRow(BOOT, 2000, UTC, OffsetSource.GNSS),)


def test_rows_are_a_new_object_only_where_they_changed() -> None:
    table = ClockTable(BOOT, [NONE])
    before = table.rows
    table.step(fix(1000))
    table.step(Record("fms", 1500, {"Vehicle.Speed": 3.0}))
    assert table.rows is before
    table.step(fix(2000))
    assert table.rows is not before


def test_a_late_fix_dates_what_was_before_it() -> None:
    table = ClockTable(BOOT, [RTC])
    for at_ms in (60_000, 61_000):
        table.step(fix(at_ms))
    assert utc_ms(table.rows, BOOT, 1_000) == UTC + 1_000
    assert utc_ms(table.rows, OTHER, 1_000) is None


VEHICLE = OffsetRow(BOOT, 0, UTC, OffsetSource.VEHICLE)


def cluster(at_ms: int, offset_ms: int, source: str = "fms") -> Record:
    return Record(source, at_ms, {VEHICLE_PATH: at_ms + offset_ms})


@pytest.mark.parametrize(
    ("start", "stated", "added", "followed"),
    [
        # runs on evenly for 10 s, then it is believed, above the RTC and nothing
        ([NONE], [(0, UTC), (9_000, UTC)], [], "none"),
        ([NONE], [(0, UTC), (10_000, UTC + 250)], [(10_000, UTC + 250)], "fms"),
        ([RTC], [(0, UTC), (10_000, UTC)], [(10_000, UTC)], "fms"),
        # never above NTP or a fix
        ([NTP], [(0, FAR), (10_000, FAR), (20_000, FAR)], [], "system:ntp"),
        ([GNSS], [(0, FAR), (10_000, FAR), (20_000, FAR)], [], "stored:gnss"),
        # quarters of a second are no move; hands that set it are, and must be confirmed as well
        ([VEHICLE], [(0, UTC + 1_900), (10_000, UTC - 1_900)], [], "fms"),
        ([VEHICLE], [(0, FAR), (5_000, FAR), (9_000, UTC), (15_000, FAR)], [], "fms"),
        ([VEHICLE], [(0, FAR), (5_000, FAR), (10_000, FAR)], [(10_000, FAR)], "fms"),
        # a cluster of 2001 is no clock
        ([NONE], [(0, UTC - 25 * 365 * 86_400_000), (10_000, 0)], [], "none"),
    ],
)
def test_the_clock_of_the_vehicle(
    start: list[OffsetRow],
    stated: list[tuple[int, int]],
    added: list[tuple[int, int]],
    followed: str,
) -> None:
    table = ClockTable(BOOT, start)
    for at_ms, offset_ms in stated:
        table.step(cluster(at_ms, offset_ms))
    news = table.rows[len(start) :]
    assert [(row.from_boottime_ms, row.utc_offset_ms) for row in news] == added
    assert {row.source for row in news} <= {OffsetSource.VEHICLE}
    assert table.followed == (f"fms:{VEHICLE_PATH}" if followed == "fms" else followed)


def test_a_fix_takes_over_from_the_clock_of_the_vehicle() -> None:
    table = ClockTable(BOOT, [NONE])
    for at_ms in (0, 10_000):
        table.step(cluster(at_ms, FAR))
    for at_ms in (11_000, 12_000):
        table.step(fix(at_ms))
    for at_ms in range(13_000, 40_000, 1_000):
        table.step(cluster(at_ms, FAR))
    assert [row.source for row in table.rows[1:]] == [OffsetSource.VEHICLE, OffsetSource.GNSS]
    assert (table.followed, table.changed_ms) == (f"gnss:{UTC_PATH}", 12_000)
    assert utc_ms(table.rows, BOOT, 5_000) == UTC + 5_000


def test_of_two_receivers_the_better_one_decides_while_it_speaks() -> None:
    order = [f"roof:{UTC_PATH}", f"*:{UTC_PATH}"]
    table = ClockTable(BOOT, [NONE], order)
    for at_ms in range(0, 5_000, 1_000):
        table.step(Record("desk", at_ms, {UTC_PATH: at_ms + FAR}))
        table.step(Record("roof", at_ms + 100, {UTC_PATH: at_ms + 100 + UTC}))
    assert table.rows[-1] == OffsetRow(BOOT, 1_100, UTC, OffsetSource.GNSS)
    assert table.followed == f"roof:{UTC_PATH}"
    for at_ms in range(15_000, 17_000, 1_000):
        table.step(Record("desk", at_ms, {UTC_PATH: at_ms + FAR}))
    assert table.rows[-1] == OffsetRow(BOOT, 16_000, FAR, OffsetSource.GNSS)


def test_a_source_that_is_not_in_the_order_is_not_heard() -> None:
    table = ClockTable(BOOT, [NONE], [f"roof:{UTC_PATH}"])
    for at_ms in (1000, 2000, 3000):
        table.step(fix(at_ms))
    assert table.rows == (NONE,)


HOUR_MS = 3_600_000


def said(table: ClockTable, source: str, at_ms: int, offset_ms: int, path: str = UTC_PATH) -> None:
    table.step(Record(source, at_ms, {path: at_ms + offset_ms}))


@pytest.mark.parametrize(
    ("path", "apart_ms", "seconds", "contradicts"),
    [
        (UTC_PATH, HOUR_MS, 10, ["second"]),
        (UTC_PATH, 7 * 24 * HOUR_MS, 10, ["second"]),
        # a leap second, a holdover
        (UTC_PATH, 18_000, 10, []),
        # once is no disagreement yet
        (UTC_PATH, HOUR_MS, 1, []),
        # the vehicle's clock is set by hand
        (VEHICLE_PATH, HOUR_MS, 30, []),
    ],
)
def test_who_contradicts_the_followed_receiver(
    path: str, apart_ms: int, seconds: int, contradicts: list[str]
) -> None:
    table = ClockTable(BOOT, [], (f"gnss:{UTC_PATH}", f"*:{UTC_PATH}", f"*:{VEHICLE_PATH}"))
    for at_ms in range(1_000, 6_000, 1_000):
        said(table, "gnss", at_ms, UTC)
    for at_ms in range(6_000, 6_000 + seconds * 1_000, 1_000):
        said(table, "gnss", at_ms, UTC)
        said(table, "second", at_ms, UTC + apart_ms, path)
    assert [one.source for one in table.apart(at_ms)] == contradicts
    assert table.apart(at_ms + 60_000) == [], "who says nothing contradicts nobody"


def test_a_receiver_that_jumps_alone_contradicts_nobody() -> None:
    table = ClockTable(BOOT, [GNSS])
    for at_ms in range(1_000, 10_000, 1_000):
        said(table, "gnss", at_ms, UTC + (HOUR_MS if at_ms > 5_000 else 0))
        assert table.apart(at_ms) == []
