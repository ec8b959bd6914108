"""What `brain check` and the drivers' classes say to a change that comes as a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.cli.candidate import judge
from agent.commands import settable

CONFIG = """
schema = 1
[vehicle]
id = "bus-1"
[drivers.gnss]
type = "gnss_nmea0183"
port = "/dev/gnss"
[drivers.fms]
type = "fms_j1939"
interface = "socketcan"
channel = "can0"
[drivers.cam]
type = "not_installed"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "brain.toml").write_text(CONFIG)
    return tmp_path


def problems(place: Path, key: str, value: Any) -> str:
    """What is wrong with a change, "" for nothing; as the agent asks, in a process of its own."""
    settable.check({"set": {key: value}})
    file = place / "conf.d" / settable.FILE
    return "; ".join(judge(place / "brain.toml", file, settable.edited("", {key: value})))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("drivers.gnss.baud", 9600),
        ("drivers.gnss.protocol", "ubx"),
        ("drivers.fms.electric", True),
        ("drivers.fms.prefer.dc1", [236]),
        ("store.commit_interval_s", 2.0),
        ("uplink.window", 4),
    ],
)
def test_what_may_be_changed(place: Path, key: str, value: Any) -> None:
    assert problems(place, key, value) == ""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("drivers.gnss.address", "evil.example:2947"),  # a host, though no broker
        ("drivers.gnss.source", "gpsd"),
        ("drivers.gnss.port", "ttyS0"),
        ("drivers.fms.link", "any"),  # the vehicle is never written to
        ("drivers.fms.driver_id", "plain"),  # personal data
        ("drivers.fms.interface", "slcan"),
        ("drivers.fms.dbc", "x.dbc"),
        ("drivers.cam.url", "evil.example"),  # whoever cannot be asked leaves nothing to commands
    ],
)
def test_what_a_driver_does_not_leave_to_commands(place: Path, key: str, value: Any) -> None:
    assert f"{key}  cannot be set from afar" in problems(place, key, value)


def test_a_driver_cannot_be_added(place: Path) -> None:
    assert "drivers.new" in problems(place, "drivers.new.port", "ttyS1")


def test_what_was_wrong_before_is_no_obstacle(place: Path) -> None:
    assert problems(place, "agent.log_level", "debug") == ""
    assert "expected" in problems(place, "agent.log_level", "loud")
