"""One signal over the records of a group, as a column of the wire and back. Pure and lossless."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, filterfalse, repeat
from operator import mul, sub, truediv
from typing import TypeVar, cast

from agent.record import Scalar, State
from agent.uplink import telemetry_pb2 as pb
from agent.uplink.payload import STATE_NUMBERS, STATES, Undecodable, Unencodable

T = TypeVar("T")

NOTHING, VALUE, STATE = 0, 1, 2

# Integers this wide have a column of their own, one per sign: no difference leaves 64 bits.
_WIDE = 1 << 62
_INT64_MAX = (1 << 63) - 1
_INT64_MIN = -(1 << 63)
# Above this a double no longer holds every integer, so scaling could not be exact.
_EXACT = 1 << 53

_SORTS: Mapping[type, str] = {float: "float", int: "int", bool: "flag", str: "text"}

# Decimals that a sentence or a config spells out, tried where the declared resolution fails.
_DECIMAL_STEPS = (1, 10, 100, 1_000, 10_000)


def sort_of(value: Scalar) -> str:
    """Which list of a column takes the value: float, int, flag, text, or a wide int of a sign."""
    sort = _SORTS.get(type(value))
    if sort is None:
        raise Unencodable(f"{type(value).__name__} {value!r} is no float, int, bool or str")
    if sort != "int":
        return sort
    number = cast("int", value)
    if -_WIDE <= number < _WIDE:
        return sort
    if not _INT64_MIN <= number <= _INT64_MAX:
        raise Unencodable(f"{number} is beyond 64 bits")
    return "int+" if number > 0 else "int-"


def sort_of_all(values: Sequence[Scalar]) -> str | None:
    """The sort of some values, None where it is not one and the same; there must be one value."""
    types = set(map(type, values))
    if len(types) > 1:
        return None
    lowest, highest = values[0], values[0]
    if int in types:
        lowest, highest = min(values), max(values)
    sort = sort_of(lowest)
    return sort if sort == sort_of(highest) else None


def _scaled(values: list[float], steps: int) -> list[int] | None:
    """The values in steps, or None unless each comes back exactly."""
    try:
        # Of the ways to round many floats in CPython 3.11 the one that takes half as long.
        scaled = list(map(float.__round__, map(mul, values, repeat(float(steps)))))
    except (OverflowError, ValueError):  # infinities and NaN
        return None
    if scaled and not -_EXACT <= min(scaled) <= max(scaled) <= _EXACT:
        return None
    if list(map(truediv, scaled, repeat(steps))) != values:
        return None
    if any(math.copysign(1.0, zero) < 0 for zero in filterfalse(None, values)):  # -0.0
        return None
    return scaled


def _deltas(values: Sequence[int]) -> Iterator[int]:
    return map(sub, values, chain((0,), values))


class Column:
    """Gathers one signal of a group. Positions are those of the group's records."""

    __slots__ = ("_state_at", "_value_at", "_values", "path", "sort", "states")

    def __init__(self, path: str) -> None:
        self.path = path
        self.sort = ""
        """That of its values, empty while it has none."""
        self._value_at: list[Sequence[int]] = []
        self._values: list[Scalar] = []
        self._state_at: list[Sequence[int]] = []
        self.states: list[State] = []

    def add(self, at: Sequence[int], values: Sequence[Scalar], sort: str) -> None:
        """Values of one sort, the column's own where it has one; `at`: their positions."""
        self.sort = sort
        self._value_at.append(at)
        self._values.extend(values)

    def add_states(self, at: Sequence[int], states: Sequence[State]) -> None:
        """Reasons for having no value; `at`: their positions."""
        self._state_at.append(at)
        self.states.extend(states)

    def fill(self, column: pb.Column, n: int, steps: int) -> None:
        """Write its values for a group of `n` records. `steps`: declared resolution, 0 for none.

        Raises ValueError for a text that is not Unicode.
        """
        values = self._values
        if len(values) != n:
            value_at, values = _in_order(self._value_at, values)
            state_at, states = _in_order(self._state_at, self.states)
            presence = bytearray((n + 3) // 4)
            for at in value_at:
                presence[at >> 2] |= VALUE << ((at & 3) << 1)
            for at in state_at:
                presence[at >> 2] |= STATE << ((at & 3) << 1)
            column.presence = bytes(presence)
            column.states.extend([STATE_NUMBERS[state] for state in states])
        elif len(self._value_at) > 1:
            _, values = _in_order(self._value_at, values)
        if self.sort == "float":
            _fill_floats(column, cast("list[float]", values), steps)
        elif self.sort == "flag":
            column.flag.extend(cast("list[bool]", values))
        elif self.sort == "text":
            column.text.extend(cast("list[str]", values))
        elif self.sort:
            column.integer = True
            column.steps_per_unit = 1
            column.delta.extend(_deltas(cast("list[int]", values)))


def _fill_floats(column: pb.Column, values: list[float], steps: int) -> None:
    for candidate in dict.fromkeys((steps, *_DECIMAL_STEPS)):
        if 0 < candidate < 1 << 32 and (scaled := _scaled(values, candidate)) is not None:
            column.steps_per_unit = candidate
            column.delta.extend(_deltas(scaled))
            return
    column.real.extend(values)


def _in_order(at: Sequence[Sequence[int]], entries: list[T]) -> tuple[Iterable[int], list[T]]:
    """Positions and entries by rising position."""
    if all(isinstance(segment, range) for segment in at):  # those of one block after the other
        return chain.from_iterable(at), entries
    positions = list(chain.from_iterable(at))
    order = sorted(range(len(positions)), key=positions.__getitem__)
    return [positions[i] for i in order], [entries[i] for i in order]


def _values_of(column: pb.Column) -> list[Scalar]:
    lists = (column.delta, column.real, column.flag, column.text)
    if sum(1 for values in lists if values) > 1:
        raise Undecodable(f"{column.path}: more than one list of values")
    if not column.delta:
        return [*column.real, *column.flag, *column.text]
    whole = accumulate(column.delta)
    if column.integer:
        return list(whole)
    if not column.steps_per_unit:
        raise Undecodable(f"{column.path}: scaled values without their steps per unit")
    try:
        return [value / column.steps_per_unit for value in whole]
    except OverflowError as e:
        raise Undecodable(f"{column.path}: {e}") from e


def read(
    column: pb.Column,
    n: int,
    on_value: Callable[[int, Scalar], None],
    on_state: Callable[[int, State], None],
) -> None:
    """Call back with (record, value) and (record, state) for a group of `n` records.

    Raises Undecodable where the lists of the column do not fit its presence bits.
    """
    values = iter(_values_of(column))
    states = iter(column.states)
    presence = column.presence
    if presence and len(presence) != (n + 3) // 4:
        raise Undecodable(f"{column.path}: presence has {len(presence)} bytes for {n} records")
    try:
        for at in range(n):
            mark = (presence[at >> 2] >> ((at & 3) << 1)) & 3 if presence else VALUE
            if mark == VALUE:
                on_value(at, next(values))
            elif mark == STATE:
                on_state(at, STATES[next(states)])
            elif mark != NOTHING:
                raise Undecodable(f"{column.path}: presence 3 has no meaning")
    except (StopIteration, KeyError) as e:
        raise Undecodable(f"{column.path}: values or states are missing or unknown") from e
    if next(values, None) is not None or next(states, None) is not None:
        raise Undecodable(f"{column.path}: more values or states than records")
