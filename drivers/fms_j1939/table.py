"""The parameter groups that a driver knows: from spns.toml, as its configuration has it."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.sdk import Group
from drivers.fms_j1939 import rows
from drivers.fms_j1939.driver_ids import DriverIds, Identity
from drivers.fms_j1939.multiplexed import Axles, Services
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.selected import Selected
from drivers.fms_j1939.telltales import Telltales
from drivers.fms_j1939.vehicle_clock import Clock

_DATA = Path(__file__).with_name("spns.toml")

_LAYOUTS: Mapping[str, type[Pgn]] = {
    "": Pgn,
    "axles": Axles,
    "services": Services,
    "clock": Clock,
    "telltales": Telltales,
    "drivers": DriverIds,
}


@functools.cache
def sections() -> Mapping[str, Mapping[str, Any]]:
    """The groups of spns.toml by name, as they stand there."""
    return MappingProxyType(tomllib.loads(_DATA.read_text(encoding="utf-8")))


def parameter_groups(
    listed: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    electric: bool = False,
    identity: Identity | None = None,
) -> Mapping[int, Pgn]:
    """The parameter groups by PGN, in the order of the file.

    `listed`: groups by name as in spns.toml, those of that file by default. `electric`: with those
    of battery-electric buses. `identity`: how drivers are named; without them where it is off.
    Raises ValueError with group and row where `listed` is wrong.
    """
    found: dict[int, Pgn] = {}
    for name, section in (sections() if listed is None else listed).items():
        if section.get("electric") and not electric:
            continue
        layout = section.get("layout", "")
        if layout == "drivers" and identity is not None and identity.mode == "off":
            continue
        number = section["pgn"]
        if number in found:
            raise ValueError(f"[{name}] pgn: {number} is [{found[number].group.name}] already")
        if layout != "drivers" and section == sections().get(name):
            found[number] = _unchanged(name)
        else:
            found[number] = _pgn(name, section, _LAYOUTS[layout], identity)
    _check_paths(found.values())
    return MappingProxyType(found)


def _check_paths(pgns: Iterable[Pgn]) -> None:
    """A path is declared in one group only; fallbacks are no declarations."""
    seen: dict[str, str] = {}
    for pgn in pgns:
        for path in pgn.group.index:
            if path in seen:
                raise ValueError(f"[{pgn.group.name}] {path} is declared in [{seen[path]}] already")
            seen[path] = pgn.group.name


@functools.cache
def _unchanged(name: str) -> Pgn:
    """A group as spns.toml has it: made once for all instances, it has no state of its own."""
    section = sections()[name]
    return _pgn(name, section, _LAYOUTS[section.get("layout", "")], None)


def _pgn(
    name: str, section: Mapping[str, Any], layout: type[Pgn], identity: Identity | None
) -> Pgn:
    spns = sorted(rows.parameters(name, section), key=lambda spn: spn.first_bit)
    rest: dict[str, Any] = {"identity": identity} if layout is DriverIds else {}
    selector = rows.selector(name, section)
    if selector is not None:
        layout = Selected
        rest = {"selector": selector, "when": rows.when(name, section)}
    return layout(
        section["pgn"],
        name,
        *spns,
        prefer=tuple(section.get("prefer", ())),
        silence_s=section.get("silence_s", 5.0),
        period_ms=section.get("period_ms", 1000),
        whole=rows.whole(name, section),
        **rest,
    )


def declared(pgns: Iterable[Pgn]) -> tuple[Group, ...]:
    """The groups of signals that parameter groups are emitted as; those without any are none."""
    return tuple(pgn.group for pgn in pgns if pgn.group.signals)


PGNS = parameter_groups()
"""The parameter groups by PGN, as without any configuration."""

GROUPS = declared(PGNS.values())
"""What they are emitted as."""
