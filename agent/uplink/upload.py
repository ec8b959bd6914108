"""One file on its way: which blocks the cloud needs, which are under way, when to ask again. Pure.

The cloud's disk is the only memory of what arrived, so nothing is kept here over a restart: the
manifest is sent, the answer says what is missing. `now` is in seconds of one monotonic clock.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from agent.store.intervals import IntervalSet
from agent.store.rows import Range
from agent.uplink.need import Need
from agent.uplink.putter import Put

BLOCK_BYTES = 4_096
"""What the bitmap counts. A chunk is some whole blocks, the last one of a file may be short."""
LEAST_CHUNK_BYTES, LARGEST_CHUNK_BYTES = BLOCK_BYTES, 64 * 1024
MAX_UNDER_WAY_BYTES = 256 * 1024
"""Sent and not on the cloud's disk: what a kill of the cloud end may cost at most."""
MAX_ASK_S = 60.0
PATIENCE = 3
"""So many chunks in a row cut the connection before the file has to wait."""
FIRST_HOLD_S, LONGEST_HOLD_S = 60.0, 3_600.0
IN_VAIN = 3
"""A file that went over the air so many times more than once waits: a far end that forgets, or
lies about what it needs, does not get the whole budget."""
LONGEST_VAIN_S = 86_400.0

CHUNK_VERSION = 1


@dataclass(slots=True)
class Chunk:
    """Blocks `first` to `last` under way. `confirmed_at`: since when the broker has it."""

    first: int
    last: int
    message: tuple[int, int]
    sent_at: float
    confirmed_at: float | None = None

    @property
    def nbytes(self) -> int:
        """At most so many bytes."""
        return (self.last - self.first + 1) * BLOCK_BYTES


