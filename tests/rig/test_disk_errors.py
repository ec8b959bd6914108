"""A disk that refuses: nothing is called accepted that is not on it, and it heals by itself."""

from __future__ import annotations

import time

import pytest

from tests.rig.journey import Journey
from tests.rig.rig import Rig
from tests.rig.sick_disk import SickDisk

REFUSED, ACCEPTS = "nothing can be written", "the outbox accepts again"
A_WHILE_S = 4.0


def refused(journey: Journey, times: int) -> int:
    """Wait for that many refusals in the log; the number of records on flash then."""
    journey.machine.until(
        lambda: journey.log.count(REFUSED) >= times, f"refusal {times}", also=lambda: journey.log
    )
    return journey.accepted()


def heals(journey: Journey, times: int) -> int:
    """Wait until it accepts again; the ms that took."""
    began = time.monotonic()
    journey.machine.until(
        lambda: journey.log.count(ACCEPTS) >= times, f"healing {times}", also=lambda: journey.log
    )
    took_ms = round((time.monotonic() - began) * 1000)
    journey.accepts(5)
    return took_ms


def arrives(rig: Rig, journey: Journey) -> None:
    """The end of each of these journeys: nothing is lost, the books balance."""
    found, audit = journey.arrive()
    verify = journey.running.verify()
    rig.note_books(found, runs=1)
    told = f"{found}, {audit}, {verify}\n{journey.log[-2000:]}"
    assert found.lost == 0 and found.invented == 0, told
    assert audit["balanced"] and audit["gaps"] == 0 and audit["queued"] == 0, told
    assert verify["problems"] == [], told
    assert journey.judge()["invented"] == 0, journey.judge()


@pytest.mark.rig("B1", "a failed fsync, once and for a while: nothing accepted before it heals")
def test_failed_writes(rig: Rig) -> None:
    journey = Journey(rig, megabytes=8)
    disk = SickDisk(journey, journal_apart=True)
    journey.boot(link=False, prepare=disk.setup(first=True))
    journey.hears()
    journey.accepts(20)
    healed_ms = []
    for times, lasts_s in enumerate((0.0, A_WHILE_S), 1):
        disk.refuse_writes()
        before = refused(journey, times)
        until = time.monotonic() + lasts_s
        journey.machine.until(lambda until=until: time.monotonic() >= until, "a while")
        assert journey.accepted() == before, "accepted while the disk refused"
        disk.heal()
        healed_ms.append(heals(journey, times))
    assert journey.running.restarts() == 0
    assert REFUSED not in str(journey.running.status()["problems"])
    # Whatever the kernel made of those pages in its memory: only the disk counts.
    journey.cut()
    journey.boot(prepare=disk.setup())
    journey.hears()
    rig.note(heal_ms=max(healed_ms))
    arrives(rig, journey)


@pytest.mark.rig(
    "B2", "a disk that fails until its power is cut: told once, then all of it arrives"
)
def test_disk_that_fails_for_good(rig: Rig) -> None:
    journey = Journey(rig, megabytes=8)
    disk = SickDisk(journey)
    journey.disk = disk.disk
    journey.boot(link=False, prepare=disk.setup(first=True))
    journey.hears()
    journey.accepts(20)
    disk.refuse_writes()
    before = refused(journey, 1)
    until = time.monotonic() + A_WHILE_S
    journey.machine.until(lambda: time.monotonic() >= until, "a while")
    assert journey.accepted() == before
    assert journey.log.count(REFUSED) == 1, journey.log
    assert journey.running.restarts() == 0
    assert REFUSED in str(journey.running.status()["problems"])
    journey.cut()
    found = journey.on_disk()
    assert not found.wrong, found.wrong
    # In a computer whose wires to the disk are sound.
    journey.boot(prepare=disk.setup())
    journey.hears()
    arrives(rig, journey)


@pytest.mark.rig("B8", "file system remounted read-only under load, and back")
def test_remounted_read_only(rig: Rig) -> None:
    journey = Journey(rig, megabytes=32)
    journey.boot(link=False)
    journey.hears()
    journey.accepts(20)
    # As ext4 does by itself on an error, open files or not.
    journey.machine.shell(
        "echo u >/proc/sysrq-trigger; until ! touch /data/x 2>/dev/null; do :; done"
    )
    before = refused(journey, 1)
    until = time.monotonic() + A_WHILE_S
    journey.machine.until(lambda: time.monotonic() >= until, "a while")
    assert journey.accepted() == before
    assert journey.log.count(REFUSED) == 1, journey.log
    assert REFUSED in str(journey.running.status()["problems"])
    journey.machine.shell("mount -o remount,rw /data")
    rig.note(heal_ms=heals(journey, 1))
    assert journey.running.restarts() == 0
    journey.link("up")
    arrives(rig, journey)
    assert journey.judge()["missing"] == 0, journey.judge()


@pytest.mark.rig("B4", "disk full by somebody else: alarms and samples wait or go with an account")
def test_disk_full(rig: Rig) -> None:
    journey = Journey(rig, megabytes=16)
    journey.boot(link=False)
    journey.hears()
    journey.accepts(20)
    hog = journey.machine.run("dd", "if=/dev/zero", "of=/data/hog", "bs=4096", check=False)
    assert "No space left on device" in hog.output
    refused_while_full = full(journey)
    assert journey.running.restarts() == 0
    journey.machine.shell("rm /data/hog")
    began = time.monotonic()
    journey.accepts(20)
    rig.note(heal_ms=round((time.monotonic() - began) * 1000))
    journey.link("up")
    arrives(rig, journey)
    # It was felt: what came had to wait, or room was made with an account.
    assert refused_while_full or rig.figures["dropped"] > 0


def full(journey: Journey) -> bool:
    """Let the disk be full for a while; whether even the agent's own room was used up."""
    until = time.monotonic() + 2 * A_WHILE_S
    journey.machine.until(
        lambda: REFUSED in journey.log or time.monotonic() >= until, "the disk is full"
    )
    return REFUSED in journey.log
