"""The simulated vehicle: its world and its devices, as one ordered stream of emissions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from simulator.emission import ActiveFaults, Emission
from simulator.fms_table import VehicleKind
from simulator.gnss_receiver import GnssReceiver
from simulator.j1939_bus import J1939Bus
from simulator.journey import Journey
from simulator.world import World


class Vehicle:
    """All that a seed decides. Pure: no clock, no input but the fault schedule.

    `sources`: the devices that are fitted; another source's wire may carry a replay instead.
    `quirks`: names of `quirks`. `journey` None: on the route that ships. `utc_start_ms` None: the
    seed's date.
    """

    def __init__(
        self,
        seed: int,
        *,
        sources: Collection[str] = ("gnss", "fms"),
        kind: VehicleKind = "diesel",
        quirks: Collection[str] = (),
        journey: Journey | None = None,
        utc_start_ms: int | None = None,
    ) -> None:
        electric = kind == "electric"
        self.world = World(seed, journey, electric=electric, utc_start_ms=utc_start_ms)
        self._gnss = GnssReceiver(seed, self.world) if "gnss" in sources else None
        self._bus = None
        if "fms" in sources:
            self._bus = J1939Bus(self.world, kind=kind, quirks=quirks)
        self._now_ms = 0
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        """SHA-256 over the bytes of all emissions so far, in order; hex."""
        return self._digest.hexdigest()

    def advance(self, to_s: float, faults: ActiveFaults) -> list[Emission]:
        """All emissions due in (now, `to_s`], in order.

        Time counts in whole milliseconds of the world. `faults` holds for all of the slice: a
        caller cuts its slices where a fault begins or ends, and nowhere else does it matter.
        """
        # A little more than half of a float's error: 0.29 * 1000 is 289.99999999999994.
        to_ms = int(to_s * 1000 + 1e-6)
        made: list[Emission] = []
        for at_ms in range(self._now_ms + 1, to_ms + 1):
            gnss_due = self._gnss is not None and self._gnss.due(at_ms)
            bus_due = self._bus is not None and self._bus.due(at_ms, faults)
            if not gnss_due and not bus_due:
                continue
            self.world.advance_to(at_ms)
            if gnss_due and self._gnss is not None:
                made.append(self._gnss.emit(at_ms, faults))
            if bus_due and self._bus is not None:
                made += self._bus.emit(at_ms, faults)
        self._now_ms = max(self._now_ms, to_ms)
        for emission in made:
            self._digest.update(emission.data)
        return made
