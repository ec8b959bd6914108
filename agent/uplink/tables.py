"""Which records share the columns of a message: a table for each source, declared group and kind.

Pure. Where a signal changes its type, one more table of the same name is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import NamedTuple

from agent.record import Scalar
from agent.signals import Group
from agent.store.block import Block, Part
from agent.uplink import columns
from agent.uplink import telemetry_pb2 as pb
from agent.uplink.catalogue import Shapes
from agent.uplink.payload import GroupOf, Unencodable


class Sorted(NamedTuple):
    """A part of a block each of whose columns holds values of one sort; `sorts` by column."""

    part: Part
    sorts: Sequence[str]


class Table:
    """The records of one source, one declared group and one kind, while they are gathered.

    `position`: that of the group in the message.
    """

    def __init__(self, key: tuple[str, str, str], group: Group | None, position: int) -> None:
        self._key = key
        self._group = group
        self.position = position
        self.n = 0
        self._columns: dict[str, columns.Column] = {}

    def accepts(self, found: Sorted) -> bool:
        """Whether no column holds values of another sort."""
        for path, sort in zip(found.part.shape.paths, found.sorts, strict=True):
            column = self._columns.get(path)
            if column is not None and column.sort not in ("", sort):
                return False
        return True

    def reserve(self, paths: Iterable[str], sorts: Iterable[str]) -> None:
        """These columns are going to hold values of these sorts."""
        for path, sort in zip(paths, sorts, strict=True):
            self._column(path).sort = sort

    def add(self, parts: Sequence[Sorted]) -> None:
        """The records of some parts of one block; those follow those of the blocks before."""
        if len(parts) == 1:
            (alone,) = parts
            n = len(alone.part.members)
            self._add(alone, range(self.n, self.n + n))
        else:
            members = sorted(chain.from_iterable(found.part.members for found in parts))
            n = len(members)
            rank = dict(zip(members, range(self.n, self.n + n), strict=True))
            for found in parts:
                self._add(found, [rank[member] for member in found.part.members])
        self.n += n

    def _add(self, found: Sorted, at: Sequence[int]) -> None:
        part = found.part
        for path, sort, values in zip(part.shape.paths, found.sorts, part.values, strict=True):
            self._column(path).add(at, values, sort)
        for path, states in zip(part.shape.states, part.states, strict=True):
            self._column(path).add_states(at, states)

    def _column(self, path: str) -> columns.Column:
        column = self._columns.get(path)
        if column is None:
            column = self._columns[path] = columns.Column(path)
        return column

    def fill(self, group: pb.Group, shapes: Shapes | None) -> bool:
        """Write it; whether it refers to the catalogue."""
        source, name, group.kind = self._key
        place = shapes.place_of(source, self._group) if shapes and self._group else None
        if place is None:
            group.source, group.name = source, name
        else:
            group.shape = place + 1
        declared: Mapping[str, int] = self._group.index if self._group else {}
        for path in sorted(self._columns, key=lambda path: declared.get(path, len(declared))):
            signal = None
            if self._group and path in declared:
                signal = self._group.signals[declared[path]]
            column = group.columns.add()
            if signal is not None and place is not None:
                column.leaf = declared[path] + 1
            else:
                column.path, column.unit = path, signal.unit if signal else ""
            self._columns[path].fill(column, self.n, signal.steps_per_unit if signal else 0)
        return place is not None


class Tables:
    """Finds the table of each record."""

    def __init__(self, groups: GroupOf) -> None:
        self._groups = groups
        self._known: dict[tuple[object, ...], Group | None] = {}
        self._by_key: dict[tuple[str, str, str], list[Table]] = {}
        self.all: list[Table] = []

    def take(self, block: Block) -> Sequence[int]:
        """Put the records into their tables; gives the position of each one's table.

        Raises Unencodable.
        """
        chosen: dict[int, list[Sorted]] = {}
        for part in block.parts:
            for found in _sorted(part):
                chosen.setdefault(self._table(found).position, []).append(found)
        for position, parts in chosen.items():
            self.all[position].add(parts)
        if len(chosen) == 1:
            return list(repeat(next(iter(chosen)), len(block)))
        order = [0] * len(block)
        for position, parts in chosen.items():
            for member in chain.from_iterable(found.part.members for found in parts):
                order[member] = position
        return order

    def _table(self, found: Sorted) -> Table:
        """The table that the part goes into, with its columns reserved."""
        shape = found.part.shape
        paths = [*shape.paths, *shape.states]
        known = (shape.source, *paths)
        if known not in self._known:
            if len(set(paths)) != len(paths):
                raise Unencodable(f"a signal of {shape.source} has a value and a state")
            self._known[known] = self._groups(shape.source, paths)
        group = self._known[known]
        key = (shape.source, group.name if group else "", str(shape.kind))
        tables = self._by_key.setdefault(key, [])
        table = next((table for table in tables if table.accepts(found)), None)
        if table is None:
            table = Table(key, group, len(self.all))
            tables.append(table)
            self.all.append(table)
        table.reserve(shape.paths, found.sorts)
        return table


def _sorted(part: Part) -> list[Sorted]:
    """The part, in as many pieces as it takes to have one sort of values in each column."""
    sorts = [columns.sort_of_all(values) for values in part.values]
    alike = [sort for sort in sorts if sort is not None]
    if len(alike) == len(sorts):
        return [Sorted(part, alike)]
    rows: dict[tuple[str, ...], list[int]] = {}
    for at, row in enumerate(zip(*part.values, strict=True)):
        rows.setdefault(tuple(map(columns.sort_of, row)), []).append(at)
    return [Sorted(_piece(part, chosen), of) for of, chosen in rows.items()]


def _piece(part: Part, chosen: Sequence[int]) -> Part:
    def pick(column: Sequence[Scalar]) -> list[Scalar]:
        return [column[at] for at in chosen]

    return Part(
        part.shape,
        [part.members[at] for at in chosen],
        [pick(values) for values in part.values],
        [[states[at] for at in chosen] for states in part.states],
    )
