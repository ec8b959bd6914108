"""Links that break: silence, hang-ups in the middle of a batch, another address, a narrow path."""

from __future__ import annotations

import random

import pytest

from tests.rig.drive import Drive, connections
from tests.rig.rig import Rig

CUTS = 4
NOTICED_S = 30.0
"""TCP's patience of 20 s, the look at it, and the first attempt."""


@pytest.mark.rig("G13", "MTU black hole: packets above 1200 bytes vanish without a word")
def test_an_mtu_black_hole(rig: Rig) -> None:
    drive = Drive(rig, ballast=True)
    drive.start()
    drive.load(20)
    drive.modem("mtu", "1200")
    drive.load(220)
    heal_s = drive.delivers(200, timeout_s=90)
    drive.settles()
    drive.judge()
    rig.note(heal_ms=round(heal_s * 1000))
    assert connections(drive.up.output) == 2, "the second connection is narrow enough at once"
    probing = drive.guest.shell("cat /proc/sys/net/ipv4/tcp_mtu_probing")
    assert probing == "0\n", "the kernel did not help"


@pytest.mark.rig("G12", "the network gives the vehicle another address: back within 10 s")
@pytest.mark.rig("G2", "half-open TCP: everything vanishes, nobody says so, it is noticed")
@pytest.mark.rig("G5", "the link is cut in the middle of batches, at random instants")
def test_a_link_that_breaks(rig: Rig) -> None:
    drive = Drive(rig, ballast=True)
    drive.start()
    drive.modem("shape", "rate", "384kbit", "delay", "150ms")

    times = []
    for last in (77, 2):
        connected = connections(drive.up.output)
        drive.modem("address", f"10.99.0.{last}")
        times.append(drive.says_again("uplink up", connected, 60))
        drive.delivers(5)
    rig.note_for("G12", runs=len(times), heal_ms=round(max(times) * 1000))
    assert max(times) < 10

    cuts = drive.up.output.count("uplink down")
    drive.modem("silence")
    noticed_s = drive.says_again("uplink down", cuts, 60)
    drive.modem("heard")
    heal_s = drive.delivers(10)
    rig.note_for("G2", noticed_ms=round(noticed_s * 1000), heal_ms=round(heal_s * 1000))
    assert noticed_s < NOTICED_S

    dice, heals = random.Random(5), []
    for number in range(CUTS):
        drive.load(100 * (number + 1))
        close, reopen = (("silence", "heard"), ("down", "up"))[number % 2]
        drive.passes(dice.uniform(0.0, 0.6))
        drive.modem(close)
        drive.passes(dice.uniform(0.5, 3.0))
        drive.modem(reopen)
        heals.append(drive.delivers(1))
    drive.settles()
    drive.judge()
    duplicates = drive.status()["duplicates_sent"]
    rig.note_for("G5", runs=CUTS, heal_ms=round(max(heals) * 1000), duplicates=duplicates)
