"""The file's format changes: killed at each step, ended while it starts, met by an older agent."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.store import state as states
from tests.contracts.outbox_judge import WRITER, judge, run
from tests.faults.injection import command, killed, outbox_files
from tests.faults.world import World

WHAT = "an upgrade of the outbox is killed at each step; a newer one is refused untouched"
COMMITS = ("--commits", "6")


def older(path: Path) -> None:
    """Make the file one of the version before: it differs in its number only."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (application,) = db.execute("PRAGMA application_id").fetchone()
        db.execute(f"PRAGMA user_version = {version - 1}")
        db.execute(f"PRAGMA application_id = {application - 1}")


def refused(directory: Path) -> bool:
    """Whether this version's program refuses the file, in words, and leaves it as it is."""
    path = directory / "outbox.db"
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, str(WRITER), str(directory), "--commits", "0"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return False
    assert "OutboxTooNew" in done.stderr and "Install the version that wrote it" in done.stderr
    assert path.read_bytes() == before
    assert not list(directory.glob("outbox.corrupt*"))
    return True


def reached(directory: Path) -> int:
    """The number of the next record; a commit that nobody was told of counts.

    For reading only: who may write would clear the log away, and that is another fault.
    """
    with closing(sqlite3.connect(f"file:{directory / 'outbox.db'}?mode=ro", uri=True)) as db:
        return states.decode(db.execute("SELECT body FROM state").fetchone()[0]).marks["fms"][1]


def judged(directory: Path, told: Any, figures: dict[str, Any]) -> None:
    """An upgrade to the next version goes through after all; this version then refuses."""
    told = told + run(directory, *COMMITS, "--begin", str(reached(directory)), "--ahead", "1")
    assert refused(directory)
    with closing(sqlite3.connect(directory / "outbox.db")) as db:
        assert db.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        application = int(db.execute("PRAGMA application_id").fetchone()[0])
        db.execute("DROP TABLE kept")
        db.execute(f"PRAGMA user_version = {version - 1}")
        db.execute(f"PRAGMA application_id = {application - 1}")
    upto = judge(directory, told)
    figures["runs"] = figures.get("runs", 0) + 1
    figures["accepted"] = figures["delivered"] = figures.get("accepted", 0) + upto
    figures["dropped"] = figures["lost"] = figures["invented"] = 0


@pytest.mark.fault("I8", WHAT)
@pytest.mark.parametrize(("point", "after"), [("migrate", 1), ("migrated", 1)])
def test_upgrade_killed_at_a_failpoint(
    point: str, after: int, tmp_path: Path, figures: dict[str, Any]
) -> None:
    told = run(tmp_path, *COMMITS)
    assert not run(tmp_path, *COMMITS, "--ahead", "1", "--die", point, "--after", str(after))
    assert not refused(tmp_path), "it is still the old one, and whole"
    judged(tmp_path, told, figures)


@pytest.mark.fault("I8", WHAT)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_upgrade_killed_at_each_storage_call(
    call: str, tmp_path: Path, figures: dict[str, Any]
) -> None:
    n, more = 1, True
    while more:
        directory, log = tmp_path / str(n), tmp_path / f"{n}.strace"
        told = run(directory, *COMMITS)
        before = command(f"{call}:signal=KILL:when={n}", files=outbox_files(directory), log=log)
        upto = str(told[-1]["upto"])
        told += run(directory, "--commits", "1", "--begin", upto, "--ahead", "1", before=before)
        more = killed(log)
        judged(directory, told, figures)
        n += 1
    assert n > 3


@pytest.mark.fault("I8", WHAT)
def test_the_agent_takes_over_an_older_outbox(world: World) -> None:
    world.dial()
    world.start()
    world.feed()
    world.accepts(20)
    world.offline()
    world.accepts(40)
    world.stop()
    older(world.state_dir / "outbox.db")
    began = time.monotonic()
    world.start()
    world.accepts(10)
    assert world.settle(healed_at=began).dropped == 0


@pytest.mark.fault("A9", "SIGTERM while it starts and upgrades")
def test_ended_while_it_starts(world: World) -> None:
    world.dial()
    world.start()
    world.feed()
    world.accepts(20)
    draw, pause = random.Random(9), threading.Event()
    world.figures["runs"] = 8
    for _ in range(8):
        if world.agent is not None and world.agent.poll() is None:
            world.stop()
        older(world.state_dir / "outbox.db")
        world.spawn()
        pause.wait(draw.uniform(0.1, 0.8))
        world.kill(signal.SIGTERM)
        assert world.ends() in (0, -signal.SIGTERM, 143), world.log()[-2000:]
        assert "Traceback" not in world.log()
        world.start()
        world.accepts(5)
    assert world.settle(healed_at=time.monotonic()).dropped == 0
