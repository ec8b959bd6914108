"""What the simulator expects of each signal is what `brain signals --json` says of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.expectation import Expectation
from simulator.signals import ELECTRIC, EXPECTATIONS

CONFIG = """
schema = 1
[vehicle]
id = "bus-1"
[drivers.gnss]
type = "gnss_nmea0183"
port = "/dev/gnss"
[drivers.fms]
type = "fms_j1939"
channel = "/dev/can-usb"
"""


Declared = dict[tuple[str, str], dict[str, object]]
VEHICLES = {"diesel": EXPECTATIONS, "electric": EXPECTATIONS + ELECTRIC}
ROWS = [(kind, one) for kind, rows in VEHICLES.items() for one in rows]


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Declared]:
    """What `brain signals` lists for each kind of vehicle."""
    directory = tmp_path_factory.mktemp("signals")
    added = {"diesel": "", "electric": "electric = true\n"}
    return {kind: _listed(directory, CONFIG + text) for kind, text in added.items()}


def _listed(directory: Path, text: str) -> Declared:
    config = directory / "brain.toml"
    config.write_text(text)
    command = [sys.executable, "-m", "agent.cli.main", "signals", "--format", "json"]
    command += ["--config", str(config), "--run-dir", str(directory / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return {(entry["source"], entry["path"]): entry for entry in json.loads(done.stdout)}


@pytest.mark.parametrize("kind", VEHICLES)
def test_both_tables_list_the_same_signals(kind: str, declared: dict[str, Declared]) -> None:
    ours = {key for key in declared[kind] if key[0] in ("gnss", "fms")}
    assert ours == {(one.source, one.path) for one in VEHICLES[kind]}


@pytest.mark.parametrize(("kind", "one"), ROWS, ids=lambda it: getattr(it, "path", it))
def test_rule_interval_and_deadband_agree(
    kind: str, one: Expectation, declared: dict[str, Declared]
) -> None:
    entry = declared[kind][one.source, one.path]
    assert entry["keep"] == one.keep
    if one.keep == "sampled":
        assert entry["interval_s"] == one.interval_s
        assert entry["deadband"] == one.deadband
