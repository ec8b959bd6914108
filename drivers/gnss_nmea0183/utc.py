"""Time of day and date, as a receiver states them, -> UTC that can be trusted. Pure."""

from __future__ import annotations

from datetime import date

DAY_MS, WEEK_MS = 86_400_000, 604_800_000
DAY_0 = date(1970, 1, 1).toordinal()

# A date stated by RMC or ZDA serves the epochs after it as long as their times follow each other
# within this span, over midnight too.
DATE_LASTS_MS = 3_600_000
# AC12 dates its ZDA a second ahead of the position it goes with.
DATE_AHEAD_MS = 10_000

# 2026-11-01, when this was built: no live receiver is right with an earlier date.
FLOOR_MS = 1_793_491_200_000
ROLLOVER_WEEKS = 1024
"""GPS counts weeks in ten bits."""


def resolved(utc_ms: int, floor_ms: int = FLOOR_MS) -> tuple[int, int]:
    """`utc_ms` and how many weeks were added to it, so that it lies within 1024 weeks of the floor.

    A receiver that has lost count of the week rollovers (1999, 2019, 2038) is wrong by a multiple
    of 1024 weeks and right in everything else. Right until 19.6 years after the floor.
    """
    span_ms = ROLLOVER_WEEKS * WEEK_MS
    rollovers = -((utc_ms - floor_ms) // span_ms)
    return utc_ms + rollovers * span_ms, rollovers * ROLLOVER_WEEKS


class Dating:
    """Puts a date to each time of day: the stated one, else the one before, over midnight too."""

    def __init__(self) -> None:
        self._last: tuple[int, int, bool] | None = None

    def step(
        self, time_ms: int | None, day: date | None, *, fixed: bool, settled: bool = True
    ) -> tuple[int | None, bool]:
        """UTC in ms since 1970 and whether a fix stood behind its date.

        None where time or date are unknown. `fixed`: the epoch has a fix; `settled`: the receiver
        does not say that its leap seconds are a guess.
        """
        if time_ms is None:
            return None, False
        carried, proven = None, False
        if self._last is not None:
            last_utc_ms, last_time_ms, proven = self._last
            step_ms = (time_ms - last_time_ms + DAY_MS // 2) % DAY_MS - DAY_MS // 2
            if -DATE_AHEAD_MS <= step_ms <= DATE_LASTS_MS:
                carried = last_utc_ms + step_ms
        utc_ms = carried if day is None else (day.toordinal() - DAY_0) * DAY_MS + time_ms
        if utc_ms is None:
            self._last = None
            return None, False
        proven = settled and (fixed or (proven and utc_ms == carried))
        self._last = (utc_ms, time_ms, proven)
        return utc_ms, proven
