"""The last minute of a bus as it came, for bug reports: SLCAN lines or can_frames, in chunks.

A full bus has 111,000 frames a minute, so a frame costs no object and no conversion here: what one
read brought is kept in one piece.
"""

from __future__ import annotations

import threading
from array import array
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from drivers.fms_j1939 import can_raw
from drivers.fms_j1939.frames import Frame, parse

SPAN_MS = 60_000

MAX_BYTES = 6_000_000
"""A full bus at 250 kbit/s needs some 4 million for a minute; a faster one keeps less time."""

# What Python needs for a chunk beside its bytes.
_CHUNK_COST = 200

# How `T`, 8 digits of identifier and the length stand before the bytes; two digits a byte.
_LINE_HEAD, _STAMP_DIGITS = 10, 4


class Chunk(NamedTuple):
    """What one read brought. `ages`: 16-bit ms of each can_frame after `at_ms`; lines have none."""

    at_ms: int
    content: bytes
    ages: bytes

    @property
    def cost(self) -> int:
        """Bytes of RAM, about."""
        return len(self.content) + len(self.ages) + _CHUNK_COST

    def frames(self) -> Iterator[tuple[int, Frame]]:
        """The frames, with boot time in ms. Lines that are none are left out."""
        if self.ages:
            size = can_raw.FRAME_BYTES
            for n, age in enumerate(memoryview(self.ages).cast("H")):
                frame = can_raw.unpack(self.content[n * size : (n + 1) * size])
                yield self.at_ms + age, frame
            return
        for line in self.content.split(b"\r"):
            try:
                yield self.at_ms, parse(line)
            except ValueError:
                continue


class RawRing:
    """Filled by the thread that reads the bus, read by another one.

    `frames` and `payload_bytes` count what came in since the beginning. They are made from lengths
    alone: lines of 11-bit frames and damaged ones are taken as 29-bit frames of the same length,
    which take as much time on the wire. FD frames are left out.
    """

    def __init__(self, span_ms: int = SPAN_MS, max_bytes: int = MAX_BYTES) -> None:
        self.frames = 0
        self.payload_bytes = 0
        self._span_ms = span_ms
        self._max_bytes = max_bytes
        self._chunks: deque[Chunk] = deque()
        self._first = 0
        self._cost = 0
        self._lock = threading.Lock()

    @property
    def cost(self) -> int:
        """Bytes of RAM that are in use, about."""
        return self._cost

    def lines(self, lines: list[bytes], at_ms: int) -> None:
        """Take SLCAN lines without their end, as they were read."""
        if not lines:
            return
        content = b"\r".join(lines)
        count = len(lines)
        self.frames += count
        digits = len(content) + 1 - count - _LINE_HEAD * count
        if _is_stamped(lines[0]):
            digits -= _STAMP_DIGITS * count
        self.payload_bytes += max(digits, 0) // 2
        self._append(Chunk(at_ms, content, b""))

    def can_frames(self, stamped: list[tuple[bytes, int]]) -> None:
        """Take can_frames, each with its boot time in ms; the times do not go back."""
        size = can_raw.FRAME_BYTES
        content = b"".join([raw for raw, _ in stamped])
        if len(content) != size * len(stamped):
            stamped = [(raw, at_ms) for raw, at_ms in stamped if len(raw) == size]
            content = b"".join([raw for raw, _ in stamped])
        if not stamped:
            return
        begin_ms = stamped[0][1]
        ages = array("H", [min(max(at_ms - begin_ms, 0), 0xFFFF) for _, at_ms in stamped])
        self.frames += len(stamped)
        self.payload_bytes += sum(content[can_raw.LENGTH_BYTE :: size])
        self._append(Chunk(begin_ms, content, ages.tobytes()))

    def begin(self, at_ms: int) -> int:
        """The number of the first chunk that was read at `at_ms` or later."""
        with self._lock:
            young = sum(chunk.at_ms >= at_ms for chunk in self._chunks)
            return self._first + len(self._chunks) - young

    def since(self, number: int) -> tuple[int, list[Chunk]]:
        """The chunks from `number` on that are still there, and the number of the next one."""
        with self._lock:
            skip = max(0, number - self._first)
            chunks = list(self._chunks)[skip:]
            return self._first + len(self._chunks), chunks

    def _append(self, chunk: Chunk) -> None:
        with self._lock:
            chunks = self._chunks
            chunks.append(chunk)
            self._cost += chunk.cost
            oldest_ms = chunk.at_ms - self._span_ms
            while chunks[0].at_ms < oldest_ms or (self._cost > self._max_bytes and len(chunks) > 1):
                self._cost -= chunks.popleft().cost
                self._first += 1


def _is_stamped(line: bytes) -> bool:
    """Whether the adaptor appends its own time: all lines have it or none."""
    length = line[9:10]
    return length.isdigit() and len(line) == _LINE_HEAD + _STAMP_DIGITS + 2 * int(length)
