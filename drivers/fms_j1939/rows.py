"""The rows of a table file (spns.toml, an overlay): read, checked, made into parameters.

Errors are ValueErrors that name the group, the row and what was expected; the caller adds the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from agent.sdk import CHANGE, Datatype, Thinning, sampled
from drivers.fms_j1939.spn import Shape, Special, Spn

COLUMNS = {
    "switches": ("spn", "signal", "at", "meaning"),
    "codes": ("spn", "signal", "at", "keep", "meaning"),
    "integers": ("spn", "signal", "at", "offset", "keep", "plausible", "meaning"),
    "numbers": (
        *("spn", "signal", "at", "step", "offset", "unit", "keep", "plausible", "meaning"),
    ),
    "texts": ("spn", "signal", "at", "form", "meaning"),
    "whole": ("signal", "type", "unit", "keep", "plausible", "meaning"),
}
"""The columns of a row by kind."""

KIND_OF = {
    "switches": Shape.SWITCH,
    "codes": Shape.CODE,
    "integers": Shape.INTEGER,
    "numbers": Shape.NUMBER,
}

MAX_SPN = (1 << 19) - 1
MAX_BITS = 64
_MAX_MESSAGE_BITS = 1785 * 8
_PLACE = re.compile(r"([0-9]{1,4})\.([1-8]):([0-9]{1,5})")
_FRACTION = re.compile(r"-?[0-9]{1,12}((/[1-9][0-9]{0,11})|(\.[0-9]{1,12}))?")
_PATH = re.compile(r"Vehicle(\.[A-Z][A-Za-z0-9]*(\{(row|component)\})?)+")

# By name, since a float of it would be a rounded one.
_TURN = {"180/pi": 180 / math.pi}


def parameters(name: str, section: Mapping[str, Any]) -> Iterator[Spn]:
    """The parameters of one group, in the order of the kinds."""
    for kind in (*KIND_OF, "texts"):
        for at, row in enumerate(_list(name, section, kind), 1):
            yield _checked(f"[{name}] {kind} row {at}", kind, row, section)


def whole(name: str, section: Mapping[str, Any]) -> tuple[Spn, ...]:
    """The signals made of whole messages of one group."""
    rows = enumerate(_list(name, section, "whole"), 1)
    return tuple(_checked(f"[{name}] whole row {at}", "whole", row, section) for at, row in rows)


def _list(name: str, section: Mapping[str, Any], key: str) -> list[Any]:
    rows = section.get(key, [])
    if not isinstance(rows, list):
        raise ValueError(f"[{name}] {key}: expected a list of rows, got {rows!r}")
    return rows


def _checked(where: str, kind: str, row: object, section: Mapping[str, Any]) -> Spn:
    columns = COLUMNS[kind]
    if not isinstance(row, list) or len(row) != len(columns):
        raise ValueError(f"{where}: expected [{', '.join(columns)}], got {row!r}")
    cells = dict(zip(columns, row, strict=True))
    try:
        return (
            _whole(cells, section["pgn"]) if kind == "whole" else _parameter(kind, cells, section)
        )
    except (ValueError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"{where}: {error}") from None


def _whole(cells: Mapping[str, Any], pgn: int) -> Spn:
    low, high = _limits(cells["plausible"])
    return Spn(
        0,
        path(cells["signal"]),
        *(1, 1, 0),
        Shape.WHOLE,
        _text("meaning", cells["meaning"]),
        _text("unit", cells["unit"], empty=True),
        _thinning(cells["keep"]),
        minimum=low,
        maximum=high,
        datatype=Datatype(cells["type"]),
        source=f"SAE J1939-71 PGN {pgn}",
    )


def _parameter(kind: str, cells: Mapping[str, Any], section: Mapping[str, Any]) -> Spn:
    number = cells["spn"]
    if type(number) is not int or not 0 <= number <= MAX_SPN:
        raise ValueError(f"spn: expected a number from 0 to {MAX_SPN}, got {number!r}")
    signal = cells["signal"]
    byte, bit, bits = _place(cells["at"])
    if kind == "texts":
        shape = _form(cells["form"], section)
    else:
        shape = KIND_OF[kind]
        if bits > MAX_BITS:
            raise ValueError(f"at: at most {MAX_BITS} bits, got {bits}")
    step = _fraction("step", cells.get("step", 1))
    if step <= 0:
        raise ValueError(f"step: expected a fraction above 0, got {step}")
    low, high = _limits(cells.get("plausible", []))
    name = (number, signal)
    factor, unit = _stated(_exception(section, "stated", name))
    return Spn(
        number,
        path(signal) if signal != "" else "",
        byte,
        bit,
        bits,
        shape,
        _text("meaning", cells["meaning"]),
        _text("unit", cells.get("unit", ""), empty=True),
        _thinning(cells.get("keep", [])),
        step.numerator,
        step.denominator,
        _fraction("offset", cells.get("offset", 0)),
        low,
        high,
        unit,
        factor,
        _reserved(_exception(section, "reserved", name)),
        _special(_exception(section, "special", name)),
        fallback=any(one and one in section.get("fallback", ()) for one in name),
        source="" if number else section.get("about", "unverified"),
    )


def _form(form: object, section: Mapping[str, Any]) -> Shape:
    """The shape of a text row; drivers' cards have a layout of their own."""
    if form == "identifier" and section.get("layout") == "drivers":
        return Shape.IDENTIFIER
    if form in ("text", "vin", "version"):
        return Shape(form)
    raise ValueError(f"form: expected text, vin or version, got {form!r}")