@dataclass(slots=True)
class Upload:
    """`missing`: None until the cloud has said it. `asked_at`: when the manifest went out last.

    `left`: blocks that were missing when the cloud said it last. `cuts`: connections in a row that
    were cut in a chunk without any progress. `seen`: blocks that went out, `again_bytes`: what went
    out again since the last wait for that reason, `vain`: how many such waits there were.
    """

    sha256: str
    size: int
    ask_s: float
    urgent: bool = False
    missing: IntervalSet | None = None
    under_way: list[Chunk] = field(default_factory=list)
    asked_at: float | None = None
    asked: int = 0
    left: int | None = None
    puts: tuple[Put, ...] = ()
    put_failures: int = 0
    cuts: int = 0
    held_until: float = 0.0
    seen: IntervalSet = field(default_factory=IntervalSet)
    again_bytes: int = 0
    vain: int = 0

    def ask_due(self, now: float) -> bool:
        """Whether the manifest is to be sent: at first, and where the cloud keeps silent."""
        if self.asked_at is None:
            return True
        if self.puts:
            return False
        if self.missing is None:
            return now >= self.asked_at + self._patience_s()
        oldest = min((c.confirmed_at for c in self.under_way if c.confirmed_at), default=None)
        if oldest is not None:
            return now >= max(oldest, self.asked_at) + self._patience_s()
        # All is there, as far as anybody knows: the ack of the record is overdue.
        return not self.missing and now >= self.asked_at + self._patience_s()

    def next_ask(self) -> float | None:
        """When `ask_due` may change by the clock alone; None where it will not."""
        if self.asked_at is None:
            return None
        marks = [c.confirmed_at for c in self.under_way if c.confirmed_at]
        if self.puts or (self.missing and not marks):
            return None
        return max([self.asked_at, *marks[:1]]) + self._patience_s()

    def asked_now(self, now: float) -> None:
        """The manifest went out."""
        self.asked_at = now
        self.asked += 1

    def needs(self, need: Need) -> None:
        """The cloud said what is missing."""
        last_block = max(0, (self.size - 1) // BLOCK_BYTES)
        missing = IntervalSet()
        for first, last in need.missing:
            if first <= last_block:
                missing.add(first, min(last, last_block))
        self.missing = missing
        self.asked = 0
        left = sum(last - first + 1 for first, last in missing)
        if self.left is not None and left < self.left:
            self.cuts = 0
        self.left = left
        if need.whole:
            # It was written after all that the broker had of us by then: that got lost.
            asked_at = self.asked_at or 0.0
            self.under_way = [
                c for c in self.under_way if c.confirmed_at is None or c.sent_at >= asked_at
            ]
        self.under_way = [c for c in self.under_way if _any(missing, c.first, c.last)]

    def put_done(self, put: Put, *, failed: bool, now: float) -> None:
        """The store has a part, or not: then, and after the last one, the cloud is asked again."""
        if put not in self.puts:
            return
        self.puts = () if failed else tuple(other for other in self.puts if other != put)
        self.put_failures = self.put_failures + 1 if failed else 0
        if failed:
            self.held_until = now + min(MAX_ASK_S, 2.0 ** min(self.put_failures, 6) / 2)
        if not self.puts:
            self.missing = None
            self.asked_at = None

    def next_chunk(self, max_bytes: int) -> Range | None:
        """The blocks to send now; None where nothing is missing or enough is under way."""
        if not self.missing or self.puts:
            return None
        room = MAX_UNDER_WAY_BYTES - sum(chunk.nbytes for chunk in self.under_way)
        most = min(max_bytes, LARGEST_CHUNK_BYTES, room) // BLOCK_BYTES
        if most < 1:
            return None
        left = self.missing.copy()
        for chunk in self.under_way:
            left.remove(chunk.first, chunk.last)
        for first, last in left:
            return Range(first, min(last, first + most - 1))
        return None

    def sent(self, blocks: Range, message: tuple[int, int], now: float) -> bool:
        """A chunk was handed to the broker as `message`; whether some of it went out before."""
        chunk = Chunk(*blocks, message, now)
        self.under_way.append(chunk)
        again = _any(self.seen, *blocks)
        self.seen.add(*blocks)
        if again:
            self.again_bytes += chunk.nbytes
            if self.again_bytes > IN_VAIN * self.size + MAX_UNDER_WAY_BYTES:
                self.again_bytes = 0
                self.vain += 1
                hold_s = min(LONGEST_VAIN_S, FIRST_HOLD_S * 4.0 ** min(9, self.vain))
                self.held_until = max(self.held_until, now + hold_s)
        return again

    def unconfirmed(self) -> list[Chunk]:
        """Chunks that the broker owes us confirmation for."""
        return [chunk for chunk in self.under_way if chunk.confirmed_at is None]

    def confirmed(self, chunk: Chunk, now: float) -> None:
        """The broker has it."""
        chunk.confirmed_at = now
        self.cuts = 0

    def refused(self, chunk: Chunk) -> None:
        """The broker does not take it: it is to be sent again."""
        self.under_way.remove(chunk)

    def lost(self, now: float, *, by_peer: bool) -> None:
        """The connection is gone: the cloud is asked anew what it has."""
        cut = self.unconfirmed()
        if cut and by_peer:
            self.cuts += 1
            if self.cuts >= PATIENCE:
                hold_s = min(LONGEST_HOLD_S, FIRST_HOLD_S * 2.0 ** (self.cuts - PATIENCE))
                self.held_until = now + hold_s
        for chunk in cut:
            self.under_way.remove(chunk)
        # Parts go another way, and the cloud is asked when they are there.
        if cut or self.under_way:
            self.missing = None
            self.asked_at = None

    def _patience_s(self) -> float:
        return min(max(MAX_ASK_S, self.ask_s), self.ask_s * 2.0 ** min(8, max(0, self.asked - 1)))


def frame(sha256: str, first: int, content: bytes) -> bytes:
    """A chunk as it is sent: version, CRC-32 over its place and content, content.

    TCP's checksum ends at the broker; what flips behind it is seen here, a chunk at a time.
    """
    crc = zlib.crc32(content, zlib.crc32(f"{sha256} {first}".encode()))
    return bytes([CHUNK_VERSION]) + crc.to_bytes(4, "big") + content


def _any(found: IntervalSet, first: int, last: int) -> bool:
    return sum(gap.last - gap.first + 1 for gap in found.gaps(first, last)) < last - first + 1
