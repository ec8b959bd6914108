"""What goes into the outbox and comes out of it: changes, rows, drop accounts, marks, counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from agent.clock import OffsetRow
from agent.record import Record, StorageClass


class Range(NamedTuple):
    """Sequence numbers `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Mark:
    """All records of a driver's `stream` up to number `upto` are durable or were thinned."""

    stream: str
    upto: int


@dataclass(frozen=True, slots=True)
class RowHead:
    """One row without its records: seq `first` to `last` of `epoch`, all captured in boot `boot`.

    `nbytes` is the length of the stored body. `thinned`: how many of these numbers have no record
    any more.
    """

    storage_class: StorageClass
    epoch: str
    first: int
    last: int
    boot: str
    nbytes: int
    thinned: int = 0

    @property
    def n(self) -> int:
        """How many records the row holds."""
        return self.last - self.first + 1 - self.thinned


@dataclass(frozen=True, slots=True)
class Row:
    """A row with its records; `records[i]` has seq `head.first + i`.

    In a thinned row it has seq `seqs[i]`; numbers that are not among them have no record any more.
    """

    head: RowHead
    records: Sequence[Record]
    seqs: Sequence[int] = ()

    def within(self, first: int, last: int) -> list[tuple[int, Sequence[Record]]]:
        """The records numbered `first` to `last`: runs without a hole, each with its first seq."""
        if not self.head.thinned:
            begin = first - self.head.first
            return [(first, self.records[begin : begin + last - first + 1])]
        runs: list[tuple[int, list[Record]]] = []
        for seq, record in zip(self.seqs, self.records, strict=True):
            if not first <= seq <= last:
                continue
            if runs and runs[-1][0] + len(runs[-1][1]) == seq:
                runs[-1][1].append(record)
            else:
                runs.append((seq, [record]))
        return list(runs)

    def holes(self, first: int, last: int) -> list[Drop]:
        """The accounts of those numbered `first` to `last` that were thinned away."""
        head, found, before = self.head, [], first - 1
        if not head.thinned:
            return []
        for seq in [*(seq for seq in self.seqs if first <= seq <= last), last + 1]:
            if seq > before + 1:
                n = seq - before - 1
                gone = Drop(head.storage_class, head.epoch, before + 1, seq - 1, n, "thinned")
                found.append(gone)
            before = seq
        return found


@dataclass(frozen=True, slots=True)
class Drop:
    """`count` accepted records in `first`..`last` will never be delivered, and why.

    The range has no queued record in it; it may hold records that were delivered before, so
    `count` can be less than its length. Reasons: `quota`, `disk_full`, `damaged`, `missing` (the
    books of these numbers are lost; `count` is about), `refused`, ...
    """

    storage_class: StorageClass
    epoch: str
    first: int
    last: int
    count: int
    reason: str


class Loss(NamedTuple):
    """A row to give up, and why; `spans`: of these records alone, empty for all of them."""

    head: RowHead
    reason: str
    spans: Sequence[Range] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction does.

    `marks` are written with the records. `acked`: (epoch, ranges) that the application confirmed.
    `drops`: rows to give up, whole or in part. `offsets`, `catalogue`: the whole table where it
    changed, else None.
    """

    records: Sequence[Record] = ()
    boot: str = ""
    marks: Mapping[str, Mark] = field(default_factory=lambda: MappingProxyType({}))
    acked: Sequence[tuple[str, Sequence[Range]]] = ()
    drops: Sequence[Loss] = ()
    offsets: Sequence[OffsetRow] | None = None
    catalogue: Mapping[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What a commit did: the new records have seq `first` to `last` (`n` may be 0)."""

    first: int
    last: int
    n: int
    acknowledged: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Counters:
    """Totals of a class in records since the outbox was created; `nbytes` is what is queued.

    At any moment accepted = acknowledged + queued + dropped.
    """

    accepted: int
    acknowledged: int
    queued: int
    dropped: int
    nbytes: int


class OutboxFull(Exception):
    """The disk did not take a commit: nothing was applied. Retry the same Change later.

    `no_space` is True where the disk is full, False for other I/O errors.
    """

    def __init__(self, text: str, *, no_space: bool = False) -> None:
        super().__init__(text)
        self.no_space = no_space


class OutboxLocked(Exception):
    """Another process has this outbox open; the text names it."""


class OutboxTooNew(Exception):
    """A newer version of the agent wrote this outbox; it was not touched."""


class RowDamaged(Exception):
    """A stored row is not what was written. `head` says which."""

    def __init__(self, head: RowHead, what: str) -> None:
        super().__init__(
            f"{head.storage_class} row {head.first}..{head.last} of epoch {head.epoch}: {what}"
        )
        self.head = head
