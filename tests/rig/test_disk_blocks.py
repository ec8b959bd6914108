"""A block that cannot be read any more: what was in it is accounted for, the rest is delivered."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.rig.image import recover
from tests.rig.journey import Journey
from tests.rig.rig import Rig
from tests.rig.sick_disk import SickDisk


def blocks_of(image: Path, file: str) -> list[tuple[int, int]]:
    """Where a file's blocks are on an ext4 image: (first sector, sectors), in its order."""
    debugfs = ["/sbin/debugfs", "-R"]
    shown = subprocess.run(
        [*debugfs, "stats", str(image)], capture_output=True, text=True, check=True
    )
    size = next(line for line in shown.stdout.splitlines() if line.startswith("Block size:"))
    sectors = int(size.split()[-1]) // 512
    listed = subprocess.run(
        [*debugfs, f"blocks {file}", str(image)], capture_output=True, text=True, check=True
    )
    return [(int(block) * sectors, sectors) for block in listed.stdout.split()]


@pytest.mark.rig("B7", "bad blocks in the outbox and in its log: the rest is delivered, it goes on")
def test_bad_blocks(rig: Rig) -> None:
    journey = Journey(rig, megabytes=8)
    disk = SickDisk(journey)
    journey.boot(link=False, prepare=disk.setup(first=True))
    journey.hears()
    journey.accepts(80)
    journey.cut()
    recover(disk.disk)
    files = [blocks_of(disk.disk, f"/state/outbox.db{suffix}") for suffix in ("", "-wal")]
    journey.boot(prepare=disk.setup(bad=sorted(file[len(file) // 2] for file in files)))
    journey.hears()
    journey.accepts(10)
    found, audit = journey.arrive()
    verify = journey.running.verify()
    rig.note_books(found, runs=1)
    rig.note(heal_ms=round(journey.ready_s[-1] * 1000))
    told = f"{found}, {audit}, {verify}\n{journey.log[:2500]}"
    assert found.lost == 0 and found.invented == 0, told
    assert audit["balanced"] and audit["queued"] == 0, told
    assert verify["problems"] == [], told
    assert 0 < found.dropped < found.accepted / 2, told
    assert journey.running.restarts() == 0, told
