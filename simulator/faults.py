"""Faults by name: parsed from the command line, active for a time of the simulated world.

A fault is `NAME[:DRIVER]@START[+SECONDS]`. The names are the same in scenarios, tests and screens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from simulator.emission import ActiveFaults

WORLD = ("tunnel", "gnss_garbage", "can_silent", "can_flood")
"""They change what the devices say."""
KILLS = ("broker_kill", "cloud_kill", "agent_kill", "driver_kill", "driver_segfault")
"""A process ends; without a duration it may come back at once, with one it is kept down."""
DRIVER = ("driver_kill", "driver_segfault", "driver_hang", "driver_raise", "driver_flood")
"""They befall one driver."""
UNJUDGED = ("driver_segfault", "driver_hang", "driver_raise", "driver_flood")
"""The driver that they befall is not judged: only its own data may suffer."""
NAMES = ("no_network", *WORLD, *KILLS, "driver_hang", "driver_raise", "driver_flood")
DRIVERS = ("gnss", "fms")
"""Those of the simulated vehicle."""
SOURCE_OF = {"tunnel": "gnss", "gnss_garbage": "gnss", "can_silent": "fms", "can_flood": "fms"}
DEFAULT_S = {
    "no_network": 10.0,
    "tunnel": 10.0,
    "gnss_garbage": 5.0,
    "can_silent": 5.0,
    "can_flood": 5.0,
    "driver_hang": 0.0,
    "driver_raise": 5.0,
    "driver_flood": 5.0,
}
_FORM = re.compile(r"([a-z_]+)(?::([\w-]+))?@(\d+(?:\.\d+)?)(?:\+(\d+(?:\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """`driver` is None where the name has none; `seconds` 0 means: at one moment."""

    name: str
    driver: str | None
    start_s: float
    seconds: float

    @property
    def end_s(self) -> float:
        """World second at which it heals."""
        return self.start_s + self.seconds

    def __str__(self) -> str:
        driver = f":{self.driver}" if self.driver else ""
        duration = f"+{self.seconds:g}" if self.seconds else ""
        return f"{self.name}{driver}@{self.start_s:g}{duration}"


def parse(text: str) -> Fault:
    """A fault from its form. Raises ValueError that says what was expected."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r}: expected NAME[:DRIVER]@START[+SECONDS], e.g. no_network@20+15")
    name, driver, start, seconds = match.groups()
    if name not in NAMES:
        raise ValueError(f"{text!r}: no fault {name!r}; there are {', '.join(NAMES)}")
    if driver is not None and name not in DRIVER:
        raise ValueError(f"{text!r}: {name} takes no driver; write {name}@{start}")
    if name in DRIVER and driver is None:
        driver = "gnss"
    if driver is not None and driver not in DRIVERS:
        raise ValueError(f"{text!r}: no driver {driver!r}; there are {', '.join(DRIVERS)}")
    duration = float(seconds) if seconds is not None else DEFAULT_S.get(name, 0.0)
    return Fault(name, driver, float(start), duration)


def world_faults(faults: Iterable[Fault], at_s: float) -> ActiveFaults:
    """What shapes the devices' bytes at a world second: a pure function of the schedule."""
    return frozenset(
        (fault.name, SOURCE_OF[fault.name])
        for fault in faults
        if fault.name in WORLD and fault.start_s <= at_s < fault.end_s
    )


def unjudged(faults: Iterable[Fault]) -> list[str]:
    """Sources whose own data is not judged."""
    return sorted({f.driver for f in faults if f.name in UNJUDGED and f.driver is not None})
