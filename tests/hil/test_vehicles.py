"""Whole runs of each vehicle, and of a drive by timetable."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hil.conftest import Outcome, Simulate
from tests.simulator.feeds import feed


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_electric_bus_whose_driver_is_killed(simulate: Simulate) -> None:
    simulate(
        *("--duration", "30", "--seed", "3", "--vehicle", "electric"),
        *("--fault", "driver_kill:fms@9", "--fault", "agent_kill@15"),
    ).assert_books()


@pytest.mark.slow
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