def _exception(section: Mapping[str, Any], key: str, name: tuple[int, str]) -> Any:
    """What a table of the group says of the parameter, by number or path."""
    listed = section.get(key, {})
    number, signal = name
    return listed.get(signal, listed.get(str(number)) if number else None)


def selector(name: str, section: Mapping[str, Any]) -> tuple[int, int] | None:
    """First bit from 0 and number of bits of a group's `multiplexer`; None where it has none."""
    if "multiplexer" not in section:
        return None
    try:
        byte, bit, bits = _place(section["multiplexer"])
        if bits > MAX_BITS:
            raise ValueError(f"at: at most {MAX_BITS} bits, got {bits}")
    except ValueError as error:
        raise ValueError(f"[{name}] multiplexer: {error}") from None
    return (byte - 1) * 8 + bit - 1, bits


def when(name: str, section: Mapping[str, Any]) -> dict[str, frozenset[int]]:
    """The values of the selector with which a parameter is there, by path."""
    found = {}
    for one, values in section.get("when", {}).items():
        if not isinstance(values, list) or any(type(value) is not int for value in values):
            raise ValueError(f"[{name}] when: {one}: expected a list of values, got {values!r}")
        found[one] = frozenset(values)
    return found


def path(text: object) -> str:
    """A VSS path. Raises ValueError where it is none."""
    if not isinstance(text, str) or len(text) > 200 or _PATH.fullmatch(text) is None:
        raise ValueError(f"signal: expected a path like Vehicle.Bus.Custom.Name, got {text!r}")
    return text


def _place(at: object) -> tuple[int, int, int]:
    """Byte, bit and number of bits of "byte.bit:bits"."""
    found = _PLACE.fullmatch(at) if isinstance(at, str) else None
    if found is None:
        raise ValueError(f"at: expected byte.bit:bits, counted from 1, got {at!r}")
    byte, bit, bits = (int(group) for group in found.groups())
    if byte < 1 or bits < 1 or (byte - 1) * 8 + bit - 1 + bits > _MAX_MESSAGE_BITS:
        raise ValueError(f"at: {at} is not within a message of {_MAX_MESSAGE_BITS // 8} bytes")
    return byte, bit, bits


def _thinning(keep: object) -> Thinning:
    pair = _numbers("keep", keep)
    if not pair:
        return CHANGE
    if not 0 < pair[0] <= 86_400 or pair[1] < 0:
        raise ValueError(f"keep: expected [] or [seconds, deadband], got {keep!r}")
    return sampled(*pair)


def _limits(plausible: object) -> tuple[float | None, float | None]:
    pair = _numbers("plausible", plausible)
    if not pair:
        return None, None
    if pair[0] >= pair[1]:
        raise ValueError(f"plausible: expected [lowest, highest], got {plausible!r}")
    return pair[0], pair[1]


def _numbers(what: str, pair: Any) -> list[float]:
    if isinstance(pair, list) and len(pair) in (0, 2):
        numbers = [x for x in pair if type(x) in (int, float) and math.isfinite(x)]
        if len(numbers) == len(pair):
            return numbers
    raise ValueError(f"{what}: expected [] or two numbers, got {pair!r}")


def _fraction(what: str, text: object) -> Fraction:
    if type(text) is int and abs(text) < 10**12:
        return Fraction(text)
    # Not all that Fraction takes: "1e999999999" would take all memory.
    if isinstance(text, str) and _FRACTION.fullmatch(text):
        return Fraction(text)
    raise ValueError(f'{what}: expected a whole number or a fraction like "1/256", got {text!r}')


def _stated(pair: Any) -> tuple[Fraction | float, str]:
    """Factor and unit of what is stated; 1 and "" where it is as the standard says."""
    if pair is None:
        return Fraction(1), ""
    if not isinstance(pair, list) or len(pair) != 2:
        raise ValueError(f"stated: expected [factor, unit], got {pair!r}")
    factor, unit = pair
    turn = _TURN.get(factor) if isinstance(factor, str) else None
    return turn or _fraction("stated", factor), _text("unit", unit)


def _reserved(raws: Any) -> frozenset[int]:
    if raws is None:
        return frozenset()
    if not isinstance(raws, list) or any(type(raw) is not int for raw in raws):
        raise ValueError(f"reserved: expected a list of raw values, got {raws!r}")
    return frozenset(raws)


def _special(row: Any) -> Special | None:
    if row is None:
        return None
    if not isinstance(row, list) or [type(cell) for cell in row] != [int, int, str]:
        raise ValueError(f"special: expected [raw, stated, meaning], got {row!r}")
    return Special(*row)


def _text(what: str, text: object, *, empty: bool = False) -> str:
    if not isinstance(text, str) or not (text or empty) or len(text) > 500:
        raise ValueError(f"{what}: expected text of at most 500 characters, got {text!r}")
    return text
