"""Signals as an overlay for the COVESA VSS tools: `vspec export json -s SPEC -l OVERLAY`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

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

_UNITS = {"hPa": "mbar"}
"""Units that VSS knows by another name of the same size."""


def overlay(signals: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lines of the overlay: one leaf a path, and each branch above it that VSS has not.

    The first source that declares a path describes it.
    """
    nodes: dict[str, list[str]] = {}
    for signal in signals:
        parts = str(signal["path"]).split(".")
        for depth in range(2, len(parts)):
            branch = ".".join(parts[:depth])
            if parts[1] not in _ROOT_BRANCHES and branch not in nodes:
                nodes[branch] = ["  type: branch", f"  description: {_about(parts[:depth])}"]
        nodes.setdefault(signal["path"], _leaf(signal))
    shown = ["# Overlay for the COVESA Vehicle Signal Specification 6."]
    for path in sorted(nodes):
        shown += ["", f"{path}:", *nodes[path]]
    return shown


def _about(parts: list[str]) -> str:
    return f"Signals of this vehicle's own systems - {' '.join(parts[1:])}."


def _leaf(signal: Mapping[str, Any]) -> list[str]:
    about = [signal["meaning"]]
    if signal.get("definition"):
        about.append(f"({signal['definition']})")
    lines = [
        "  type: sensor",
        f"  datatype: {signal['datatype']}",
        # JSON strings are YAML strings: whatever stands in the text stays text.
        f"  description: {json.dumps(' '.join(about), ensure_ascii=False)}",
    ]
    if signal["unit"]:
        lines.insert(2, f"  unit: {_UNITS.get(signal['unit'], signal['unit'])}")
    whole = signal["datatype"] not in ("float", "double")
    for key, bound in (("min", signal.get("minimum")), ("max", signal.get("maximum"))):
        if bound is not None and signal["datatype"] not in ("boolean", "string"):
            lines.append(f"  {key}: {int(bound) if whole else float(bound)}")
    return lines
