"""`brain signals --format vspec` before the judge: the COVESA VSS tools take it, strictly."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.cli.exits import CliError
from agent.cli.vspec import overlay

from .conftest import Brain

VSPEC = Path(sys.executable).with_name("vspec")
CONFIG = """
[vehicle]
id = "bus-1"
[drivers.gnss]
type = "gnss_nmea0183"
port = "/dev/gnss"
[drivers.fms]
type = "fms_j1939"
channel = "/dev/can-usb"
"""

# Of the official tree, which is not here: its root, one branch and one leaf of it; and units by
# the names that VSS 6 gives them. A unit that is not among them is refused.
BASE = """
Vehicle:
  type: branch
  description: High-level vehicle data.

Vehicle.Chassis:
  type: branch
  description: All data concerning steering, suspension, wheels, and brakes.

Vehicle.Chassis.Accelerator:
  type: branch
  description: Accelerator signals

Vehicle.Speed:
  datatype: float
  type: sensor
  unit: km/h
  description: Vehicle speed.
"""
UNITS = [
    "mm",
    "m",
    "km",
    "km/h",
    "m/s^2",
    "l",
    "celsius",
    "degrees",
    "degrees/s",
    "W",
    "kW",
    "kWh",
    "kg",
    "V",
    "A",
    "ms",
    "s",
    "min",
    "h",
    "mbar",
    "Pa",
    "kPa",
    "l/h",
    "km/l",
    "Nm",
    "rpm",
    "Hz",
    "percent",
    "ratio",
    "dBm",
    "dB",
]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vss")
    (folder / "base.vspec").write_text(BASE)
    (folder / "quantities.yaml").write_text("any:\n  definition: Anything.\n")
    (folder / "units.yaml").write_text(
        "".join(
            f"{unit}:\n  definition: {unit}\n  unit: {unit}\n  quantity: any\n"
            "  allowed-datatypes: ['numeric']\n"
            for unit in UNITS
        )
    )
    return folder


def export(tools: Path, text: str, *options: str) -> dict[str, Mapping[str, Any]]:
    """The leaves of the tree with the overlay on it. Raises AssertionError where it is refused."""
    (tools / "overlay.vspec").write_text(text)
    command = [str(VSPEC), "--log-level", "ERROR", "export", "json", "-o", "out.json"]
    command += ["-s", "base.vspec", "-l", "overlay.vspec", "-q", "quantities.yaml"]
    command += ["-u", "units.yaml", *options]
    done = subprocess.run(
        command, cwd=tools, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(leaves(json.loads((tools / "out.json").read_text()), ""))


def leaves(tree: Mapping[str, Any], above: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, node in tree.items():
        if node["type"] == "branch":
            yield from leaves(node.get("children", {}), f"{above}{name}.")
        else:
            yield above + name, node


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tmp_path_factory.mktemp("config") / "brain.toml"
    config.write_text(CONFIG)
    return config


def test_every_signal_of_both_drivers_is_in(
    process: Brain, tools: Path, declared: Path, tmp_path: Path
) -> None:
    where = ("--config", declared, "--run-dir", tmp_path)
    signals = process("signals", "--json", *where).json
    text = process("signals", "--format", "vspec", *where).out
    # VSS wants the name of a boolean to begin with Is or Has; those of ours that do not are
    # what the FMS-Standard calls a switch or an indication, and are let off one by one.
    let_off = [
        signal["path"]
        for signal in signals
        if signal["datatype"] == "boolean"
        and not signal["path"].rpartition(".")[2].startswith(("Is", "Has"))
    ]
    (tools / "exceptions.yaml").write_text(
        "".join(f"{path}:\n  - name-style\n" for path in sorted(set(let_off)))
    )
    found = export(tools, text, "--strict", "--strict-exceptions", "exceptions.yaml")
    assert {signal["path"] for signal in signals} <= found.keys()
    for signal in signals:
        leaf = found[signal["path"]]
        assert leaf["datatype"] == signal["datatype"]
        assert signal["meaning"] in leaf["description"]
        if signal["unit"] in UNITS:
            assert leaf["unit"] == signal["unit"]
    tree = json.loads((tools / "out.json").read_text())
    chassis = tree["Vehicle"]["children"]["Chassis"]["children"]
    assert chassis["Accelerator"]["description"] == "Accelerator signals", "VSS describes its own"


def test_no_leaf_is_also_a_branch(process: Brain, declared: Path, tmp_path: Path) -> None:
    signals = process("signals", "--json", "--config", declared, "--run-dir", tmp_path).json
    paths = {signal["path"] for signal in signals}
    branches = {path.rsplit(".", up)[0] for path in paths for up in range(1, path.count(".") + 1)}
    assert paths & branches == set()


def signal(path: str, **changes: object) -> dict[str, object]:
    base = {"path": path, "datatype": "float", "unit": "", "meaning": "M.", "definition": "D"}
    return {**base, "minimum": None, "maximum": None, **changes}


@pytest.mark.parametrize(
    ("declaration", "want"),
    [
        (signal("Vehicle.Bus.A", unit="km/h"), {"unit": "km/h", "description": "M. (D)"}),
        (signal("Vehicle.Bus.A", unit="hPa"), {"unit": "mbar"}),
        (signal("Vehicle.Bus.A", unit="dB-Hz"), {"description": "M. In dB-Hz. (D)"}),
        (signal("Vehicle.Bus.A", minimum=0, maximum=1e6), {"min": 0.0, "max": 1e6}),
        (
            signal("Vehicle.Bus.A", datatype="uint8", minimum=0, maximum=250.0),
            {"min": 0, "max": 250},
        ),
        (signal("Vehicle.Bus.IsA", datatype="boolean", minimum=0), {"datatype": "boolean"}),
        (signal("Vehicle.Bus.A", datatype="string"), {"datatype": "string"}),
        # whatever stands in a text stays text
        (signal("Vehicle.Bus.A", meaning='"x": {y} # z\\'), {"description": '"x": {y} # z\\ (D)'}),
        # a branch that VSS has not, below one that it has
        (signal("Vehicle.Chassis.Ours.Deep.A"), {"datatype": "float"}),
        (signal("Vehicle.Speed"), {"description": "M. (D)"}),
    ],
)
def test_what_becomes_of_a_declaration(
    tools: Path, declaration: dict[str, object], want: dict[str, object]
) -> None:
    found = export(tools, "\n".join(overlay([declaration])), "--strict")
    assert found[str(declaration["path"])].items() >= want.items()


def test_a_leaf_that_is_a_branch_is_refused() -> None:
    both = [signal("Vehicle.Bus.Dtc"), signal("Vehicle.Bus.Dtc.Lamp")]
    with pytest.raises(CliError, match=r"Vehicle\.Bus\.Dtc is a signal and the beginning of"):
        overlay(both)
