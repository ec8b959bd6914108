"""Signals as an overlay for the COVESA VSS tools: `vspec export json -s SPEC -l OVERLAY`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from agent.cli.exits import DEGRADED, CliError

_ROOT_BRANCHES = frozenset(
    {
        *(
            "ADAS",
            "Acceleration",
            "AngularVelocity",
            "Orientation",
            "Body",
            "Cabin",
            "Chassis",
            "Connectivity",
            "ControlUnit",
            "CurrentLocation",
        ),
        *("Diagnostics", "Driver", "Exterior", "LowVoltageBattery", "MotionManagement", "OBD"),
        *("Occupant", "Powertrain", "Safety", "Service", "Trailer", "VehicleIdentification"),
        "VersionVSS",
    }
)
"""Branches right under Vehicle that VSS 6 has: what is in them is described there."""

_RENAMED = {"hPa": "mbar"}
"""Units that VSS knows by another name of the same size."""

VSS_UNITS = frozenset(
    [
        "mm",
        "cm",
        "m",
        "km",
        "inch",
        "km/h",
        "m/s",
        "m/s^2",
        "cm/s^2",
        "ml",
        "l",
        "cm^3",
        "celsius",
        "fahrenheit",
        "degrees",
        "degrees/s",
        "rad/s",
        "W",
        "kW",
        "PS",
        "kWh",
        "g",
        "kg",
        "lbs",
        "V",
        "A",
        "Ah",
        "ms",
        "s",
        "min",
        "h",
        "day",
        "weeks",
        "months",
        "years",
        "unix-time",
        "iso8601",
        "mbar",
        "Pa",
        "kPa",
        "psi",
        "stars",
        "g/s",
        "g/km",
        "kWh/100km",
        "Wh/km",
        "ml/100km",
        "l/100km",
        "l/h",
        "mpg-us",
        "mpg-uk",
        "mpge",
        "mpg",
        "km/l",
        "N",
        "kN",
        "Nm",
        "rpm",
        "Hz",
        "cpm",
        "bpm",
        "ratio",
        "percent",
        "nm/km",
        "dBm",
        "dB",
        "Ohm",
        "lx",
    ]
)
"""The units of VSS 6; another one would have the tools refuse the whole overlay."""


def overlay(signals: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lines of the overlay: one leaf a path, and the branches above it.

    The first source that declares a path describes it. A branch below one that VSS has is named
    without a description: where VSS has it as well, it keeps its own. Raises CliError where a
    path is a leaf and the beginning of another one.
    """
    nodes: dict[str, list[str]] = {}
    branches: dict[str, list[str]] = {}
    for signal in signals:
        parts = str(signal["path"]).split(".")
        for depth in range(2, len(parts)):
            about = ["  type: branch"]
            if parts[1] not in _ROOT_BRANCHES:
                about.append(f"  description: {_about(parts[:depth])}")
            elif depth == 2:
                continue
            branches.setdefault(".".join(parts[:depth]), about)
        nodes.setdefault(signal["path"], _leaf(signal))
    if both := sorted(nodes.keys() & branches.keys()):
        text = f"{both[0]} is a signal and the beginning of another one: rename one of them"
        raise CliError(text, DEGRADED)
    nodes |= branches
    shown = ["# Overlay for the COVESA Vehicle Signal Specification 6."]
    for path in sorted(nodes):
        shown += ["", f"{path}:", *nodes[path]]
    return shown


def _about(parts: list[str]) -> str:
    return f"Signals of this vehicle's own systems - {' '.join(parts[1:])}."


def _leaf(signal: Mapping[str, Any]) -> list[str]:
    about = [signal["meaning"]]
    unit = _RENAMED.get(signal["unit"], signal["unit"])
    if unit and unit not in VSS_UNITS:
        about.append(f"In {unit}.")
    if signal.get("definition"):
        about.append(f"({signal['definition']})")
    lines = [
        "  type: sensor",
        f"  datatype: {signal['datatype']}",
        # JSON strings are YAML strings: whatever stands in the text stays text.
        f"  description: {json.dumps(' '.join(about), ensure_ascii=False)}",
    ]
    if unit in VSS_UNITS:
        lines.insert(2, f"  unit: {unit}")
    whole = signal["datatype"] not in ("float", "double")
    for key, bound in (("min", signal.get("minimum")), ("max", signal.get("maximum"))):
        if bound is not None and signal["datatype"] not in ("boolean", "string"):
            lines.append(f"  {key}: {int(bound) if whole else float(bound)}")
    return lines
