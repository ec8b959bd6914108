"""A driver's ring: encoded datagrams in RAM until the coordinator says that they are on flash.

It holds bytes, not records: a minute of flood is 3.6 MB encoded and 40 MB as objects. Records get
their numbers here, gapless from 1. Only `trim` forgets; a successful send proves nothing. When the
ring is full the oldest samples go first and leave a `Skipped` in their place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from agent.protocol import MAX_DATAGRAM, MAX_LINGER_S, MAX_RECORDS, Message, Skipped, encode

ENVELOPE = 64
"""Bytes that tag, first number and array header add to a datagram's records, at most."""

MAX_RECORD = MAX_DATAGRAM - ENVELOPE
ENTRY_COST = 250
"""What an entry weighs beside its bytes: object, dict slot, bytes header (sys.getsizeof)."""


class NotDurable(RuntimeError):
    """The record may not be on flash: the host stops, or the ring overflowed."""


class _Batch(Message, tag="records"):
    """agent.protocol.Records with its records already encoded."""

    first: int
    records: list[msgspec.Raw]


class _Entry:
    """Numbers `first` to `last`: one datagram, or a hole where `datagram` is None."""

    __slots__ = ("attachment", "datagram", "first", "important", "last", "unsure")

    def __init__(
        self, first: int, last: int, datagram: bytes, important: bool, attachment: str | None
    ) -> None:
        self.attachment = attachment
        self.first = first
        self.last = last
        self.datagram: bytes | None = datagram
        self.important = important
        self.unsure = 0  # dropped after they were sent: lost only if the hole must be sent

    @property
    def cost(self) -> int:
        return ENTRY_COST + len(self.datagram or b"")


