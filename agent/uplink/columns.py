"""One signal over the records of a group, as a column of the wire and back. Pure and lossless."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain, repeat
from operator import mul, ne, sub, truediv

from agent.record import Scalar, State
from agent.uplink import telemetry_pb2 as pb
from agent.uplink.payload import STATE_NUMBERS, STATES, Undecodable, Unencodable

NOTHING, VALUE, STATE = 0, 1, 2

# Integers this wide have a column of their own, one per sign: no difference leaves 64 bits.
_WIDE = 1 << 62
_INT64_MAX = (1 << 63) - 1
_INT64_MIN = -(1 << 63)
# Above this a double no longer holds every integer, so scaling could not be exact.
_EXACT = 1 << 53

# Decimals that a sentence or a config spells out, tried where the declared resolution fails.
_DECIMAL_STEPS = (1, 10, 100, 1_000, 10_000)


def sort_of(value: Scalar) -> str:
    """Which list of a column takes the value: float, int, flag, text, or a wide int of a sign."""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, float):
        return "float"
    if isinstance(value, int):
        if is_narrow(value):
            return "int"
        if not _INT64_MIN <= value <= _INT64_MAX:
            raise Unencodable(f"{value} is beyond 64 bits")
        return "int+" if value > 0 else "int-"
    if isinstance(value, str):
        return "text"
    raise Unencodable(f"{type(value).__name__} {value!r} is no float, int, bool or str")


def is_narrow(value: Scalar) -> bool:
    """Whether an int shares its column with others: no difference of two leaves 64 bits."""
    return isinstance(value, int) and -_WIDE <= value < _WIDE


def _scaled(values: Sequence[float], steps: int) -> list[int] | None:
    """The values in steps, or None unless each comes back exactly."""
    try:
        scaled = list(map(round, map(mul, values, repeat(steps))))
    except (OverflowError, ValueError):  # infinities and NaN
        return None
    if scaled and not -_EXACT <= min(scaled) <= max(scaled) <= _EXACT:
        return None
    if any(map(ne, map(truediv, scaled, repeat(steps)), values)):
        return None
    if 0 in scaled and any(not value and math.copysign(1.0, value) < 0 for value in values):  # -0.0
        return None
    return scaled


def _deltas(values: Sequence[int]) -> Iterator[int]:
    return map(sub, values, chain((0,), values))


class Column:
    """Gathers one signal while the records of its group pass by."""

    __slots__ = ("path", "sort", "state_at", "states", "value_at", "values")

    def __init__(self, path: str) -> None:
        self.path = path
        self.sort = ""
        self.value_at: list[int] = []
        self.values: list[Scalar] = []
        self.state_at: list[int] = []
        self.states: list[State] = []

    def fill(self, column: pb.Column, n: int, steps: int) -> None:
        """Write its values for a group of `n` records. `steps`: declared resolution, 0 for none.

        Raises ValueError for a text that is not Unicode.
        """
        if len(self.values) != n:
            presence = bytearray((n + 3) // 4)
            for at in self.value_at:
                presence[at >> 2] |= VALUE << ((at & 3) << 1)
            for at in self.state_at:
                presence[at >> 2] |= STATE << ((at & 3) << 1)
            column.presence = bytes(presence)
            column.states.extend([STATE_NUMBERS[state] for state in self.states])
        if self.sort == "float":
            self._fill_floats(column, steps)
        elif self.sort == "flag":
            column.flag.extend(self.values)  # type: ignore[arg-type]
        elif self.sort == "text":
            column.text.extend(self.values)  # type: ignore[arg-type]
        elif self.sort:
            column.integer = True
            column.steps_per_unit = 1
            column.delta.extend(_deltas(self.values))  # type: ignore[arg-type]

    def _fill_floats(self, column: pb.Column, steps: int) -> None:
        values: list[float] = self.values  # type: ignore[assignment]
        for candidate in dict.fromkeys((steps, *_DECIMAL_STEPS)):
            if 0 < candidate < 1 << 32 and (scaled := _scaled(values, candidate)) is not None:
                column.steps_per_unit = candidate
                column.delta.extend(_deltas(scaled))
                return
        column.real.extend(values)


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
