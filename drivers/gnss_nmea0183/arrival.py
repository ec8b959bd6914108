"""When a UTC second really was, from the arrival of the bytes that speak of it. Pure.

A fix is of a whole instant and leaves the receiver some time later, never earlier; the line, the
USB adapter and the scheduler add to that, never take away. So of all differences (arrival - stated
time) in a window the smallest is nearest to the truth, and the record of UTC gets that one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW_MS = 120_000
"""A boot clock that drifts by 50 ppm moves by 6 ms in it."""
BUCKET_MS = 1_000
JUMP_MS = 500
"""Further off than any receiver is late from one second to the next: its UTC jumped (leap seconds
learnt, a leap second, a rollover), or the bytes waited in a buffer."""
JUMP_CONFIRMED = 3
BITS_A_BYTE = 10
_PERIOD_MS = 1_000
_WORST_MS = 60_000


@dataclass(frozen=True, slots=True)
class Moment:
    """UTC `utc_ms` was at `at_ms` of the boot clock, or up to `uncertainty_ms` before that."""

    utc_ms: int
    at_ms: int
    uncertainty_ms: int


class Arrivals:
    """The lower envelope of (arrival - stated time) over two minutes.

    The uncertainty is what the receiver may have taken to compute the fix, which no one can see
    from the line alone: it does that between two bursts, so at most a period less the time its
    burst takes on the wire; and the jitter that the envelope still has.
    """

    def __init__(self) -> None:
        self._least: deque[tuple[int, int]] = deque()
        """(bucket, smallest difference in it), both rising: a monotonic queue."""
        self._suspects: list[int] = []
        self._last_utc_ms: int | None = None
        self._periods: deque[int] = deque(maxlen=16)

    def step(self, utc_ms: int, at_ms: int, burst_bytes: int, baud: int | None) -> Moment | None:
        """Take a fix whose first byte arrived at `at_ms`; None while it contradicts those before.

        `burst_bytes`: how many bytes spoke of it. `baud`: of the line, None where there is none.
        """
        if self._last_utc_ms is not None and 0 < utc_ms - self._last_utc_ms <= _WORST_MS:
            self._periods.append(utc_ms - self._last_utc_ms)
        self._last_utc_ms = utc_ms
        difference_ms = at_ms - utc_ms
        self._expire(at_ms)
        if self._least and abs(difference_ms - self._least[0][1]) > JUMP_MS:
            return self._suspect(utc_ms, at_ms, difference_ms, burst_bytes, baud)
        self._suspects.clear()
        self._add(at_ms, difference_ms)
        return self._moment(utc_ms, burst_bytes, baud)

    def _suspect(
        self, utc_ms: int, at_ms: int, difference_ms: int, burst_bytes: int, baud: int | None
    ) -> Moment | None:
        if self._suspects and abs(difference_ms - self._suspects[-1]) > JUMP_MS:
            self._suspects.clear()
        self._suspects.append(difference_ms)
        if len(self._suspects) < JUMP_CONFIRMED:
            return None
        self._least.clear()
        self._add(at_ms, min(self._suspects))
        self._suspects.clear()
        return self._moment(utc_ms, burst_bytes, baud)

    def _expire(self, at_ms: int) -> None:
        while self._least and self._least[0][0] * BUCKET_MS < at_ms - WINDOW_MS:
            self._least.popleft()

    def _add(self, at_ms: int, difference_ms: int) -> None:
        while self._least and self._least[-1][1] >= difference_ms:
            self._least.pop()
        bucket = at_ms // BUCKET_MS
        if not self._least or self._least[-1][0] != bucket:
            self._least.append((bucket, difference_ms))

    def _moment(self, utc_ms: int, burst_bytes: int, baud: int | None) -> Moment:
        least = self._least[0][1]
        period_ms = min(self._periods, default=_PERIOD_MS)
        wire_ms = burst_bytes * BITS_A_BYTE * 1000 // baud if baud else 0
        jitter_ms = self._least[-1][1] - least
        uncertainty_ms = max(0, period_ms - wire_ms) + jitter_ms
        return Moment(utc_ms, utc_ms + least, uncertainty_ms)
