"""Says that two receivers state different times: one is followed, yet somebody should look."""

from __future__ import annotations

import logging

from agent.alarms import Alarm, of
from agent.processors.clock import ClockTable

log = logging.getLogger("brain.clock")

CALM_MS = 3_600_000
"""They must have agreed for so long before the next difference is another trouble."""


class ClockAlarm:
    """Used by the main thread, once in a second or so."""

    def __init__(self, clock: ClockTable) -> None:
        self._clock = clock
        self._last_ms: int | None = None

    def look(self, now_ms: int) -> None:
        """One alarm a trouble; `now_ms` in boot time."""
        apart = self._clock.apart(now_ms)
        if not apart:
            return
        told, self._last_ms = self._last_ms, now_ms
        if told is None or now_ms - told >= CALM_MS:
            text = ", ".join(f"{one.name} by {one.apart_ms / 1000:+.0f} s" for one in apart)
            log.error(
                "two clocks disagree: %s is followed, %s; see: brain explain clock",
                self._clock.followed,
                text,
                extra=of(Alarm.CLOCKS_DISAGREE),
            )
