"""Whole runs: what is followed while sources come and go, as cloud and `brain explain` see it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.hil.conftest import ROOT, Simulate

WHEELS, SKY = "fms:Vehicle.Speed", "gnss:Vehicle.Bus.Gnss.Speed"


def explain(run_dir: Path, signal: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "agent.cli.main", "explain", signal, "--json"]
    done = subprocess.run(
        [*command, "--run-dir", str(run_dir)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=ROOT,
    )
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def test_the_sky_helps_out_while_the_bus_is_silent(run_dir: Path, simulate: Simulate) -> None:
    seen: list[dict[str, Any]] = []
    finished = threading.Event()

    def look() -> None:
        deadline = time.monotonic() + 90
        while not finished.is_set() and time.monotonic() < deadline:
            seen.append(explain(run_dir, "Vehicle.Speed"))

    watcher = threading.Thread(target=look)
    watcher.start()
    outcome = simulate("--duration", "40", "--fault", "can_silent@10+12", "--fault", "agent_kill@5")
    finished.set()
    watcher.join()
    outcome.assert_books()
    signals = outcome.report["signals"]
    assert signals["Vehicle.Bus.Arbitration.Clock"]["last"] == "gnss:Vehicle.Bus.Utc"
    # at the end of a run the wires are silent before all has arrived
    assert signals["Vehicle.Bus.Arbitration.Speed"]["last"] in (WHEELS, SKY, "none")
    assert signals["Vehicle.Bus.Arbitration.Odometer"]["count"] >= 1
    followed = [one["followed"] for one in seen if one]
    turns = [now for before, now in zip([None, *followed], followed, strict=False) if now != before]
    while turns and turns[0] != WHEELS:
        turns.pop(0)
    # the coordinator is killed in between: it may find the sky first, and nobody before that
    assert [name for name in turns if name != "none"][-3:] == [WHEELS, SKY, WHEELS]
    silent = [one for one in seen if one and one["followed"] == SKY]
    assert any(one["candidates"][0]["verdict"] in ("stale", "missing") for one in silent), silent[
        :1
    ]


def test_another_order_applies_at_a_reload(run_dir: Path) -> None:
    config = run_dir / "brain.toml"
    text = 'schema = 1\n[vehicle]\nid = "bus-1"\n[uplink]\nenabled = false\n'
    config.write_text(text)
    where = ["--config", str(config), "--run-dir", str(run_dir)]
    command = [sys.executable, "-m", "agent.cli.main", "run", *where]
    coordinator = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_for_order(run_dir, "*:Vehicle.Speed")
        config.write_text(text + '[arbitration.speed]\norder = ["*:Vehicle.Tachograph.Speed"]\n')
        coordinator.send_signal(signal.SIGHUP)
        wait_for_order(run_dir, "*:Vehicle.Tachograph.Speed")
    finally:
        coordinator.terminate()
        assert coordinator.wait(10) == 0


def wait_for_order(run_dir: Path, first: str) -> None:
    deadline = time.monotonic() + 20
    while explain(run_dir, "speed").get("order", [""])[0] != first:
        assert time.monotonic() < deadline
