"""Whole runs of each vehicle, of each quirk of real buses, and of a drive by timetable."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.quirks import NAMES
from tests.hil.conftest import Outcome, Simulate
from tests.simulator.feeds import feed

SPEED = "Vehicle.Speed"
ODOMETER = "Vehicle.TraveledDistance"
CLOCK = "Vehicle.Bus.Clock.Vehicle"
DOOR = "Vehicle.Bus.Door1.IsOpen"
YEAR_2027_MS = 1_798_761_600_000


def signal(outcome: Outcome, path: str) -> dict[str, float]:
    """Count, minimum, maximum and last value of a signal at the far end."""
    shown: dict[str, float] = outcome.report["signals"][path]
    return shown


def test_a_diesel_bus_says_the_whole_set(simulate: Simulate) -> None:
    outcome = simulate("--duration", "44", "--seed", "7")
    outcome.assert_books()
    assert len(outcome.report["signals"]) > 160
    assert "Vehicle.Bus.Dtc" in outcome.report["signals"]
    written = outcome.report["written"]["fms"]
    assert 190 * 44 < written < 260 * 44
    assert outcome.report["dropped_on_wire"].get("fms", 0) == 0


def test_an_electric_bus(simulate: Simulate) -> None:
    outcome = simulate("--duration", "30", "--seed", "7", "--vehicle", "electric")
    outcome.assert_books()
    assert outcome.report["vehicle"] == "electric"
    shown = outcome.report["signals"]
    battery = "Vehicle.Powertrain.TractionBattery."
    assert 500 < shown[battery + "CurrentVoltage"]["min"] < 800
    assert shown[battery + "CurrentCurrent"]["min"] < 0
    assert battery + "StateOfCharge.Displayed" in shown
    assert not any(".CombustionEngine." in path for path in shown)


def test_an_electric_bus_whose_driver_is_killed(simulate: Simulate) -> None:
    simulate(
        *("--duration", "30", "--seed", "3", "--vehicle", "electric"),
        *("--fault", "driver_kill:fms@9", "--fault", "agent_kill@15"),
    ).assert_books()


@pytest.mark.parametrize("quirk", NAMES)
def test_a_quirk_of_real_buses(simulate: Simulate, quirk: str) -> None:
    outcome = simulate("--duration", "26", "--seed", "7", "--quirk", quirk)
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
        assert shown[SPEED]["max"] > 100
    else:
        assert shown[SPEED]["max"] < 60


def test_quirks_together_with_kills(simulate: Simulate) -> None:
    quirks = [word for name in NAMES for word in ("--quirk", name)]
    simulate(
        *("--duration", "30", "--seed", "5", *quirks),
        *("--fault", "driver_kill:fms@10", "--fault", "agent_kill@16", "--fault", "can_flood@21+4"),
    ).assert_books()


def test_a_drive_by_timetable(simulate: Simulate, tmp_path: Path) -> None:
    path = feed(tmp_path)
    outcome = simulate(
        *("--duration", "30", "--seed", "7", "--gtfs", str(path), "--gtfs-trip", "t1")
    )
    outcome.assert_books()
    assert "trip t1, leaves 20" in outcome.report["journey"]
    at = signal(outcome, "Vehicle.CurrentLocation.Latitude")
    assert 49.99 < at["min"] <= at["max"] < 50.02


def test_what_cannot_be_used_is_said_in_one_line(simulate: Simulate, tmp_path: Path) -> None:
    path = feed(tmp_path, **{"stops.txt": None})
    for arguments, said in (
        (("--gtfs", str(path)), "has no stops.txt"),
        (("--gtfs", str(tmp_path / "none.zip")), "no such file"),
        (("--gtfs-trip", "t1"), "add --gtfs ZIP"),
        (("--vehicle", "steam"), "--vehicle steam: there are diesel, electric"),
        (("--quirk", "ghost"), "--quirk ghost: there are cluster_clock_2001, "),
    ):
        outcome = simulate(*arguments, "--duration", "5")
        assert outcome.code == 2 and said in outcome.output
        assert outcome.output.count("\n") == 1
