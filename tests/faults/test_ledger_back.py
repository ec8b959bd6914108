"""The far end puts an older copy of its books back: what it had acknowledged since is no more.

The vehicle has deleted it. Nobody can mend that; the far end must know it, to the record.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.books import booked
from tests.faults.brokers import begin
from tests.faults.feeding import CHECKOUT
from tests.faults.world import World

FILES = ("", "-wal", "-shm")


def copy(source: Path, target: Path) -> None:
    """A ledger that nobody has open, with its log."""
    for end in FILES:
        there = Path(f"{source}{end}")
        Path(f"{target}{end}").unlink(missing_ok=True)
        if there.exists():
            shutil.copy(there, f"{target}{end}")


def absent(ledger: Path) -> dict[str, list[list[int]]]:
    """What the far end's own report says, by epoch."""
    argv = [sys.executable, "-P", "-m", "cloud", "report", "--ledger", str(ledger)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=CHECKOUT, check=True)
    (vehicle,) = json.loads(done.stdout)["vehicles"].values()
    epochs: dict[str, Any] = vehicle["epochs"]
    return {name: epoch["absent"] for name, epoch in epochs.items() if epoch["absent"]}


@pytest.mark.fault(
    "G16",
    "the far end goes back to an older copy of its ledger: noticed, to the record",
    slice=True,
)
def test_an_older_ledger_is_put_back(world: World) -> None:
    begin(world)
    older, newer = world.directory / "older.db", world.directory / "newer.db"
    world.offline()
    world.cloud.kill()
    copy(world.ledger, older)
    world.dial()
    begun = world.delivered()
    world.until(lambda: world.delivered() >= begun + 100, "more is booked and acknowledged")
    world.feeders["count"].tell("rate 0")
    world.until(lambda: not world._outstanding(), "the vehicle has deleted all that was booked")
    world.offline()
    world.cloud.kill()
    copy(world.ledger, newer)
    copy(older, world.ledger)
    before, after = booked(newer), booked(world.ledger)
    missing = {
        epoch: [list(gap) for first, last in spans for gap in after[epoch].gaps(first, last)]
        for epoch, spans in before.items()
    }
    n = sum(last - first + 1 for gaps in missing.values() for first, last in gaps)
    assert n >= 100
    assert not absent(world.ledger), "nobody knows yet"
    healed_at = time.monotonic()
    world.dial()
    world.feeders["count"].tell("rate 50")
    world.until(lambda: absent(world.ledger), "the far end knows")
    assert absent(world.ledger) == missing
    said = (world.directory / "cloud.log").read_text()
    assert f"{n} records of epoch" in said and said.count("not in this ledger") == 1
    world.forgotten = n
    world.settle(healed_at=healed_at, calls=0)
    assert absent(world.ledger) == missing, "what came since is not among them"
