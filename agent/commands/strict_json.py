"""JSON that leaves no room for two readings: no key twice, no NaN, no number beyond 64 bits."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from agent.values import INT64_MAX, INT64_MIN


def loads(text: bytes) -> Any:
    """The value of strict UTF-8 JSON. Raises ValueError, also where it is nested too deeply."""
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
        # Lone surrogates (UnicodeEncodeError is a ValueError) would fail far from here.
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number beyond 64 bits")
    return value


def _int(digits: str) -> int:
    if len(digits) > 20 or not INT64_MIN <= int(digits) <= INT64_MAX:
        raise ValueError("a number beyond 64 bits")
    return int(digits)