class Ring:
    """Thread-safe: drivers append, the link transmits and trims.

    `wake` is called (with no lock held) when the link has to look again. `lost` counts samples
    that the overflow cost, `lost_important` the rest; never too few, too many only where what had
    been sent already was dropped and the connection broke before the coordinator confirmed it.
    """

    def __init__(
        self,
        limit_bytes: int,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lost = 0
        self.lost_important = 0
        self.nbytes = 0
        self._limit = limit_bytes
        self._wake = wake
        self._clock = clock
        self._encoder = msgspec.msgpack.Encoder()
        self._changed = threading.Condition()  # guards all below
        self._closed = False
        # Keyed by first number: numbering is gapless, so the next entry is at `last + 1`.
        self._entries: dict[int, _Entry] = {}
        self._holes: dict[int, _Entry] = {}  # the holes among them, keyed by last number
        self._head = 1  # first number still held
        self._cursor = 1  # first number not sent on this connection; always the start of an entry
        self._durable = 0
        self._oldest = {False: 1, True: 1}  # where to look for what to drop next, by importance
        self._preface: Skipped | None = None
        self._open: list[msgspec.Raw] = []
        self._open_first = 1
        self._open_bytes = 0
        self._open_since = 0.0

    def append(self, record: bytes, *, important: bool, attachment: str | None = None) -> int:
        """Take one encoded WireRecord, return its number. Important ones travel at once.

        `attachment`: the path of a file that goes with it; such a record must be important.
        Raises ValueError where it does not fit a datagram.
        """
        if len(record) > MAX_RECORD:
            raise ValueError(f"a record has at most {MAX_RECORD} bytes, this one {len(record)}")
        with self._changed:
            if important or self._open_bytes + len(record) > MAX_RECORD:
                self._seal(important=False)
            if not self._open:
                self._open_since = self._clock()
            self._open.append(msgspec.Raw(record))
            self._open_bytes += len(record)
            number = self._open_first + len(self._open) - 1
            full = important or len(self._open) == MAX_RECORDS
            if full:
                self._seal(important, attachment)
            news = full or len(self._open) == 1
        if news:
            self._wake()
        return number

    def wait_durable(self, number: int, beat: Callable[[], None]) -> None:
        """Return when `number` is on flash; calls `beat` about once a second.

        Raises NotDurable when the ring closes or dropped it.
        """
        with self._changed:
            while self._durable < number:
                if self._closed:
                    raise NotDurable("the driver stops before the record is on flash")
                if any(hole.first <= number <= hole.last for hole in self._holes.values()):
                    raise NotDurable("the coordinator is away, the driver's ring overflowed")
                beat()
                self._changed.wait(1.0)

    def close(self) -> None:
        """Release all who wait."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def seal(self) -> float | None:
        """Close a batch that lingered long enough; seconds until the open one is due, else None."""
        with self._changed:
            if not self._open:
                return None
            left = self._open_since + MAX_LINGER_S - self._clock()
            if left <= 0:
                self._seal(important=False)
                return None
            return left

    def flush(self) -> None:
        """Close the open batch now."""
        with self._changed:
            self._seal(important=False)

    def empty(self) -> bool:
        """Whether every record is on flash or accounted for."""
        with self._changed:
            return not self._entries and not self._open

    def transmit(
        self,
        send: Callable[[bytes], object],
        attach: Callable[[bytes, str], object] | None = None,
    ) -> bool:
        """Send the next datagram of this connection; False where there is none.

        `attach` sends one together with the file of that path.
        `send` must not block; what it raises passes through and the datagram stays next. It runs
        under the lock, so that an overflow cannot change what is being sent.
        """
        with self._changed:
            if self._preface is not None:
                send(encode(self._preface))
                self._preface = None
                return True
            entry = self._entries.get(self._cursor)
            if entry is None:
                return False
            if entry.datagram is None:
                send(encode(Skipped(entry.first, entry.last, entry.last - entry.first + 1)))
                self.lost += entry.unsure
                entry.unsure = 0
            elif entry.attachment is not None and attach is not None:
                attach(entry.datagram, entry.attachment)
            else:
                send(entry.datagram)
            self._cursor = entry.last + 1
            return True

    def rewind(self, upto: int) -> None:
        """A new connection: everything after the durable number `upto` goes out again."""
        with self._changed:
            self._trim(upto)
            self._cursor = self._head
            # A coordinator that lost its outbox asks for what was durable once and is gone here.
            self._preface = Skipped(upto + 1, self._head - 1, 0) if upto + 1 < self._head else None

    def trim(self, upto: int) -> None:
        """All numbers up to `upto` are on flash: forget them."""
        with self._changed:
            self._trim(upto)

    def _trim(self, upto: int) -> None:
        upto = min(upto, self._open_first - 1)
        if upto > self._durable:
            self._durable = upto
            self._changed.notify_all()
        while (entry := self._entries.get(self._head)) and entry.first <= upto:
            if entry.last > upto and entry.datagram is not None:
                break  # sent again whole, the coordinator knows what it has
            del self._entries[self._head]
            if entry.last > upto:
                entry.unsure = min(entry.unsure, entry.last - upto)
                entry.first = upto + 1
                self._entries[entry.first] = entry
            else:
                self._holes.pop(entry.last, None)
                self.nbytes -= entry.cost
            self._head = min(entry.last, upto) + 1
        self._cursor = max(self._cursor, self._head)

    def _seal(self, important: bool, attachment: str | None = None) -> None:
        if not self._open:
            return
        first, last = self._open_first, self._open_first + len(self._open) - 1
        datagram = self._encoder.encode(_Batch(first, self._open))
        self._entries[first] = entry = _Entry(first, last, datagram, important, attachment)
        self.nbytes += entry.cost
        self._open = []
        self._open_bytes = 0
        self._open_first = last + 1
        while self.nbytes > self._limit and (self._drop(False) or self._drop(True)):
            self._changed.notify_all()

    def _drop(self, important: bool) -> bool:
        """Turn the oldest datagram of that importance into a hole; False where there is none."""
        number = max(self._oldest[important], self._head)
        while entry := self._entries.get(number):
            number = entry.last + 1
            if entry.datagram is not None and entry.important is important:
                self._oldest[important] = number
                self._punch(entry)
                return True
        self._oldest[important] = number
        return False

    def _punch(self, entry: _Entry) -> None:
        count = entry.last - entry.first + 1
        sent = entry.first < self._cursor
        if entry.important:
            self.lost_important += count
        elif sent:
            entry.unsure = count
        else:
            self.lost += count
        self.nbytes -= len(entry.datagram or b"")
        entry.datagram = None
        self._holes[entry.last] = entry
        before, after = self._holes.get(entry.first - 1), self._entries.get(entry.last + 1)
        if before:
            entry = self._join(before, entry)
        if after and after.datagram is None:
            self._join(entry, after)

    def _join(self, before: _Entry, after: _Entry) -> _Entry:
        """Two holes side by side become one, unless one was sent and the other was not."""
        if (before.first < self._cursor) != (after.first < self._cursor):
            return after
        for important, number in self._oldest.items():
            if number == after.first:  # it points at the start of an entry, always
                self._oldest[important] = after.last + 1
        del self._entries[after.first], self._holes[before.last]
        before.last = after.last
        before.unsure += after.unsure
        self._holes[before.last] = before
        self.nbytes -= ENTRY_COST
        return before
