"""At what time certificates are judged: the best that is known, never earlier than can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import (
    AGREED_MS,
    BUILD_UTC_MS,
    OffsetRow,
    OffsetSource,
    certificates_utc_ms,
)

DAY_MS = 86_400_000
NOW = BUILD_UTC_MS + 100 * DAY_MS
BOOT_MS = 50_000


def row(source: str, utc_ms: int, boot: str = "this") -> OffsetRow:
    """A row that says what BOOT_MS was in UTC."""
    return OffsetRow(boot, BOOT_MS, utc_ms - BOOT_MS, OffsetSource(source))


@pytest.mark.parametrize(
    ("rows", "wall_ms", "judged_ms"),
    [
        ([], NOW, None),
        ([], 0, BUILD_UTC_MS),
        ([row("rtc", NOW)], NOW, None),
        ([row("none", 0)], 5_000, BUILD_UTC_MS),
        ([row("gnss", NOW)], 0, NOW),
        ([row("gnss", NOW)], NOW + AGREED_MS, None),
        ([row("gnss", NOW)], NOW + AGREED_MS + 1, NOW),
        ([row("ntp", NOW), row("gnss", NOW + DAY_MS)], 0, NOW + DAY_MS),
        # What another boot knew is the least that it can be.
        ([row("gnss", NOW, "last")], 0, NOW),
        ([row("gnss", NOW, "last")], NOW - DAY_MS, NOW),
        ([row("gnss", NOW, "last")], NOW + DAY_MS, None),
        ([row("rtc", NOW + 9 * DAY_MS, "last")], NOW, None),  # nobody vouches for that
        # A wrong fix of another boot does not outlive a fix of this one.
        ([row("gnss", NOW + 3_000 * DAY_MS, "last"), row("gnss", NOW)], 0, NOW),
    ],
)
def test_the_best_time(rows: list[OffsetRow], wall_ms: int, judged_ms: int | None) -> None:
    assert certificates_utc_ms(rows, "this", BOOT_MS, wall_ms) == judged_ms


rows = st.builds(
    row,
    st.sampled_from(["none", "rtc", "ntp", "gnss"]),
    st.integers(BUILD_UTC_MS, NOW),
    st.sampled_from(["this", "last"]),
)


@given(st.lists(rows, max_size=5), st.integers(0, 2 * NOW))
def test_never_before_the_build(table: list[OffsetRow], wall_ms: int) -> None:
    judged_ms = certificates_utc_ms(table, "this", BOOT_MS, wall_ms)
    assert (wall_ms if judged_ms is None else judged_ms) >= BUILD_UTC_MS - AGREED_MS
