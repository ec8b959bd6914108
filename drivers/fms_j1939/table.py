"""The parameter groups that the driver knows, made from the data in spns.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.sdk import CHANGE, Thinning, sampled
from drivers.fms_j1939.spn import Pgn, Shape, Spn

_DATA = Path(__file__).with_name("spns.toml")


def _spns(section: Mapping[str, Any]) -> Iterator[Spn]:
    """The parameters of one group, in the order of the kinds."""
    for number, path, at, meaning in section.get("switches", ()):
        yield Spn(number, path, *_place(at), Shape.SWITCH, meaning)
    for number, path, at, keep, meaning in section.get("codes", ()):
        yield Spn(number, path, *_place(at), Shape.CODE, meaning, thinning=_thinning(keep))
    for number, path, at, step, offset, unit, keep, plausible, meaning in section.get(
        "numbers", ()
    ):
        worth = Fraction(step)
        yield Spn(
            number,
            path,
            *_place(at),
            Shape.NUMBER,
            meaning,
            unit,
            _thinning(keep),
            worth.numerator,
            worth.denominator,
            offset,
            *plausible,
        )
    for number, path, at, meaning in section.get("texts", ()):
        yield Spn(number, path, *_place(at), Shape.TEXT, meaning)


def _place(at: str) -> tuple[int, int, int]:
    """Byte, bit and number of bits of "byte.bit:bits"."""
    byte, _, rest = at.partition(".")
    bit, _, bits = rest.partition(":")
    return int(byte), int(bit), int(bits)


def _thinning(keep: Sequence[float]) -> Thinning:
    return sampled(*keep) if keep else CHANGE


def _pgn(name: str, section: Mapping[str, Any]) -> Pgn:
    spns = sorted(_spns(section), key=lambda spn: spn.first_bit)
    return Pgn(
        section["pgn"],
        name,
        *spns,
        prefer=tuple(section.get("prefer", ())),
        silence_s=section.get("silence_s", 5.0),
        period_ms=section.get("period_ms", 1000),
    )


def _load() -> Mapping[int, Pgn]:
    sections = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    pgns = (_pgn(name, section) for name, section in sections.items())
    return MappingProxyType({pgn.number: pgn for pgn in pgns})


PGNS = _load()
"""The known parameter groups by PGN."""

GROUPS = tuple(pgn.group for pgn in PGNS.values())
"""What they are emitted as."""
