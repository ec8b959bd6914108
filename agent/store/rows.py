"""What the outbox hands out and takes: ranges of seq, stream marks, rows and drop accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from agent.record import Record, StorageClass


class Range(NamedTuple):
    """An interval of seq, both ends included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Mark:
    """All numbers of a driver's `stream` up to `upto` are on flash or were thinned."""

    stream: str
    upto: int


@dataclass(frozen=True, slots=True)
class RowHead:
    """One row of the outbox without its body: the unit of reading, sending, acking, dropping."""

    storage_class: StorageClass
    epoch: str
    first: int
    last: int
    boot: str
    nbytes: int

    @property
    def n(self) -> int:
        """How many records the row holds."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Row:
    """A row with its records; `records[i]` has seq `head.first + i`."""

    head: RowHead
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """An account of records that will never arrive: which, how many and why."""

    storage_class: StorageClass
    epoch: str
    first: int
    last: int
    count: int
    reason: str
