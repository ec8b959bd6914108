"""The one state row: sequence, counters, marks and epochs, changed with every commit.

It is text with a magic word and a CRC, so that a copy can be found in the raw bytes of a damaged
file or write-ahead log when SQL cannot read it any more.
"""

from __future__ import annotations

import re
import secrets
import zlib
from collections.abc import Iterable, Iterator

import msgspec

from agent.record import StorageClass
from agent.store.rows import Counters, Mark

_MAGIC = b"brain-state-1 "
_FRAMED = re.compile(rb"brain-state-1 ([0-9a-f]{8}) ([^\n]*)\n")


class Tally(msgspec.Struct):
    """Totals of one class: records, and stored bytes of what is queued."""

    accepted: int = 0
    acknowledged: int = 0
    dropped: int = 0
    nbytes: int = 0

    @property
    def queued(self) -> int:
        """Records that wait, those in a damaged file that is still being salvaged included."""
        return self.accepted - self.acknowledged - self.dropped


class Powered(msgspec.Struct):
    """Powered-on time until `boottime_ms` of `boot`; see agent/store/powered.py.

    `marks`: (total_ms, key): at that time rows began with that key. `step_ms`: their distance.
    """

    total_ms: int = 0
    boot: str = ""
    boottime_ms: int = 0
    marks: list[tuple[int, int]] = []
    step_ms: int = 0


class Epoch(msgspec.Struct):
    """An epoch: its place in the row keys, its name, and the last seq given in it."""

    index: int
    name: str
    seq: int = 0


class Aside(msgspec.Struct):
    """A damaged file `outbox.corrupt-<number>.db`, being salvaged.

    `known`: the totals count its records; else they are added as they are found. `done`: class ->
    key of the last row handled.
    """

    number: int
    known: bool
    done: dict[str, int]


class Salvage(msgspec.Struct):
    """Files being salvaged. `expected`: class -> records still to be found in the known ones.

    `owed`: class -> the records that accounts had counted which are lost themselves.
    """

    asides: list[Aside]
    expected: dict[str, int]
    owed: dict[str, int] = {}


class State(msgspec.Struct):
    """All of it. `serial` counts commits, `token` names the last one, `clean` is set by close.

    `sums`: table -> CRC of the small tables, which have none of their own. `unverified`: closed
    before the rows were looked through after an earlier kill. `thinned`: interval in s -> key of
    the last history row that is that coarse; `coarse`: -> bytes of these rows. `owed`: class ->
    records in accounts that the far end does not have yet. `cut`: commits vanished with the end of
    the log, and the rows have not been looked through since. `holed`: no history row behind that
    key lacks numbers; an older agent kept no such note.
    """

    serial: int
    token: str
    clean: bool
    epochs: list[Epoch]
    tallies: dict[str, Tally]
    marks: dict[str, tuple[str, int]]
    salvage: Salvage | None = None
    sums: dict[str, int] = {}
    unverified: bool = False
    powered: Powered = msgspec.field(default_factory=Powered)
    thinned: dict[str, int] = {}
    coarse: dict[str, int] = {}
    owed: dict[str, int] = {}
    cut: bool = False
    holed: int = 1 << 62

    @property
    def current(self) -> Epoch:
        """The epoch that numbers new records."""
        return self.epochs[-1]

    def tally(self, storage_class: StorageClass) -> Tally:
        """The totals of a class."""
        return self.tallies[storage_class.value]

    def epoch(self, name: str) -> Epoch | None:
        """The epoch of that name, None where it is unknown."""
        return next((epoch for epoch in self.epochs if epoch.name == name), None)

    def counters(self) -> dict[StorageClass, Counters]:
        """The totals as the API shows them."""
        shown = {}
        for storage_class in StorageClass:
            t = self.tally(storage_class)
            shown[storage_class] = Counters(
                t.accepted, t.acknowledged, t.queued, t.dropped, t.nbytes
            )
        return shown

    def driver_marks(self) -> dict[str, Mark]:
        """The marks as the API shows them."""
        return {source: Mark(stream, upto) for source, (stream, upto) in self.marks.items()}

    def copy(self) -> State:
        """An independent copy."""
        return _parse(_body(self))

    def sum_up(self, table: str, rows: Iterable[object]) -> None:
        """Remember what a small table holds."""
        self.sums[table] = _sum(rows)

    def agrees(self, table: str, rows: Iterable[object]) -> bool:
        """Whether a small table holds what was written."""
        return self.sums.get(table, _sum(())) == _sum(rows)

    def stamp(self) -> None:
        """Make this the state of a new commit."""
        self.serial += 1
        self.token = secrets.token_hex(8)


def _sum(rows: Iterable[object]) -> int:
    return zlib.crc32(_encode(list(rows)))


def fresh() -> State:
    """The state of a new outbox: a new random epoch, nothing in it."""
    return State(
        0,
        secrets.token_hex(8),
        True,
        [Epoch(1, secrets.token_hex(16))],
        {storage_class.value: Tally() for storage_class in StorageClass},
        {},
        holed=0,
    )


_encode = msgspec.json.Encoder().encode
_body = _encode
_parse = msgspec.json.Decoder(State).decode


def encode(state: State) -> bytes:
    """The state as the row holds it."""
    body = _body(state)
    return b"%s%08x %s\n" % (_MAGIC, zlib.crc32(body), body)


def decode(framed: object) -> State:
    """The state of a row. Raises ValueError where it is damaged."""
    found = list(carve(framed)) if isinstance(framed, bytes) else []
    if len(found) != 1:
        raise ValueError("the state row is damaged")
    return found[0]


def carve(raw: bytes) -> Iterator[State]:
    """All intact states in some bytes."""
    for match in _FRAMED.finditer(raw):
        if zlib.crc32(match[2]) == int(match[1], 16):
            try:
                state = _parse(match[2])
            except ValueError:
                continue
            if state.epochs and all(c.value in state.tallies for c in StorageClass):
                yield state
