"""Power cuts under the shipped units: PID 1 starts the agent, its state is on the disk."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.books import accepted_in, booked, books, uncovered
from tests.rig.feed import Feed
from tests.rig.image import extract, look
from tests.rig.install import STATE, installed, unit
from tests.rig.rig import Rig
from tests.rig.units import Units

LOG = "log"
# The journal is on the disk that loses its power: what was said goes to a file of the host too.
BEFORE = f"""
mkdir -p /data/brain {STATE} /etc/systemd/system/{unit("run")}.d
mount --bind /data/brain {STATE}
printf '%s\\n' '[Service]' 'StandardError=append:/rig/{LOG}' \\
	>/etc/systemd/system/{unit("run")}.d/log.conf
"""
CUTS = max(2, int(os.environ.get("BRAIN_RIG_CUTS", "20")) // 10)
READY_S = 10.0


@pytest.mark.timeout(120 + 60 * CUTS)
@pytest.mark.rig("A4-systemd", "power cut under the shipped units; READY 10 s after basic.target")
def test_power_cuts_under_systemd(rig: Rig) -> None:
    world, feed, disk = rig.world(), rig.feed(), rig.disk(megabytes=64)
    feed.start()
    chance, logs, ready_s = random.Random(11), list[str](), list[float]()
    for cut in range(CUTS):
        units, log = switched_on(rig, disk, feed, ready_s)
        if cut:
            units.dial()
        accepts(units, log, chance.randint(3, 6))
        feed.power_cut()
        units.machine.cut_power()
        logs.append(log.read_text())
        units.machine.close()
        found = look(extract(disk, rig.directory / "extracted", "brain"))
        lost = uncovered(accepted_in(logs), found.held, booked(world.ledger))
        assert not found.wrong and not lost and found.opened == "unclean", (cut, found, lost)
    units, log = switched_on(rig, disk, feed, ready_s)
    units.dial()
    accepts(units, log, 2)
    feed.stop()
    units.until(lambda: units.answer("audit")["queued"] == 0, "everything is acknowledged", 90)
    audit, verify = units.answer("audit"), units.answer("outbox", "verify")
    told = books(world.ledger, [*logs, log.read_text()])
    rig.note_books(told, runs=CUTS)
    rig.note(heal_ms=round(max(ready_s) * 1000))
    assert told.lost == 0 and told.invented == 0 and told.accepted > 0, (told, audit)
    assert audit["balanced"] and audit["gaps"] == 0 and verify["problems"] == [], (audit, verify)
    assert max(ready_s) < READY_S, ready_s


def switched_on(rig: Rig, disk: Path, feed: Feed, ready_s: list[float]) -> tuple[Units, Path]:
    """Boot until all units are READY; `ready_s` gains how long after basic.target, by PID 1."""
    machine = rig.boot(
        systemd=True,
        memory_mb=512,
        disks=[disk],
        serial=feed.serial,
        tap=rig.world().network.tap,
        before=installed() + BEFORE,
    )
    units = Units(machine, feed)
    units.until(lambda: all(state.ready for state in units.states().values()), "READY")
    basic = machine.shell("systemctl show -P ActiveEnterTimestampMonotonic basic.target")
    (run,) = units.show("run", properties="ActiveEnterTimestampMonotonic")
    ready_s.append((int(run["ActiveEnterTimestampMonotonic"]) - int(basic)) / 1e6)
    return units, machine.control / LOG


def accepts(units: Units, log: Path, commits: int) -> None:
    """Wait until the agent has said `commits` times in this boot what is on flash."""
    units.until(lambda: log.read_text().count("on flash: ") >= commits, f"{commits} commits")
