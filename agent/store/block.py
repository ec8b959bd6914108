"""Records as columns: what a row's body holds, and what the uplink makes its messages of.

Records of one source and kind with the same signals share a Shape and lie side by side, one column
a signal. A drain reads hundreds of thousands of records: as columns they are never made one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, overload

from agent.record import Blob, Kind, Record, Scalar, State

_NO_BLOBS: Mapping[int, Blob] = {}


class Shape(NamedTuple):
    """What records have in common: `paths` have a value, `states` (paths too) have none."""

    source: str
    kind: Kind
    paths: tuple[str, ...]
    states: tuple[str, ...] = ()


class Part(NamedTuple):
    """The records of a block that have one shape.

    `members` are their positions in the block, rising; `values[i]` is the column of `paths[i]` and
    `states[i]` that of the shape's `states[i]`, an entry a member.
    """

    shape: Shape
    members: Sequence[int]
    values: Sequence[Sequence[Scalar]]
    states: Sequence[Sequence[State]]


class Block(Sequence[Record]):
    """A sequence of records that are made only when they are asked for."""

    __slots__ = ("blobs", "boottimes_ms", "parts")

    def __init__(
        self,
        boottimes_ms: Sequence[int],
        parts: Sequence[Part],
        blobs: Mapping[int, Blob] = _NO_BLOBS,
    ) -> None:
        """`blobs`: by the position of their record."""
        self.boottimes_ms = boottimes_ms
        self.parts = parts
        self.blobs = blobs

    @classmethod
    def of(cls, records: Iterable[Record]) -> Block:
        """The block of some records, in their order."""
        if isinstance(records, Block):
            return records
        boottimes_ms: list[int] = []
        blobs: dict[int, Blob] = {}
        by_shape: dict[Shape, tuple[list[int], list[Record]]] = {}
        for at, record in enumerate(records):
            boottimes_ms.append(record.boottime_ms)
            if record.blob is not None:
                blobs[at] = record.blob
            shape = Shape(record.source, record.kind, tuple(record.values), tuple(record.states))
            found = by_shape.get(shape)
            if found is None:
                found = by_shape[shape] = ([], [])
            found[0].append(at)
            found[1].append(record)
        parts = [
            Part(
                shape,
                members,
                list(zip(*(record.values.values() for record in alike), strict=True)),
                list(zip(*(record.states.values() for record in alike), strict=True)),
            )
            for shape, (members, alike) in by_shape.items()
        ]
        return cls(boottimes_ms, parts, blobs)

    def __len__(self) -> int:
        return len(self.boottimes_ms)

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | Sequence[Record]:
        if isinstance(at, slice) and at.indices(len(self)) == (0, len(self), 1):
            return self
        return list(self)[at]

    def __iter__(self) -> Iterator[Record]:
        records: list[Record | None] = [None] * len(self)
        for part in self.parts:
            source, kind, paths, states = part.shape
            values = zip(*part.values, strict=True) if paths else iter([()] * len(part.members))
            stated = zip(*part.states, strict=True) if states else iter([()] * len(part.members))
            for at, row, reasons in zip(part.members, values, stated, strict=True):
                records[at] = Record(
                    source,
                    self.boottimes_ms[at],
                    dict(zip(paths, row, strict=True)),
                    dict(zip(states, reasons, strict=True)),
                    kind,
                    self.blobs.get(at),
                )
        return (record for record in records if record is not None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]
