"""The shipped units under systemd 252: the table of lifecycle.py, and what only systemd has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.rig.conftest import FIGURES
from tests.rig.feed import Feed
from tests.rig.lifecycle import TABLE, Row, check, settle, until_whole
from tests.rig.network import World
from tests.rig.place import NoRig
from tests.rig.rig import Rig
from tests.rig.units import Units

# The supervision table of the coordinator allows a loop 15 s; 20 s more would be waiting only.
QUICKER = {"run": 5, "gnss": 5, "fms": 5}


@dataclass
class Bus:
    """A guest with the units, a vehicle on its serial lines and the world outside."""

    rig: Rig
    units: Units
    feed: Feed
    world: World


def board(rig: Rig, **boot: Any) -> Bus:
    """Boot, install the units; nothing runs yet and the network is down."""
    feed, world = rig.feed(), rig.world()
    guest = rig.boot(systemd=True, memory_mb=512, serial=feed.serial, tap=world.network.tap, **boot)
    units = Units(guest)
    feed.start()
    return Bus(rig, units, feed, world)


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    """One boot for the whole table. Each row leaves the agent whole."""
    try:
        rig = Rig(tmp_path_factory.mktemp("systemd"))
    except NoRig as reason:
        pytest.skip(str(reason))
    try:
        on_board = board(rig)
        on_board.units.faults_on_demand()
        for name, seconds in QUICKER.items():
            on_board.units.drop_in(name, "quicker", f"[Service]\nWatchdogSec={seconds}s\n")
        on_board.units.dial()
        on_board.units.start()
        until_whole(on_board.units)
        yield on_board
    finally:
        rig.close()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the test enters into the report."""
    noted: dict[str, Any] = {"runs": 1}
    request.node.stash[FIGURES] = noted
    return noted


def rows(kind: str) -> list[Any]:
    """The table as parameters, each row with its id in the report."""
    return [
        pytest.param(
            row, id=f"{row.target}-{at}", marks=pytest.mark.rig(row.id, f"{kind}: {row.situation}")
        )
        for at, row in enumerate(TABLE)
    ]


@pytest.mark.parametrize("row", rows("systemd"))
def test_table(bus: Bus, figures: dict[str, Any], row: Row) -> None:
    figures["heal_ms"] = check(bus.units, row)
    found = settle(bus.units, bus.world.ledger)
    figures.update(accepted=found.accepted, delivered=found.delivered, lost=found.lost)
