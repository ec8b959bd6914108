"""A USB-CAN stick that speaks SLCAN (the Lawicel ASCII protocol), attached to a J1939 bus.

Commands end with CR, a good one is answered with CR, a bad one with BEL. Nothing is sent before
`L` (listen-only) or `O`. The stick takes no frame for the bus: it counts the attempts.
"""

from __future__ import annotations

from pathlib import Path

from simulator.wires.pty import Wire, boottime_ms

OK = b"\r"
BEL = b"\x07"

BUS_BITRATE_CODE = b"5"  # S5 = 250 kbit/s, SAE J1939-11

HOLD_S = 0.5
"""How long the stick's own memory holds frames that the host does not read."""

WRITE_BYTES = 8192
"""One write to the terminal at most; a full bus makes 50 kB a second."""

LONGEST_COMMAND = 64


class SlcanWire(Wire):
    """The stick; `transmitted` counts attempts to send on the bus, all of them refused."""

    def __init__(self, source: str = "fms", *, link: Path | None = None) -> None:
        super().__init__(source, link=link, capacity=20_000)
        self.transmitted = 0
        self._command = bytearray()
        self._replies = bytearray()
        self._bitrate = b""
        self._channel_since: int | None = None
        self._sent = 0  # bytes of the head frame that are out already

    def is_open(self) -> bool:
        """Whether the channel is open, so that frames reach whoever has the port open."""
        return self._channel_since is not None

    def _closed(self) -> None:
        super()._closed()
        self._command.clear()
        self._replies.clear()
        self._channel_since = None
        self._bitrate = b""
        self._sent = 0

    def _take(self, received: bytes) -> None:
        self._command += received
        while (end := self._command.find(b"\r")) >= 0:
            command = bytes(self._command[:end])
            del self._command[: end + 1]
            self._replies += self._answer(command)
        if len(self._command) > LONGEST_COMMAND:
            self._command.clear()
            self._replies += BEL

    def _answer(self, command: bytes) -> bytes:
        name, rest = command[:1], command[1:]
        match name:
            case b"S" if self._channel_since is None and len(rest) == 1 and rest in b"012345678":
                self._bitrate = rest
                return OK
            case b"L" | b"O" if self._channel_since is None and self._bitrate and not rest:
                self._channel_since = boottime_ms()
                return OK
            case b"C" if not rest:
                self._channel_since = None
                return OK
            case b"V":
                return b"V1013\r"
            case b"N":
                return b"NS001\r"
            case b"F":
                return b"F00\r"
            case b"Z" | b"X" | b"M" | b"m" | b"":
                return OK
            case b"t" | b"T" | b"r" | b"R":
                self.transmitted += 1
                return BEL
        return BEL

    def _move(self, now: float) -> None:
        if self._open_since is None:
            self._sent = 0
            self._skip_all()
            return
        if self._sent and not self._finish_head():
            self._forget(now)
            return
        if self._replies:
            del self._replies[: self._send(bytes(self._replies))]
        if self._channel_since is None or self._bitrate != BUS_BITRATE_CODE:
            self._skip_all()  # closed, or deaf at another bitrate
            return
        while not self._replies and self._queue and self._write_some():
            pass
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Drop what nobody read in time, but for a frame that is partly out."""
        begun = self._queue.popleft() if self._sent else None
        while self._queue and now - self._queue[0][1] > HOLD_S:
            self._report(self._queue.popleft()[0], self._channel_since, dropped=True)
        if begun is not None:
            self._queue.appendleft(begun)

    def _skip_all(self) -> None:
        for _ in range(len(self._queue)):
            self._report(self._queue.popleft()[0], None)

    def _finish_head(self) -> bool:
        """Complete the frame that is partly out; a line is never cut, not even by `C`."""
        emission = self._queue[0][0]
        self._sent += self._send(emission.data[self._sent :])
        if self._sent < len(emission.data):
            return False
        self._queue.popleft()
        self._sent = 0
        self._report(emission, self._channel_since)
        return True

    def _write_some(self) -> bool:
        """Write as many waiting frames as one write takes; False when the terminal is full."""
        size = 0
        parts: list[bytes] = []
        for emission, _ in self._queue.copy():
            if size + len(emission.data) > WRITE_BYTES:
                break
            parts.append(emission.data)
            size += len(emission.data)
        sent = self._send(b"".join(parts))
        full = sent < size
        while self._queue and sent >= len(self._queue[0][0].data):
            emission = self._queue.popleft()[0]
            sent -= len(emission.data)
            self._report(emission, self._channel_since)
        self._sent = sent
        return not full
