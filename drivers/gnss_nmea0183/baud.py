"""Which baud rate a receiver speaks, found by listening. Pure: counts and stamps in, a rate out.

At a wrong rate a UART delivers bytes, but never a sentence or a frame with a right checksum.
"""

from __future__ import annotations

from typing import Literal

Rate = Literal[4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600]

ORDER: tuple[Rate, ...] = (9600, 38400, 115200, 4800, 57600, 19200, 230400, 460800, 921600)
"""The most common first: NMEA's usual rate, u-blox F9, modules and Bluetooth, NMEA's old one."""

DWELL_MS, ENOUGH_BYTES = 1_100, 250
"""Receivers speak once a second; the longest sentence is shorter than that."""
NOISY_BURSTS = 2
"""A line that is read far too slowly gives a byte or two a burst. The first burst may have been cut
by the opening of the port; a second one without a sentence has no excuse."""
PATIENCE_MS = 30_000
"""A rate that gave sentences has proved right: noise on it is a bad line for so long."""


class BaudSearch:
    """Tries rate after rate while noise comes and stays where sentences come.

    `fixed`: the configured rate, which is never left; None to search. `remembered`: the rate that
    was right the last time, tried first.
    """

    def __init__(self, fixed: Rate | None, remembered: int | None = None) -> None:
        first = [rate for rate in ORDER if rate == remembered]
        self._rates = (
            (fixed,) if fixed is not None else (*first, *(r for r in ORDER if r not in first))
        )
        self._at = 0
        self._since_ms = self._noise = self._bursts = 0
        self._listening = self._in_burst = False
        self.proved = False
        """Whether the rate has given a sentence."""
        self.rounds = 0
        """How often all rates have been tried in vain."""

    @property
    def rate(self) -> Rate:
        """The rate to read at."""
        return self._rates[self._at]

    @property
    def tried(self) -> tuple[Rate, ...]:
        """The rates that have been listened at since the last sentence."""
        return self._rates if self.rounds else self._rates[: self._at + 1]

    @property
    def fixed(self) -> bool:
        """Whether there is no other rate to try."""
        return len(self._rates) == 1

    def opened(self, now_ms: int) -> None:
        """The port was opened at `rate`: patience begins anew."""
        self._begin(now_ms)

    def step(self, now_ms: int, nbytes: int, sentences: int) -> bool:
        """`nbytes` came, with them `sentences` right ones: whether `rate` is another one now.

        None came (0) means that the line is quiet, which ends a burst.
        """
        if sentences:
            self.proved, self.rounds = True, 0
            self._begin(now_ms)
            return False
        if nbytes and not self._listening:
            # Silence is no sign of a wrong rate: the dwell begins with the first byte.
            self._since_ms, self._listening = now_ms, True
        self._noise += nbytes
        self._bursts += nbytes == 0 and self._in_burst
        self._in_burst = nbytes > 0
        span_ms = now_ms - self._since_ms
        if self.fixed or not self._listening:
            return False
        enough = self._bursts >= NOISY_BURSTS or (
            span_ms >= DWELL_MS and self._noise >= ENOUGH_BYTES
        )
        if not enough or (self.proved and span_ms < PATIENCE_MS):
            return False
        self.proved = False
        self._at = (self._at + 1) % len(self._rates)
        self.rounds += self._at == 0
        self._begin(now_ms)
        return True

    def _begin(self, now_ms: int) -> None:
        self._since_ms, self._noise, self._bursts = now_ms, 0, 0
        self._listening = self._in_burst = False
