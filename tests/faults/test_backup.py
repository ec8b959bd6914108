"""The cloud is set back to an old copy of its books: what it then lacks is named to the number.

Acknowledged records are deleted on the vehicle, so it has nothing to send again; the far end's
numbers tell which range is gone, and what was saved elsewhere fills it.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.faults.brokers import begin
from tests.faults.liar import Liar
from tests.faults.world import VEHICLE, World


def move(source: Path, target: Path) -> None:
    """A closed ledger with all that belongs to it."""
    for suffix in ("", "-wal", "-shm"):
        if Path(f"{source}{suffix}").exists():
            shutil.move(f"{source}{suffix}", f"{target}{suffix}")


def gaps(world: World) -> tuple[str, list[list[int]]]:
    """The epoch of the vehicle, and the ranges that the far end says it lacks."""
    argv = [sys.executable, "-P", "-m", "cloud", "report", "--ledger", str(world.ledger)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    epochs: dict[str, Any] = json.loads(done.stdout)["vehicles"][VEHICLE]["epochs"]
    ((epoch, shown),) = epochs.items()
    return epoch, shown["gaps"]


@pytest.mark.fault("G16", "the cloud is set back to an old backup: the gap is exact, it goes on")
def test_an_old_backup_is_restored(world: World, liar: Liar) -> None:
    begin(world, 100)
    feeder, newer = world.feeders["count"], world.directory / "newer.db"
    rest(world)
    world.cloud.stop()
    with closing(sqlite3.connect(world.ledger)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (kept,) = db.execute("SELECT max(seq) FROM record").fetchone()
    backup = world.directory / "backup.db"
    shutil.copy(world.ledger, backup)
    world.dial()
    feeder.tell("rate 50")
    world.until(lambda: world.delivered() >= kept + 150, "150 more, after the backup", 60)
    rest(world)
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        (gone,) = db.execute("SELECT max(seq) FROM record").fetchone()
    world.cloud.stop()
    move(world.ledger, newer)
    move(backup, world.ledger)
    began, mark = time.monotonic(), world.mark()
    world.dial()
    feeder.tell("rate 50")
    world.until(lambda: world.delivered() >= kept + 150, "it goes on", 60)
    assert liar.lines[-1].open, "no connection is given up for it"
    epoch, missing = gaps(world)
    assert missing == [[kept + 1, gone]], "what is gone is named, to the number"
    assert world.answer("audit")["balanced"]
    rest(world)
    world.cloud.stop()
    with closing(sqlite3.connect(world.ledger)) as db, db:
        db.execute("ATTACH ? AS newer", (str(newer),))
        between = "WHERE epoch = ? AND seq BETWEEN ? AND ?"
        found = (epoch, kept + 1, gone)
        db.execute(f"INSERT INTO record SELECT * FROM newer.record {between}", found)
        db.execute("INSERT INTO span VALUES (?, ?, ?, ?)", (VEHICLE, *found))
    world.settle(healed_at=began)
    assert not world.alarms("", mark)


def rest(world: World) -> None:
    """Nothing is fed, and all is acknowledged."""
    world.feeders["count"].tell("rate 0")
    world.until(lambda: not world._outstanding(), "all is acknowledged", 60)
