"""From rows to the bytes of a message: loads, encodes, and learns how much rows expand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.clock import OffsetRow
from agent.record import StorageClass
from agent.store.block import Block
from agent.store.rows import Drop, Row, RowDamaged, RowHead
from agent.uplink import codec
from agent.uplink.catalogue import Shapes
from agent.uplink.dating import rows_for
from agent.uplink.flight import Cargo, Slice
from agent.uplink.foretelling import NOTHING, Foretold
from agent.uplink.payload import Format, GroupOf, Payload, Run, Unencodable

LEARN = 0.2
"""Weight of the newest message in the estimate of the expansion."""
MIN_LEARN_BYTES = 2_000
"""Smaller messages are mostly names, and say nothing about large ones."""


class Source(Protocol):
    """Where rows and UTC offsets come from."""

    def load(self, head: RowHead) -> Row: ...
    def offsets(self) -> list[OffsetRow]: ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """`payload` is None where the records cannot be encoded, for `reason`.

    `slices` are those that were there; `refused` are rows that are damaged, with the reason.
    """

    slices: tuple[Slice, ...]
    payload: bytes | None
    reason: str
    refused: tuple[tuple[RowHead, str], ...]


class Loader:
    """Encodes cargo for one vehicle. `expansion`: bytes of payload per byte of row, by class.

    `shapes`: the catalogue that the far end has, None while everything is named.
    """

    def __init__(self, vehicle: str, form: Format, groups: GroupOf) -> None:
        self._vehicle = vehicle
        self._format: Format = form
        self._groups = groups
        self.expansion: dict[StorageClass, float] = {}
        self.shapes: Shapes | None = None

    def load(self, cargo: Cargo, source: Source, foretold: Foretold = NOTHING) -> Loaded:
        """Load and encode; what is gone from the outbox meanwhile is left out.

        `foretold` is told beside what the cargo carries.
        """
        slices: list[Slice] = []
        runs: list[Run] = []
        refused: list[tuple[RowHead, str]] = []
        holes: list[Drop] = []
        for part in sorted(cargo.slices, key=lambda part: part.first):
            try:
                row = source.load(part.head)
            except KeyError:
                continue
            except RowDamaged:
                refused.append((part.head, "damaged"))
                continue
            slices.append(part)
            holes += row.holes(part.first, part.last)
            for first, records in row.within(part.first, part.last):
                runs.append(Run(first, part.head.boot, records))
        offsets = rows_for(source.offsets(), _spans(runs))
        drops = [*cargo.drops, *holes]
        payload = Payload(self._vehicle, cargo.epoch, runs, offsets, drops, (), *foretold)
        try:
            encoded = codec.encode(payload, self._groups, self._format, self.shapes)
        except Unencodable as error:
            return Loaded(tuple(slices), None, str(error), tuple(refused))
        self._learn(cargo.priority.storage_class, slices, len(encoded))
        return Loaded(tuple(slices), encoded, "", tuple(refused))

    def _learn(self, storage_class: StorageClass, slices: list[Slice], nbytes: int) -> None:
        stored = sum(
            part.head.nbytes * part.n / (part.head.last - part.head.first + 1) for part in slices
        )
        if stored >= MIN_LEARN_BYTES:
            now = nbytes / stored
            before = self.expansion.get(storage_class, now)
            self.expansion[storage_class] = before + LEARN * (now - before)


def _spans(runs: list[Run]) -> dict[str, tuple[int, int]]:
    """Boot -> boot times of its first and last record."""
    spans: dict[str, tuple[int, int]] = {}
    for run in runs:
        times_ms = Block.of(run.records).boottimes_ms
        if times_ms:
            first, last = spans.get(run.boot, (times_ms[0], times_ms[0]))
            spans[run.boot] = (min(first, *times_ms), max(last, *times_ms))
    return spans
