"""200 kills of agent, drivers, broker and cloud end in random order, on a whole simulated bus.

Judged by the simulator's oracle: it knows every byte on the wires, and what a driver that was
killed could not have heard.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.faults.world import CHECKOUT

KINDS = ("agent_kill", "driver_kill:gnss", "driver_kill:fms", "broker_kill", "cloud_kill")
WHAT = "kill -9 of agent, drivers, broker and cloud end in random order, under load"


def simulated(kills: int, every_s: float, seed: int, figures: dict[str, Any]) -> dict[str, Any]:
    """A run with so many kills; its report, after the books were compared."""
    draw, at_s = random.Random(seed), 4.0
    faults = []
    for _ in range(kills):
        faults += ["--fault", f"{draw.choice(KINDS)}@{at_s:.2f}"]
        at_s += draw.uniform(0.1, 2 * every_s - 0.1)
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        file = Path(name) / "report.json"
        argv = [sys.executable, "-m", "agent.cli.main", "simulate", "--headless", "--run-dir", name]
        argv += ["--report", str(file), "--seed", str(seed), "--duration", str(round(at_s + 4))]
        load = ["--fault", f"can_flood@6+{max(2, round(at_s - 10))}"]
        done = subprocess.run(
            [*argv, *load, *faults], capture_output=True, text=True, cwd=CHECKOUT, check=False
        )
        report: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    said = f"seed {seed}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert report, said
    figures |= {
        "runs": kills,
        "accepted": report["accepted"],
        "delivered": report["acknowledged"],
        "dropped": report["dropped"],
        "lost": report["missing"],
        "invented": report["invented"],
    }
    why = f"{report.get('examples')}\n{said}"
    assert (report["missing"], report["invented"], report["gaps"]) == (0, 0, 0), why
    assert report["queued"] == 0 and report["facts"] > 0, why
    assert report["accepted"] == report["acknowledged"] + report["dropped"], why
    assert done.returncode == 0, said
    return report


@pytest.mark.fault("A3", WHAT)
@pytest.mark.timeout(900)
def test_two_hundred_kills(figures: dict[str, Any]) -> None:
    simulated(int(os.environ.get("BRAIN_FAULTS_KILLS", "200")), 1.2, 7, figures)
