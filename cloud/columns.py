"""One column of a group, spread over the records that it belongs to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, compress

from cloud import telemetry_pb2 as pb
from cloud.batch import INT64_MAX, INT64_MIN, MAX_VALUES, STATES, Scalar, check_text

_NO_NEWS, _VALUE, _STATE = 0, 1, 2
_UNPACKED = tuple(tuple((byte >> shift) & 3 for shift in (0, 2, 4, 6)) for byte in range(256))
"""A byte of `presence` -> its four entries, lowest bits first."""


def spread(
    column: pb.Column,
    path: str,
    where: Sequence[int],
    kept: Sequence[dict[str, Scalar]],
    states: Sequence[dict[str, str]],
) -> None:
    """Writes one column's values and states into its records, which are at the places `where`."""
    with_value: Sequence[int] = where
    with_state: Sequence[int] = ()
    if column.presence:
        codes = _presence(column.presence, len(where), path)
        with_value = list(compress(where, [code == _VALUE for code in codes]))
        with_state = list(compress(where, [code == _STATE for code in codes]))
    values = _values(column, path)
    if len(values) != len(with_value):
        raise ValueError(f"{path}: {len(values)} values for {len(with_value)} records")
    if len(column.states) != len(with_state):
        raise ValueError(f"{path}: {len(column.states)} states for {len(with_state)} records")
    for place, value in zip(with_value, values, strict=True):
        kept[place][path] = value
    for place, state in zip(with_state, column.states, strict=True):
        if not 1 <= state <= len(STATES):
            raise ValueError(f"{path}: state {state} is not known")
        states[place][path] = STATES[state - 1]


def _presence(packed: bytes, n: int, path: str) -> list[int]:
    if len(packed) != (n + 3) // 4:
        raise ValueError(f"{path}: presence of {len(packed)} bytes for {n} records")
    codes = list(chain.from_iterable(map(_UNPACKED.__getitem__, packed)))
    if any(codes[n:]) or 3 in codes:
        raise ValueError(f"{path}: presence has a code that is not 0, 1 or 2")
    return codes[:n]


def _values(column: pb.Column, path: str) -> Sequence[Scalar]:
    """The one value list that a column uses."""
    sizes = [len(column.delta), len(column.real), len(column.flag), len(column.text)]
    if sum(map(bool, sizes)) > 1:
        raise ValueError(f"{path}: more than one list of values")
    if max(sizes) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values in one message")
    if column.delta:
        return list(_numbers(column, path))
    if column.real:
        reals = list(column.real)
        # The sum of finite doubles may overflow, so each is looked at: v - v is 0 or NaN.
        if any(value - value != 0.0 for value in reals):
            raise ValueError(f"{path}: a value that is not finite")
        return reals
    if column.text:
        return [check_text(text, path) for text in column.text]
    return list(column.flag)


def _numbers(column: pb.Column, path: str) -> Iterator[int] | Iterator[float]:
    entries = list(accumulate(column.delta))
    if min(entries) < INT64_MIN or max(entries) > INT64_MAX:
        raise ValueError(f"{path}: a number beyond 64 bits")
    steps = column.steps_per_unit
    if column.integer:
        if steps != 1:
            raise ValueError(f"{path}: an integer with {steps} steps per unit")
        return iter(entries)
    if steps == 0:
        raise ValueError(f"{path}: 0 steps per unit")
    return (entry / steps for entry in entries)
