"""Links that break: silence, hang-ups in the middle of a batch, another address, a narrow path."""

from __future__ import annotations

import random

import pytest

from tests.rig.drive import Drive, connections
from tests.rig.rig import Rig

NOTICED_S = 30.0
"""TCP's patience of 20 s, the look at it, and the first attempt."""


@pytest.mark.rig("G13", "MTU black hole: packets above 1200 bytes vanish without a word")
def test_an_mtu_black_hole(rig: Rig) -> None:
    drive = Drive(rig, ballast=True)
    drive.start()
    drive.load(20)
    drive.modem("mtu", "1200")
    heal_s = 0.0
    drive.load(220)
    heal_s = drive.delivers(200, timeout_s=90)
    drive.settles()
    drive.judge()
    rig.note(heal_ms=round(heal_s * 1000))
    assert connections(drive.up.output) == 2, "the second connection is narrow enough at once"
    segment = drive.guest.shell("cat /proc/sys/net/ipv4/tcp_mtu_probing")
    assert segment == "0\n", "the kernel did not help"


@pytest.mark.rig("G12", "the network gives the vehicle another address")
def test_another_address(rig: Rig) -> None:
    drive = Drive(rig)
    drive.start()
    times = []
    for last in (77, 78, 2):
        drive.passes(3)
        before = connections(drive.up.output)
        drive.modem("address", f"10.99.0.{last}")
        times.append(drive.says_again("uplink up", before, 60))
        drive.delivers(5)
    drive.settles()
    drive.judge(runs=3)
    rig.note(heal_ms=round(max(times) * 1000))
    assert max(times) < 10


@pytest.mark.rig("G2", "half-open TCP: everything vanishes, nobody says so")
def test_half_open(rig: Rig) -> None:
    drive = Drive(rig)
    drive.start()
    drive.passes(3)
    drive.modem("silence")
    noticed_s = drive.says_again("uplink down", 0, 60)
    drive.passes(5)
    drive.modem("heard")
    heal_s = drive.delivers(10)
    drive.settles()
    drive.judge()
    rig.note(noticed_ms=round(noticed_s * 1000), heal_ms=round(heal_s * 1000))
    assert noticed_s < NOTICED_S


@pytest.mark.rig("G5", "the link is cut in the middle of batches, at random instants")
def test_cut_while_a_batch_is_on_its_way(rig: Rig) -> None:
    dice = random.Random(5)
    drive = Drive(rig, ballast=True)
    drive.start()
    drive.modem("shape", "rate", "384kbit", "delay", "150ms")
    heals = []
    for number in range(6):
        drive.load(100 * (number + 1))
        close, reopen = (("silence", "heard"), ("down", "up"))[number % 2]
        drive.passes(dice.uniform(0.0, 0.6))
        drive.modem(close)
        drive.passes(dice.uniform(0.5, 4.0))
        drive.modem(reopen)
        heals.append(drive.delivers(1))
    drive.settles()
    drive.judge(runs=6)
    rig.note(heal_ms=round(max(heals) * 1000), duplicates=drive.status()["duplicates_sent"])
