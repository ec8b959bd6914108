"""Which values a declared datatype allows: one rule, applied where a driver states a value and
again where the coordinator lets it in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeGuard

from agent.record import Scalar
from agent.signals import Datatype

MAX_TEXT = 4_096
"""Longest string in characters, values and texts alike: a VIN has 17, a driver card line 72."""

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1

BOUNDS: Mapping[Datatype, tuple[int, int]] = MappingProxyType(
    {
        Datatype.UINT8: (0, (1 << 8) - 1),
        Datatype.UINT16: (0, (1 << 16) - 1),
        Datatype.UINT32: (0, (1 << 32) - 1),
        Datatype.INT8: (-(1 << 7), (1 << 7) - 1),
        Datatype.INT32: (-(1 << 31), (1 << 31) - 1),
        Datatype.INT64: (INT64_MIN, INT64_MAX),
    }
)


def checked(datatype: Datatype, value: object) -> Scalar:
    """`value` as the plain float, int, str or bool that `datatype` stands for.

    A whole number is welcome where a float is declared; a bool is never a number. Raises
    ValueError with what was expected and what came.
    """
    if datatype in BOUNDS:
        low, high = BOUNDS[datatype]
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return int(value)
    elif datatype is Datatype.BOOLEAN:
        if isinstance(value, bool):
            return value
    elif datatype is Datatype.STRING:
        if isinstance(value, str) and len(value) <= MAX_TEXT and _is_unicode(value):
            return str(value)
    elif _is_number(value):
        return float(value)
    raise ValueError(f"expected {_expectation(datatype)}, got {_shown(value)}")


def _is_number(value: object) -> TypeGuard[float | int]:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return INT64_MIN <= value <= INT64_MAX


def _is_unicode(text: str) -> bool:
    """No lone surrogates: they have no UTF-8 and would fail far from here."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _expectation(datatype: Datatype) -> str:
    if datatype in BOUNDS:
        low, high = BOUNDS[datatype]
        return f"{datatype.value} ({low}..{high})"
    if datatype is Datatype.STRING:
        return f"string of at most {MAX_TEXT} characters"
    return "true or false" if datatype is Datatype.BOOLEAN else f"finite {datatype.value}"


def _shown(value: object) -> str:
    """Type and value, short: it may be 10 MB."""
    if isinstance(value, str):
        return f"str of {len(value)} characters {value[:40]!r}"
    if isinstance(value, (bool, float)) or value is None:
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, int):
        return f"int {value}" if INT64_MIN <= value <= INT64_MAX else "int beyond 64 bits"
    return type(value).__name__
