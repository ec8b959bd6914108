"""Boot time to UTC: the best source decides, a late fix dates what came before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.batch import MAX_OFFSETS, OFFSET_SOURCES, Offset
from cloud.dating import combined, news, pieces, utc_ms

VEHICLE = Offset(20, 1_500, "vehicle")
RTC, NTP = Offset(0, 1_000, "rtc"), Offset(10, 2_000, "ntp")
FIX, LATER = Offset(50, 3_000, "gnss"), Offset(80, 3_500, "gnss")


@pytest.mark.parametrize(
    ("table", "at", "want"),
    [
        ([], 5, None),
        ([Offset(0, 9, "none")], 5, None),
        ([RTC], 5, 1_005),
        ([RTC, NTP], 5, 2_005),  # ntp beats rtc, also before it began
        ([RTC, VEHICLE], 5, 1_505),  # the vehicle's clock beats the box's own
        ([RTC, VEHICLE, NTP], 30, 2_030),
        ([VEHICLE, FIX], 30, 3_030),
        ([RTC, NTP, FIX], 5, 3_005),
        ([FIX, LATER], 79, 3_079),
        ([LATER, FIX], 80, 3_580),
    ],
)
def test_dating(table: list[Offset], at: int, want: int | None) -> None:
    assert utc_ms(at, pieces(table)) == want


def test_a_table_only_grows() -> None:
    assert combined([RTC, FIX], [RTC]) == sorted([RTC, FIX])
    assert combined([FIX], [FIX._replace(utc_offset_ms=7)]) == [FIX._replace(utc_offset_ms=7)]


def test_a_table_beyond_the_bound_starts_over() -> None:
    known = [Offset(at, 0, "gnss") for at in range(MAX_OFFSETS)]
    assert combined(known, [FIX._replace(from_boottime_ms=MAX_OFFSETS)]) == [
        FIX._replace(from_boottime_ms=MAX_OFFSETS)
    ]


_rows = st.builds(Offset, st.integers(0, 40), st.integers(-3, 3), st.sampled_from(OFFSET_SOURCES))


@given(st.lists(_rows, max_size=6), st.lists(_rows, max_size=4), st.integers(0, 60))
def test_news_are_all_that_is_dated_otherwise(
    known: list[Offset], said: list[Offset], at: int
) -> None:
    before, after = pieces(known), pieces(combined(known, said))
    changed = any(piece.begin_ms <= at < piece.end_ms for piece in news(before, after))
    if utc_ms(at, before) != utc_ms(at, after):
        assert changed or utc_ms(at, after) is None
