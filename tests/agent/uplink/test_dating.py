"""The offsets that batches carry date every record as the whole table does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent import clock
from agent.clock import OffsetRow, OffsetSource
from agent.uplink.dating import rows_for

BOOT, OTHER = "b" * 32, "c" * 32
HOUR_MS = 3_600_000


def row(hour: float, offset: int, source: OffsetSource = OffsetSource.GNSS) -> OffsetRow:
    return OffsetRow(BOOT, round(hour * HOUR_MS), offset, source)


WEEKS = [row(0, 0, OffsetSource.RTC), *(row(h, 100 * h) for h in range(1, 500))]


def test_weeks_without_a_restart_make_no_batch_longer() -> None:
    found = rows_for(WEEKS, {BOOT: (300 * HOUR_MS, 302 * HOUR_MS)})
    assert [r.from_boottime_ms // HOUR_MS for r in found] == [0, 1, 299, 300, 301, 302, 499]


def test_a_boot_that_is_in_no_run_is_left_out() -> None:
    other = OffsetRow(OTHER, 0, 5, OffsetSource.NTP)
    assert rows_for([*WEEKS[:2], other], {OTHER: (0, 1)}) == [other]


TABLES = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 10**6), st.sampled_from(list(OffsetSource))),
    max_size=15,
    unique_by=lambda entry: (entry[0], entry[2]),
)


@settings(max_examples=300)
@given(
    TABLES,
    st.lists(st.lists(st.integers(0, 50 * HOUR_MS), min_size=1, max_size=4), max_size=5),
)
def test_records_are_dated_as_by_the_whole_table(
    entries: list[tuple[int, int, OffsetSource]], batches: list[list[int]]
) -> None:
    """At the far end, that adds up what batches brought, in any order of the batches."""
    table = [row(hour, offset, source) for hour, offset, source in entries]
    known: list[OffsetRow] = []
    for times in batches:
        known += rows_for(table, {BOOT: (min(times), max(times))})
    for at_ms in (at for times in batches for at in times):
        assert clock.utc_ms(set(known), BOOT, at_ms) == clock.utc_ms(table, BOOT, at_ms)


@given(TABLES, st.integers(1, 50), st.integers(0, 50 * HOUR_MS))
def test_a_late_source_dates_what_was_sent_before_it(
    entries: list[tuple[int, int, OffsetSource]], known_after: int, at_ms: int
) -> None:
    """A record was sent while the table was shorter; the last batch of the boot repairs it."""
    table = sorted((row(*entry) for entry in entries), key=lambda r: r.from_boottime_ms)
    before = [r for r in table if r.from_boottime_ms <= min(known_after * HOUR_MS, at_ms)]
    last_ms = 51 * HOUR_MS
    told = [*rows_for(before, {BOOT: (at_ms, at_ms)}), *rows_for(table, {BOOT: (last_ms, last_ms)})]
    want = clock.utc_ms(table, BOOT, at_ms)
    got = clock.utc_ms(set(told), BOOT, at_ms)
    assert (got is None) == (want is None)
    if before and table and before[-1:] == [r for r in table if r.from_boottime_ms <= at_ms][-1:]:
        assert got == want
