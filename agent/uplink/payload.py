"""What one message to the cloud says, before and after it is bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agent.clock import OffsetRow, OffsetSource
from agent.record import Kind, Record, State, StorageClass
from agent.signals import Group
from agent.store.rows import Drop, Range

GroupOf = Callable[[str, Collection[str]], Group | None]
"""The declared group of a source that these paths belong to; None where nobody declared it."""

Format = Literal["protobuf", "json"]


class Unencodable(ValueError):
    """The wire has no place for a record: an integer beyond 64 bits, a broken text, a bad id."""


class Undecodable(ValueError):
    """Bytes that are no payload of ours."""


@dataclass(frozen=True, slots=True)
class Run:
    """Records with the consecutive numbers from `first` on, all of one boot (32 hex digits)."""

    first: int
    boot: str
    records: Sequence[Record]

    @property
    def range(self) -> Range:
        """Their numbers."""
        return Range(self.first, self.first + len(self.records) - 1)


@dataclass(frozen=True, slots=True)
class Payload:
    """Records of one vehicle and one epoch (32 hex digits), with all that is needed to read them.

    `offsets` dates the boots of the runs, `drops` accounts for records that will never come;
    `thinned` says beforehand how many such there are among history that is still to be sent.
    `settled`: nothing up to this seq waits any more, 0 where nothing is said of it.
    `groups` says of each record, in order, which declared group it belongs to; it is filled by
    decoding, while encoding asks `GroupOf`.
    """

    vehicle: str
    epoch: str
    runs: Sequence[Run] = ()
    offsets: Sequence[OffsetRow] = ()
    drops: Sequence[Drop] = ()
    groups: Sequence[str] = field(default=(), compare=False)
    thinned: Sequence[Drop] = ()
    settled: int = 0

    @property
    def n(self) -> int:
        """How many records it holds."""
        return sum(len(run.records) for run in self.runs)


def nobody_declared(source: str, paths: Collection[str]) -> Group | None:
    """A GroupOf that knows nothing: all records of a source and kind share the group ""."""
    return None


CLASSES: Sequence[StorageClass] = (StorageClass.ALARM, StorageClass.HISTORY, StorageClass.BULK)
OFFSET_SOURCES: Sequence[OffsetSource] = (
    OffsetSource.NONE,
    OffsetSource.RTC,
    OffsetSource.NTP,
    OffsetSource.GNSS,
    OffsetSource.VEHICLE,
)
"""Their position is the number on the wire; their rank is the order of OffsetSource."""
STATE_NUMBERS: Mapping[State, int] = {
    State.NOT_AVAILABLE: 1,
    State.ERROR: 2,
    State.MISSING: 3,
    State.IMPLAUSIBLE: 4,
}
STATES: Mapping[int, State] = {number: state for state, number in STATE_NUMBERS.items()}
KINDS: Mapping[str, Kind] = {str(kind): kind for kind in Kind}


def boots_of(payload: Payload) -> list[str]:
    """The boots of its runs, each once, in order of appearance."""
    return list(dict.fromkeys(run.boot for run in payload.runs))
