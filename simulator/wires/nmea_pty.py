"""A GNSS receiver's serial port: NMEA bursts at the pace of 9600 baud."""

from __future__ import annotations

import termios
from pathlib import Path

from simulator.wires.pty import Wire

BYTES_PER_S = 960.0
"""9600 baud, 8N1: ten bit times a byte."""


class NmeaWire(Wire):
    """Bytes leave one after the other at 960 a second (times `speed`), read or not.

    A user of the port at another baud rate gets bytes that mean nothing, as on a real wire.
    """

    def __init__(
        self, source: str = "gnss", *, link: Path | None = None, speed: float = 1.0
    ) -> None:
        super().__init__(source, link=link, capacity=64)
        self._rate = BYTES_PER_S * speed
        self._sent = 0
        self._credit = 0.0
        self._moved_at = 0.0
        self._begun_open: int | None = None

    def _move(self, now: float) -> None:
        elapsed, self._moved_at = now - self._moved_at, now
        if not self._queue:
            self._credit = 0.0  # an idle line saves nothing up
            return
        self._credit += max(0.0, elapsed) * self._rate
        if self._sent == 0 and self._credit > self._rate:
            self._credit = 0.0  # first look after a long idle time
        while self._queue and self._credit >= 1.0:
            self._push(int(self._credit))

    def _push(self, allowed: int) -> None:
        """Send at most `allowed` bytes of the emission at the head of the queue."""
        emission = self._queue[0][0]
        if self._sent == 0:
            self._begun_open = self._open_since
        part = emission.data[self._sent : self._sent + allowed]
        self._credit -= len(part)
        self._sent += len(part)
        if self._open_since is None:
            self._begun_open = None
        else:
            if self._at_wrong_baud():
                self._begun_open = None
                part = bytes((byte * 37 ^ 0xA5) & 0xFF for byte in part)
            if self._send(part) < len(part):
                # Nobody reads: like an overrun, the rest of this burst is lost.
                self._finish(dropped=True)
                return
        if self._sent >= len(emission.data):
            self._finish(dropped=False)

    def _finish(self, *, dropped: bool) -> None:
        emission = self._queue.popleft()[0]
        whole = self._begun_open if self._begun_open == self._open_since else None
        self._report(emission, whole, dropped=dropped)
        self._sent = 0

    def _at_wrong_baud(self) -> bool:
        # The master reports the modes that the user of the slave side has set.
        return bool(termios.tcgetattr(self._fd)[4] != termios.B9600)
