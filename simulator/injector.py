"""Brings about the faults that befall processes and the network; enters deaths in the ledger."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simulator.faults import Fault
from simulator.ledger import Ledger
from simulator.network import Link
from simulator.processes import Process, Supervisor

_SIGNAL = {
    "driver_kill": signal.SIGKILL,
    "driver_segfault": signal.SIGSEGV,
    "agent_kill": signal.SIGKILL,
}
_CUTS = ("no_network", "tunnel")


def boottime_ms() -> int:
    """CLOCK_BOOTTIME in ms, the clock that all processes of a run share."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


@dataclass
class _Progress:
    begun: bool = False
    ended: bool = False
    pids: set[int] = field(default_factory=set)


class Injector:
    """Call `step` often; it starts and heals each fault at its world second."""

    def __init__(
        self,
        faults: Sequence[Fault],
        ledger: Ledger,
        link: Link,
        supervisor: Supervisor,
        broker: Process,
        cloud: Process,
        failpoints: Path,
    ) -> None:
        self._faults = [(fault, _Progress()) for fault in faults]
        self._ledger = ledger
        self._link = link
        self._supervisor = supervisor
        self._servers = {"broker_kill": broker, "cloud_kill": cloud}
        self._failpoints = failpoints
        self._dead_coordinators: set[int] = set()

    def active(self, at_s: float) -> list[Fault]:
        """The faults of any kind that are active at a world second."""
        return [f for f, progress in self._faults if progress.begun and not progress.ended]

    def step(self, at_s: float) -> None:
        """Begin, go on with and heal faults."""
        self._note_return()
        for fault, progress in self._faults:
            if at_s < fault.start_s or progress.ended:
                continue
            over = at_s >= fault.end_s
            self._apply(fault, progress, over)
            progress.begun = True
        self._link.cut(any(f.name in _CUTS and p.begun and not p.ended for f, p in self._faults))

    def heal(self) -> None:
        """End of the run: everything comes back."""
        for fault, progress in self._faults:
            if progress.begun and not progress.ended:
                self._apply(fault, progress, over=True)
            progress.ended = True
        self._link.cut(False)
        self._note_return()

    def _apply(self, fault: Fault, progress: _Progress, over: bool) -> None:
        name, first = fault.name, not progress.begun
        if name in self._servers:
            server = self._servers[name]
            if first:
                server.kill()
            if over:
                server.start()
                progress.ended = True
        elif name in _SIGNAL:
            # Once, or each time it comes back until the fault is over.
            if not over or not progress.pids:
                self._kill(fault, progress)
            progress.ended = over and bool(progress.pids)
        elif name == "driver_hang":
            if first and fault.driver:
                self._supervisor.send(fault.driver, signal.SIGSTOP)
            if over:
                if fault.seconds and fault.driver:
                    self._supervisor.send(fault.driver, signal.SIGCONT)
                progress.ended = True
        elif name in ("driver_raise", "driver_flood"):
            point = self._failpoints / f"{fault.driver}.{name.removeprefix('driver_')}"
            if over:
                point.unlink(missing_ok=True)
                progress.ended = True
            elif first:
                point.touch()
        else:
            progress.ended = over

    def _kill(self, fault: Fault, progress: _Progress) -> None:
        name = "run" if fault.name == "agent_kill" else fault.driver or "gnss"
        pid = self._supervisor.pid(name)
        if pid is None or pid in progress.pids:
            return
        at_ms = boottime_ms()
        if self._supervisor.send(name, _SIGNAL[fault.name]) != pid:
            return
        progress.pids.add(pid)
        if name != "run":
            self._ledger.kills.append((name, at_ms))
            return
        self._dead_coordinators.add(pid)
        if not self._ledger.outages or self._ledger.outages[-1][1] is not None:
            self._ledger.outages.append((at_ms, None))

    def _note_return(self) -> None:
        outages = self._ledger.outages
        if not outages or outages[-1][1] is not None:
            return
        pid = self._supervisor.pid("run")
        if pid not in self._dead_coordinators and self._supervisor.ready("run"):
            outages[-1] = (outages[-1][0], boottime_ms())
