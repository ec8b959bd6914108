"""Command line and scenario file: what they mean together, and what is refused in which words."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from simulator.scenario import Misuse, Scenario, arguments
from simulator.stage import Stage
from simulator.vehicle import Vehicle


def parsed(tmp_path: Path, text: str, *more: str) -> Scenario:
    file = tmp_path / "scenario.toml"
    file.write_text(text)
    return arguments(["--run-dir", str(tmp_path), "--scenario", str(file), *more])


def test_the_command_line_adds_to_a_scenario(tmp_path: Path) -> None:
    text = 'vehicle = "electric"\nquirks = ["zero_fill"]\ngtfs = "town.zip"\ngtfs_trip = "t1"\n'
    one = parsed(tmp_path, text, "--quirk", "odometer_wakeup", "--quirk", "zero_fill")
    assert one.vehicle == "electric"
    assert one.quirks == ("odometer_wakeup", "zero_fill")
    assert (one.gtfs, one.gtfs_route, one.gtfs_trip) == (Path("town.zip"), None, "t1")
    other = parsed(tmp_path, text, "--vehicle", "diesel", "--gtfs-trip", "t2", "--gtfs", "b.zip")
    assert (other.vehicle, other.gtfs, other.gtfs_trip) == ("diesel", Path("b.zip"), "t2")


def test_without_any_option_it_is_a_diesel_bus_without_quirks(tmp_path: Path) -> None:
    one = arguments(["--run-dir", str(tmp_path)])
    assert (one.vehicle, one.quirks, one.gtfs) == ("diesel", (), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('vehicle = "steam"', "--vehicle steam: there are diesel, electric"),
        ("vehicle = 3", "vehicle: expected text"),
        ('quirks = ["ghost"]', "--quirk ghost: there are cluster_clock_2001, "),
        ('quirks = "zero_fill"', "quirks: expected a list of NAME"),
        ('gtfs_route = "7"', "add --gtfs ZIP"),
        ('gtsf = "x"', "unknown key gtsf; expected ["),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Misuse) as caught:
        parsed(tmp_path, text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "want_ms"),
    [
        ("2028-02-29T12:00Z", 1_835_438_400_000),
        ("2028-02-29T12:00:00.5+02:00", 1_835_431_200_500),
    ],
)
def test_the_date_on_the_bus(tmp_path: Path, text: str, want_ms: int) -> None:
    one = arguments(["--run-dir", str(tmp_path), "--utc", text])
    assert one.utc_start_ms == want_ms
    world = Vehicle(7, utc_start_ms=one.utc_start_ms).world
    assert world.utc_ms == want_ms // 1000 * 1000
    assert Vehicle(7).world.utc_ms != world.utc_ms
    assert Vehicle(7).world.vin == world.vin, "all else stays the seed's"


def test_the_date_of_this_machine(tmp_path: Path) -> None:
    before_ms = time.time_ns() // 1_000_000
    one = arguments(["--run-dir", str(tmp_path), "--utc", "now"])
    assert one.utc_start_ms is not None
    assert before_ms <= one.utc_start_ms <= time.time_ns() // 1_000_000
    assert arguments(["--run-dir", str(tmp_path)]).utc_start_ms is None


@pytest.mark.parametrize("text", ["", "today", "2028-02-29", "2028-02-29T12:00", "1970-01-01T00Z"])
def test_a_date_that_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(Misuse) as caught:
        arguments(["--run-dir", str(tmp_path), "--utc", text])
    assert f"--utc {text}: expected now, or a time with its offset" in str(caught.value)


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misuse) as caught:
        arguments(["--run-dir", str(tmp_path), "--config", str(tmp_path / "none.toml")])
    assert "none.toml: no such file" in str(caught.value)


def test_a_configuration_is_laid_over_and_ports_stay(tmp_path: Path) -> None:
    given = tmp_path / "mine.toml"
    given.write_text("[uplink]\nlinger_s = 33\nport = 1\n")
    stage = Stage(arguments(["--run-dir", str(tmp_path / "run"), "--config", str(given)]))
    for part in (stage.link, *stage.wires.values()):
        part.start()
    try:
        argv = [sys.executable, "-m", "agent.cli.main", "config", "get", "--config"]
        shown = [
            subprocess.run([*argv, str(stage.config), key], capture_output=True, text=True)
            for key in ("uplink.linger_s", "uplink.port")
        ]
    finally:
        stage.strike()
    assert [found.stdout.strip() for found in shown] == ["33.0", str(stage.link.port)], shown
