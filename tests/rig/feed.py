"""The simulated vehicle outside the guest: it speaks on its serial lines and keeps the ledger.

GNSS is ttyS0 at the pace of 9600 baud, the CAN bus is an SLCAN stick on ttyS1. The ledger of what
was on the wires lives in this process, so a power cut in the guest cannot touch it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path

from simulator.emission import NO_FAULTS, ActiveFaults
from simulator.ledger import Ledger
from simulator.oracle import Delivered, Verdict, judge
from simulator.vehicle import Vehicle
from simulator.wires.j1939_slcan import SlcanWire
from simulator.wires.nmea_pty import NmeaWire
from simulator.wires.pty import boottime_ms

FULL_RATE: ActiveFaults = frozenset({("can_flood", "fms")})
TICK_S = 0.01
LATE_MS = 4_000
"""The guest shares the host's processors with the tests, and a byte on its serial line is a system
call of theirs: what is captured late is not lost."""


DRAIN_S = 5.0


class Feed:
    """Wires by name, a vehicle that drives in real time, and the ledger of what it said."""

    def __init__(
        self,
        seed: int,
        *,
        faults: ActiveFaults = NO_FAULTS,
        links: Path | None = None,
        utc_start_ms: int | None = None,
    ) -> None:
        """`links`: a directory for names of the wires, which `pull` and `plug` need.

        `utc_start_ms`: the date in the vehicle's world, None: the seed's.
        """
        self._links = links
        self.wires: dict[str, NmeaWire | SlcanWire] = {
            "gnss": NmeaWire(link=links and links / "gnss"),
            "fms": SlcanWire(link=links and links / "fms"),
        }
        self.ledger = Ledger()
        self.faults = faults
        self.silent: set[str] = set()
        """Sources that say nothing just now. A serial line of the guest that is open with more than
        4 kB unread goes deaf until the next boot (its kernel gives the interrupt up at the first
        throttle), so whoever lets a driver hang or stop lets its device be silent meanwhile."""
        self._vehicle = Vehicle(seed, utc_start_ms=utc_start_ms)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drive, name="feed", daemon=True)
        self.zero_ms = 0

    @property
    def serial(self) -> dict[int, str]:
        """The guest's serial lines, as `Boot.serial` takes them."""
        gnss, fms = self.wires["gnss"], self.wires["fms"]
        return {0: str(gnss.link or gnss.path), 1: str(fms.link or fms.path)}

    def pull(self) -> None:
        """Pull the GNSS receiver's plug: its terminal is gone, with what was on its way."""
        self.wires["gnss"].stop()
        self.ledger.enter(self.wires["gnss"].heard())

    def plug(self) -> None:
        """Plug it in again: another terminal under the same name."""
        wire = NmeaWire(link=self._links and self._links / "gnss")
        wire.start()
        self.wires["gnss"] = wire

    def start(self) -> None:
        """Drive off."""
        for wire in self.wires.values():
            wire.start()
        self.zero_ms = boottime_ms()
        self._thread.start()

    def stop(self) -> None:
        """End the journey: silence on the wires, everything is in the ledger. Ports stay."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        # What is still on its way at 9600 baud may arrive and must be in the ledger then.
        pause, deadline = threading.Event(), time.monotonic() + DRAIN_S
        while time.monotonic() < deadline and any(wire.pending() for wire in self.wires.values()):
            pause.wait(TICK_S)
        for wire in self.wires.values():
            self.ledger.enter(wire.heard())

    def close(self) -> None:
        """End the journey and pull the plugs."""
        self.stop()
        for wire in self.wires.values():
            wire.stop()
            self.ledger.enter(wire.heard())

    def utc_ms(self, host_boottime_ms: float) -> float:
        """The time of day in the vehicle's world at a moment of the host's boot time."""
        return self._vehicle.world.utc_start_ms + host_boottime_ms - self.zero_ms

    def open(self) -> bool:
        """Whether both drivers have their ports open."""
        return all(wire.is_open() for wire in self.wires.values())

    def power_cut(self) -> None:
        """Note that all processes of the vehicle die now: call it just before they do."""
        at_ms = boottime_ms()
        self.ledger.kills += [(source, at_ms) for source in self.wires]

    def deaf(self, source: str, since_ms: int) -> None:
        """Note that its driver heard nothing from `since_ms` (boot time) on, its port open or not.

        For a port that the kernel opens before the driver listens.
        """
        now_ms = boottime_ms()
        self.ledger.outages.append((since_ms, now_ms))
        self.ledger.kills.append((source, now_ms))

    def judge(self, delivered: Iterable[Delivered]) -> Verdict:
        """What is missing and what was invented, after `stop`."""
        return judge(self.ledger, delivered, self.zero_ms, late_ms=LATE_MS)

    def _drive(self) -> None:
        began = time.monotonic()
        while not self._stop.wait(TICK_S):
            for emission in self._vehicle.advance(time.monotonic() - began, self.faults):
                if emission.source not in self.silent:
                    self.wires[emission.source].write(emission)
            for wire in self.wires.values():
                self.ledger.enter(wire.heard())
