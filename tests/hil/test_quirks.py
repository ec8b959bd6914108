"""Whole runs on buses that err as real ones do: what a reader can see through never arrives."""

from __future__ import annotations

import pytest

from simulator.quirks import NAMES
from tests.hil.conftest import Simulate

SPEED = "Vehicle.Speed"
ODOMETER = "Vehicle.TraveledDistance"
CLOCK = "Vehicle.Bus.Clock.Vehicle"
DOOR = "Vehicle.Bus.Door1.IsOpen"
YEAR_2027_MS = 1_798_761_600_000


@pytest.mark.slow
@pytest.mark.parametrize("quirk", NAMES)
def test_a_quirk_of_real_buses(simulate: Simulate, quirk: str) -> None:
    # By then the cluster has woken up; trouble codes come in packets from second 32 on.
    duration = "44" if quirk == "lost_bam_packets" else "18"
    outcome = simulate("--duration", duration, "--seed", "7", "--quirk", quirk)
    outcome.assert_books()
    assert outcome.report["quirks"] == [quirk]
    shown = outcome.report["signals"]
    # Nobody believes the cluster's 2001, its odometer's 0 and 37.5 km, or that doors stay shut.
    assert shown[CLOCK]["min"] > YEAR_2027_MS
    assert shown[ODOMETER]["min"] > 40_000_000
    assert shown[DOOR]["min"] is False and shown[DOOR]["max"] is True
    assert ("Vehicle.Exterior.AirPressure" in shown) == (quirk != "zero_fill")
    if quirk == "spoofed_source":
        # Nobody can tell who spoke: what the hostile node says as the engine arrives too.
        assert shown[SPEED]["max"] > 60
    else:
        assert shown[SPEED]["max"] < 60


def test_quirks_together_with_kills(simulate: Simulate) -> None:
    # Not while the cluster wakes up: who has heard nobody else yet cannot know that it errs.
    quirks = [word for name in NAMES for word in ("--quirk", name)]
    simulate(
        *("--duration", "30", "--seed", "5", *quirks),
        *("--fault", "driver_kill:fms@14", "--fault", "agent_kill@17", "--fault", "can_flood@21+4"),
    ).assert_books()
