"""No room: by ourselves, by somebody else, no inodes, a limit of file size, a full disk of logs."""

from __future__ import annotations

import resource
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.injection import small_disk
from tests.faults.world import World

EVENTS = "SELECT count(*) FROM record WHERE source = 'count' AND kind = 'event'"
INODES = "somebody else fills the disk, or takes all inodes, then frees them"
ROOMY = "history = 400\nalarm = 100\n"
"""More than there is: the disk is what ends first."""


def events_complete(world: World) -> None:
    """Every event that was emitted is delivered: a full disk costs samples only."""
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        (delivered,) = db.execute(EVENTS).fetchone()
        classes = db.execute("SELECT DISTINCT class FROM dropped").fetchall()
    assert delivered == world.feeders["count"].emitted() // 10
    assert classes in ([], [("history",)])


def fill(world: World, mark: int, within_s: float = 90.0) -> None:
    """Offline, until samples have to go: more is said to be on flash than the disk holds."""
    world.feeders["count"].tell("pad 4000")
    world.feeders["count"].tell("rate 200")
    world.until(lambda: dropped(world) > 50, "samples are given up for the disk", within_s)


def dropped(world: World) -> int:
    audit = world.answer("audit")
    return int(audit.get("dropped", 0))


@pytest.mark.fault("B4", "the disk is full (ENOSPC): alarms still flow")
def test_full_disk(world: World) -> None:
    world.configure(store__quota_mb=ROOMY)
    with small_disk(world.state_dir, "size=8m"):
        world.dial()
        world.start()
        feeder = world.feed()
        world.accepts(20)
        world.offline()
        fill(world, world.mark())
        before = world.accepted()
        world.until(lambda: world.accepted() > before + 400, "it goes on", 60)
        feeder.tell("pad 0")
        feeder.tell("rate 50")
        healed_at = time.monotonic()
        found = world.settle(healed_at=healed_at)
        assert found.dropped > 0
        events_complete(world)
        world.stop()


@pytest.mark.fault("B5", INODES)
def test_filled_by_somebody_else(world: World) -> None:
    with small_disk(world.state_dir, "size=16m"):
        world.dial()
        world.start()
        feeder = world.feed()
        world.accepts(20)
        world.offline()
        feeder.tell("pad 2000")
        world.accepts(100)
        mark = world.mark()
        with (world.state_dir / "somebody").open("wb", buffering=0) as hog:
            try:
                while True:
                    hog.write(bytes(1 << 16))
            except OSError:
                pass
        world.until(lambda: dropped(world) or world.alarms("", mark), "the disk is full", 60)
        # A young outbox has next to nothing to give up: it goes on by the reserve.
        said = world.accepted()
        world.until(lambda: world.accepted() > said + 100, "it goes on", 60)
        assert not (world.state_dir / "reserve").exists()
        (world.state_dir / "somebody").unlink()
        healed_at = time.monotonic()
        feeder.tell("pad 0")
        world.accepts(100)
        world.settle(healed_at=healed_at)
        events_complete(world)
        assert len(world.alarms("nothing can be written", mark)) <= 3
        world.stop()


@pytest.mark.fault("B5", INODES)
def test_no_inodes(world: World) -> None:
    with small_disk(world.state_dir, "size=16m,nr_inodes=16"):
        world.dial()
        world.start()
        world.feed()
        world.accepts(20)
        hogs = []
        try:
            for number in range(32):
                path = world.state_dir / f"hog-{number}"
                path.touch()
                hogs.append(path)
        except OSError:
            pass
        assert hogs and len(hogs) < 32
        world.accepts(100)
        world.kill()
        world.start()
        world.accepts(50)
        for path in hogs:
            path.unlink()
        assert world.settle(healed_at=time.monotonic()).dropped == 0
        world.stop()


@pytest.mark.fault("B6", "a limit of file size: EFBIG")
def test_limit_of_file_size(world: World) -> None:
    world.configure(store__quota_mb=ROOMY)
    world.dial()
    world.start()
    resource.prlimit(world.pid, resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
    # Its log is a file too; the limit is for the outbox.
    world.feed()
    world.accepts(20)
    world.offline()
    fill(world, world.mark())
    before = world.accepted()
    world.until(lambda: world.accepted() > before + 200, "it goes on", 60)
    world.feeders["count"].tell("pad 0")
    resource.prlimit(
        world.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    )
    healed_at = time.monotonic()
    found = world.settle(healed_at=healed_at)
    assert found.dropped > 0
    events_complete(world)


@pytest.mark.fault("B14", "the disk of the logs is full")
def test_full_disk_of_logs(world: World) -> None:
    """What is not logged cannot be judged by the log: the feeder's numbers must all arrive."""
    with small_disk(world.directory / "logs", "size=64k"):
        world.log_file = world.directory / "logs" / "agent.log"
        (world.log_file.parent / "others.log").write_bytes(bytes(44 << 10))
        world.dial()
        world.start()
        world.feed(rate=200)
        # Lines are cut where the last page ends: what follows is refused.
        full = 20 << 10
        world.until(
            lambda: world.log_file.stat().st_size >= full, "the disk of the logs is full", 60
        )
        emitted = world.feeders["count"].emitted()
        world.until(lambda: world.delivered() > emitted + 400, "it goes on", 30)
        assert world.settle(healed_at=time.monotonic()).dropped == 0
        world.stop()


@pytest.mark.fault("B16", "bytes written to flash in an hour of driving")
def test_bytes_written(world: World) -> None:
    """By the kernel's count of what the agent wrote, scaled up: 2 GB a day at most."""
    world.configure(store="commit_interval_s = 1.0\n")
    world.dial()
    world.start()
    world.feed(rate=60).tell("events 0")  # an event has a commit of its own
    world.accepts(60)

    def written() -> int:
        lines = Path(f"/proc/{world.pid}/io").read_text().splitlines()
        return int(dict(line.split(": ") for line in lines)["wchar"])

    logged, begun, before = world.mark(), time.monotonic(), written()
    threading.Event().wait(20)
    per_day = (written() - before - (world.mark() - logged)) / (time.monotonic() - begun) * 86_400
    assert 0 < per_day < 2e9, f"{per_day / 1e9:.2f} GB a day"
    world.figures["bytes_a_day"] = round(per_day)
    assert world.settle().dropped == 0
