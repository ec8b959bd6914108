"""A whole bus: a guest with the shipped units, a vehicle on its serial lines, the world outside."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.books import Books, since
from tests.rig.feed import Feed
from tests.rig.install import installed
from tests.rig.lifecycle import settle
from tests.rig.network import World
from tests.rig.rig import Rig
from tests.rig.units import Units


class Dated(NamedTuple):
    """A delivered sample: how far the far end's UTC is from when it was on the wire."""

    epoch: str
    seq: int
    error_ms: float


@dataclass
class Bus:
    """Each test leaves the agent whole for the next one."""

    rig: Rig
    units: Units
    feed: Feed
    world: World
    _booked: Books = field(default_factory=Books)

    def settle(self, figures: dict[str, Any]) -> Books:
        """All that was accepted so far comes through; enter what came since the last time."""
        found = settle(self.units, self.world.ledger)
        figures.update(since(found, self._booked))
        self._booked = found
        return found

    def dated(self) -> list[Dated]:
        """Each delivered record of a driver, with what its time is wrong by.

        The vehicle's own UTC comes by GNSS; host and guest share no clock but the rate.
        """
        zero_ms = self.units.machine.zero_s * 1000
        with closing(sqlite3.connect(f"file:{self.world.ledger}?mode=ro", uri=True)) as db:
            rows = db.execute(
                "SELECT epoch, seq, boottime_ms, utc_ms FROM record WHERE source != 'brain'"
            ).fetchall()
        return [
            Dated(epoch, seq, (utc_ms or 0) - self.feed.utc_ms(zero_ms + at_ms))
            for epoch, seq, at_ms, utc_ms in rows
        ]


def board(rig: Rig, **boot: Any) -> Bus:
    """Boot; the units start as on a vehicle, and the network is down."""
    feed, world = rig.feed(), rig.world()
    feed.start()
    guest = rig.boot(
        systemd=True,
        memory_mb=512,
        serial=feed.serial,
        tap=world.network.tap,
        before=installed(),
        **boot,
    )
    return Bus(rig, Units(guest, feed), feed, world)
