"""A slow disk: drivers lose nothing, the watchdog stays fed, what waits is on flash in the end."""

from __future__ import annotations

import time

import pytest

from tests.rig.journey import Journey
from tests.rig.rig import Rig
from tests.rig.sick_disk import SickDisk
from tests.rig.test_disk_errors import arrives

FSYNC_S = 30
"""Longer than the watchdogs of coordinator and drivers: 20 and 10 s."""


@pytest.mark.rig("B3", "one fsync takes 30 s: drivers lose nothing, nobody is restarted")
def test_fsync_takes_thirty_seconds(rig: Rig) -> None:
    journey = Journey(rig, megabytes=8)
    disk = SickDisk(journey)
    journey.boot(prepare=disk.setup(first=True))
    journey.hears()
    journey.accepts(10)
    disk.slow(200, 500)
    slow_at = journey.accepted()
    journey.accepts(20)
    disk.slow(0, FSYNC_S * 1000)
    began = time.monotonic()
    stuck = journey.accepted()
    journey.machine.until(lambda: journey.accepted() > stuck, "the long fsync", 4 * FSYNC_S)
    took_s = time.monotonic() - began
    disk.heal()
    healed = time.monotonic()
    journey.accepts(20, timeout_s=120)
    rig.note(heal_ms=round((time.monotonic() - healed) * 1000), fsync_s=round(took_s, 1))
    assert took_s > FSYNC_S * 0.8, "the disk was not slow"
    assert journey.accepted() > slow_at
    assert journey.running.restarts() == 0
    assert "stalled" not in journey.log
    drivers = journey.running.status()["drivers"]
    for name in ("gnss", "fms"):
        counters = drivers[name]["counters"]
        assert counters["lost_samples"] == counters["lost_important"] == 0, drivers
    arrives(rig, journey)
    verdict = journey.judge()
    assert verdict["missing"] == 0 and verdict["invented"] == 0, verdict
