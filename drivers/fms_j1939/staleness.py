"""When a sender that repeats itself counts as silent: pure, by the boot time of its frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivers.fms_j1939.senders import Voice

PERIODS = 5
"""Nominal periods without a frame after which a sender is silent."""

SHORTEST_MS = 500
"""... but never sooner: gateways and adaptors hold fast messages back for that long."""

JUDGE_MS = 100
"""How often it is worth looking."""

_SLOWEST = 20

# The reader looks every 200 ms at least. Where it did not, it was held up itself: what it missed
# meanwhile was not the silence of a sender, and a part of it may still wait to be read.
_LATE_MS = 300


def limit_ms(period_ms: int) -> int | None:
    """How long a sender with this period may be silent; None where it speaks on change only."""
    return max(SHORTEST_MS, PERIODS * period_ms) if period_ms > 0 else None


def slow_limit_ms(pause_ms: int, period_ms: int) -> int | None:
    """How long a sender may be silent that spoke once between two silences, `pause_ms` apart.

    Vehicle buses have senders ten times as slow as the FMS-Standard asks. None: too slow to be one
    that repeats itself.
    """
    return PERIODS * pause_ms if pause_ms <= _SLOWEST * period_ms else None


class Staleness:
    """Finds the senders that fell silent, each once, until they are heard again."""

    def __init__(self) -> None:
        self._judged_ms: int | None = None
        self._listening_since_ms = 0

    def fallen(self, voices: Iterable[Voice], now_ms: int) -> list[Voice]:
        """Those of `voices` that fell silent by `now_ms`, with all frames until then taken in."""
        judged_ms = self._judged_ms
        if judged_ms is not None and now_ms - judged_ms < JUDGE_MS:
            return []
        if judged_ms is None or now_ms - judged_ms > _LATE_MS:
            self._listening_since_ms = now_ms
        self._judged_ms = now_ms
        since_ms = self._listening_since_ms
        return [
            voice
            for voice in voices
            if voice.limit_ms is not None
            and not voice.silent
            and now_ms - max(voice.seen_ms, since_ms) > voice.limit_ms
        ]
