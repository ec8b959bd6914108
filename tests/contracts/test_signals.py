"""What the simulator expects of each signal is what `brain signals --json` says of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.signals import EXPECTATIONS

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


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, object]]:
    directory: Path = tmp_path_factory.mktemp("signals")
    config = directory / "brain.toml"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "agent.cli.main", "signals", "--format", "json"]
    command += ["--config", str(config), "--run-dir", str(directory / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return {(entry["source"], entry["path"]): entry for entry in json.loads(done.stdout)}


def test_both_tables_list_the_same_signals(
    declared: dict[tuple[str, str], dict[str, object]],
) -> None:
    ours = {key for key in declared if key[0] in ("gnss", "fms")}
    assert ours == {(one.source, one.path) for one in EXPECTATIONS}


@pytest.mark.parametrize("one", EXPECTATIONS, ids=lambda one: one.path)
def test_rule_interval_and_deadband_agree(
    one: object, declared: dict[tuple[str, str], dict[str, object]]
) -> None:
    entry = declared[one.source, one.path]  # type: ignore[attr-defined]
    assert entry["keep"] == one.keep  # type: ignore[attr-defined]
    if one.keep == "sampled":  # type: ignore[attr-defined]
        assert entry["interval_s"] == one.interval_s  # type: ignore[attr-defined]
        assert entry["deadband"] == one.deadband  # type: ignore[attr-defined]
