"""What a vehicle adds to the table: a TOML file in the form of spns.toml, laid over it.

A group is met by its name, or by its PGN where the table has that under another name. Of a group
that is known, rows replace the parameter of the same number or path and others are added; `off`
lists numbers or paths to leave out, `off = true` leaves out the group.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.fms_j1939 import rows

MAX_BYTES = 4 << 20
MAX_GROUPS = 400
"""Each is one filter of the kernel, which takes 512 a socket."""

_SCALARS = ("pgn", "period_ms", "silence_s", "prefer", "electric", "multiplexer")
_TABLES = ("stated", "reserved", "special", "when")
_KINDS = (*rows.KIND_OF, "texts")
_KEYS = (*_SCALARS, *_TABLES, *_KINDS, "fallback", "off", "about")

_NO_PARAMETERS = frozenset({0xEA00, 0xEB00, 0xEC00, 0xFECA})

Listed = dict[str, dict[str, Any]]


def read(path: Path) -> Listed:
    """The groups of a file, every row checked; `[compiled]`, which is about the file, is left out.

    Raises ValueError with the file, the line or the group and row, and what was expected.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path}: more than {MAX_BYTES} bytes is no table of a vehicle")
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; correct the path or make the file") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; check its owner and mode") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}:{line}: expected UTF-8 text") from None
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: no TOML: {error}") from None
    found.pop("compiled", None)
    try:
        for name, section in found.items():
            check(name, section)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if len(found) > MAX_GROUPS:
        raise ValueError(f"{path}: {len(found)} groups, at most {MAX_GROUPS} are taken")
    return found


def laid_over(base: Mapping[str, Mapping[str, Any]], over: Listed, about: str) -> Listed:
    """`base` with the groups of `over`; both stay as they are.

    `about`: what new signals without an SPN name as their source. Raises ValueError where a group
    cannot take rows.
    """
    found: Listed = {name: dict(section) for name, section in base.items()}
    by_pgn = {section["pgn"]: name for name, section in found.items()}
    for name, section in over.items():
        known = name if name in found else by_pgn.get(section.get("pgn"))
        if section.get("off") is True:
            if known is None:
                raise ValueError(f"[{name}] off: no such group to switch off")
            del found[known]
        elif known is None:
            if "pgn" not in section:
                raise ValueError(f"[{name}] pgn: missing, and no group of the table is called that")
            found[name] = {"about": about, **section}
        else:
            found[known] = _laid(known, found[known], section, about)
    return found


def _laid(name: str, base: dict[str, Any], over: dict[str, Any], about: str) -> dict[str, Any]:
    if base.get("layout") and any(over.get(kind) for kind in _KINDS):
        raise ValueError(
            f"[{name}]: its layout is fixed; it takes no rows, only {_words(_SCALARS)}"
        )
    off = over.get("off", [])
    new = [row for kind in _KINDS for row in over.get(kind, [])]
    gone = {row[0] for row in new if row[0]} | {row[1] for row in new if row[1]} | set(off)
    named = {str(one) for one in gone}
    had = {cell for kind in _KINDS for row in base.get(kind, []) for cell in row[:2]}
    for one in off:
        if one not in had:
            raise ValueError(f"[{name}] off: {one!r} is not in this group")
    found = {"about": about, **base, **{key: over[key] for key in _SCALARS if key in over}}
    for kind in _KINDS:
        rest = [row for row in base.get(kind, []) if not gone & {row[0] or None, row[1] or None}]
        found[kind] = rest + over.get(kind, [])
    for key in _TABLES:
        # A replaced row brings its own exceptions.
        kept = {one: said for one, said in base.get(key, {}).items() if one not in named}
        found[key] = {**kept, **over.get(key, {})}
    found["fallback"] = [one for one in base.get("fallback", []) if one not in gone]
    found["fallback"] += over.get("fallback", [])
    return found


def check(name: str, section: object) -> None:
    """Raises ValueError where a group is not in the form of spns.toml."""
    if not isinstance(section, dict):
        raise ValueError(f"{name}: expected a group [{name}], got {section!r}")
    for key, value in section.items():
        if key not in _KEYS:
            import difflib

            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {_words(_KEYS)}"
            raise ValueError(f"[{name}] {key}: unknown key, {hint}")
        what = _wrong(key, value)
        if what:
            raise ValueError(f"[{name}] {key}: expected {what}, got {value!r}")
    if "multiplexer" in section and section.get("texts"):
        raise ValueError(f"[{name}] texts: a group with a multiplexer takes none")
    for _ in rows.parameters(name, section):
        pass


def _wrong(key: str, value: object) -> str:
    """What was expected of a key; empty where the value is right or judged elsewhere."""
    if key == "pgn":
        return "" if is_pgn(value) else "the number of a parameter group, 0 to 262143"
    if key in ("period_ms", "silence_s"):
        kinds, top = ((int,), 3_600_000) if key == "period_ms" else ((int, float), 3_600)
        right = isinstance(value, kinds) and not isinstance(value, bool) and 0 <= value <= top
        return "" if right else f"a number from 0 to {top}"
    if key == "prefer":
        right = isinstance(value, list) and all(type(sa) is int and 0 <= sa <= 253 for sa in value)
        return "" if right else "a list of source addresses, 0 to 253"
    if key == "electric":
        return "" if isinstance(value, bool) else "true or false"
    if key in ("off", "fallback"):
        right = (key == "off" and value is True) or _all_of(value, (int, str))
        return "" if right else "a list of SPNs and paths" + " or true" * (key == "off")
    if key in _TABLES:
        return "" if isinstance(value, dict) else "a table by SPN or path"
    return ""


def is_pgn(value: object) -> bool:
    """Whether `value` is the number of a parameter group that may carry parameters.

    Below 0xF000 (PDU1) the low byte is the destination, not part of the number. Transport and
    requests carry none; active faults (DM1) are a list, which is read elsewhere.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 0x3FFFF:
        return False
    return (value & 0xFF00 >= 0xF000 or not value & 0xFF) and value not in _NO_PARAMETERS


def _all_of(value: object, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, kinds) and not isinstance(one, bool) for one in value
    )


def _words(keys: tuple[str, ...]) -> str:
    return ", ".join(keys)
