"""Is every loop alive: the supervision table behind WATCHDOG=1, and the agent's own status signals.

A timer that always feeds the watchdog proves nothing. Each loop of the coordinator beats by itself
and has its own allowance; one late loop stops the feeding, so that PID 1 restarts the process.
Being offline, without a device or with a full disk is no reason to stop feeding.
"""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Mapping

from agent.record import Kind, Record
from agent.signals import Datatype, Group, Signal, sampled

SOURCE = "brain"
"""The source name of what the agent states about itself."""

AGENT = Group(
    "agent",
    (
        Signal(
            "Vehicle.Bus.Agent.Uptime",
            Datatype.UINT32,
            "s",
            "Time since the coordinator started.",
            sampled(60),
            steps_per_unit=1,
        ),
        Signal(
            "Vehicle.Bus.Agent.ResidentMemory",
            Datatype.UINT32,
            "kB",
            "Largest resident memory of the coordinator so far.",
            sampled(60),
            steps_per_unit=1,
        ),
        Signal(
            "Vehicle.Bus.Agent.OutboxBytes",
            Datatype.INT64,
            "",
            "Bytes of queued rows in the outbox.",
            sampled(60),
            steps_per_unit=1,
        ),
        Signal(
            "Vehicle.Bus.Agent.RingDropped",
            Datatype.UINT32,
            "",
            "Samples that drivers lost before they were accepted, since the drivers started.",
            sampled(60),
            steps_per_unit=1,
        ),
        Signal(
            "Vehicle.Bus.Agent.DriversConnected",
            Datatype.UINT8,
            "",
            "Drivers that are connected to the coordinator.",
            sampled(60),
            steps_per_unit=1,
        ),
    ),
)


STILL_S = 5.0
"""Where nobody looked for so long, the process as a whole did not run: nobody could beat."""


class Supervision:
    """The table: who must beat how often, and who is late. Thread-safe.

    `late` has to be asked every few seconds: that is how time is noticed in which the process was
    stopped, which no loop is to blame for.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._limit_s: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._looked_at: float | None = None

    def loop(self, name: str, limit_s: float) -> Callable[[], None]:
        """Enter a loop that must beat at least every `limit_s` seconds; returns its beat."""
        with self._lock:
            self._limit_s[name] = limit_s
            self._last[name] = self._clock()

        def beat() -> None:
            self._last[name] = self._clock()

        return beat

    def leave(self, name: str) -> None:
        """The loop ended on purpose."""
        with self._lock:
            self._limit_s.pop(name, None)
            self._last.pop(name, None)

    def late(self) -> dict[str, float]:
        """Loops that are late, with the seconds since their last beat."""
        now = self._clock()
        with self._lock:
            still_s = 0.0 if self._looked_at is None else now - self._looked_at
            self._looked_at = now
            if still_s > STILL_S:
                for name, last in self._last.items():
                    self._last[name] = min(now, last + still_s)
            return {
                name: now - self._last[name]
                for name, limit in self._limit_s.items()
                if now - self._last[name] > limit
            }


def self_report(
    at_boottime_ms: int,
    uptime_s: float,
    outbox_bytes: int,
    drivers: Mapping[str, Mapping[str, int]],
) -> Record:
    """What the agent states about itself; `drivers` maps connected drivers to their counters."""
    return Record(
        SOURCE,
        at_boottime_ms,
        {
            "Vehicle.Bus.Agent.Uptime": int(uptime_s),
            "Vehicle.Bus.Agent.ResidentMemory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "Vehicle.Bus.Agent.OutboxBytes": outbox_bytes,
            "Vehicle.Bus.Agent.RingDropped": sum(
                c.get("lost_samples", 0) + c.get("lost_important", 0) for c in drivers.values()
            ),
            "Vehicle.Bus.Agent.DriversConnected": len(drivers),
        },
        kind=Kind.STATUS,
    )
