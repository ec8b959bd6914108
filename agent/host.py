"""One driver's process: its ring, its beats, its side of the ingest socket.

The main thread is the link: it alone touches the socket and talks to the service manager. The
driver runs on thread "driver", commands on "verbs". Imports stay few: memory counts per driver.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.alarms import Alarm, of
from agent.context import HostContext
from agent.driver_loop import Backoff, DriverLoop
from agent.link import Link
from agent.protocol import (
    Answer,
    Command,
    Deliver,
    Downward,
    Hello,
    Notifier,
    Report,
    Stop,
    declare,
    watchdog_s,
)
from agent.ring import Ring
from agent.sdk import Driver
from agent.verbs import Verbs
from agent.waker import Waker

log = logging.getLogger(__name__)

LEAVE_LIMIT_S = 1.8
"""From the stop to the end of the process, a hanging driver included: 2 s are promised."""

FLUSH_LIMIT_S = 1.0
"""How long the ring may wait for its last `Durable` after the driver has left."""

REPORT_INTERVAL_S = 1.0
MAX_ANSWERS = 64
"""Answers to commands that wait for the coordinator; it has given up on older ones."""
_NOT_TAKEN = "configuration not taken: "
FLOOD_A_SECOND = 20_000
FLOOD_TICK_S = 0.01


Reread = Callable[[], "Driver[Any] | str | None"]
"""Reads the section again: a new driver, why it is not taken, or None where it is the same."""


def _nothing() -> None:
    """The default of `ready` and of `reread`."""


class Host:
    """Runs `driver` as source `name` until SIGTERM, SIGINT or `stop`.

    `workdir` is made if absent. `failpoints`: the directory whose files `NAME.raise` and
    `NAME.flood` arm failpoints, None on vehicles. `ready` is called once when the loop runs,
    `reread` at SIGHUP. `leave` ends the process where the driver's thread hangs.
    """

    def __init__(  # the six that make a driver's process
        self,
        name: str,
        type_name: str,
        version: str,
        driver: Driver[Any],
        ingest_path: Path,
        workdir: Path,
        *,
        strict: bool = False,
        ring_bytes: int = 8 << 20,
        failpoints: Path | None = None,
        notifier: Notifier | None = None,
        ready: Callable[[], None] = _nothing,
        reread: Reread = _nothing,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        workdir.mkdir(parents=True, exist_ok=True)
        self._name = name
        self._clock = clock
        self._leave = leave
        self._ready = ready
        self._reread = reread
        self._rereading = False
        self._refused = ""
        self._failpoints = failpoints
        self._notifier = notifier or Notifier()
        self._stop = threading.Event()
        self._waker = Waker()
        self.ring = Ring(ring_bytes, self._waker.wake, clock)
        self.ctx = HostContext(
            driver.groups,
            self.ring,
            workdir,
            self._stop,
            strict=strict,
            armed=self._armed if failpoints is not None else None,
            clock=clock,
        )
        self._loop = DriverLoop(
            name, driver, self.ctx, self._stop, self._waker.wake, backoff=backoff, clock=clock
        )
        self._driver = driver
        self._answers: deque[tuple[Answer, str]] = deque(maxlen=MAX_ANSWERS)
        self._verbs = Verbs(name, driver, self.ctx, self._answer)
        hello = Hello(
            name=name,
            type=type_name,
            version=version,
            stream=os.urandom(16).hex(),
            groups=[declare(group) for group in driver.groups],
            pid=os.getpid(),
        )
        self._link = Link(
            name,
            ingest_path,
            hello,
            ring=self.ring,
            waker=self._waker,
            received=self._received,
            clock=clock,
        )
        limit_s = watchdog_s()
        # A quarter, so that one late turn of the loop is no verdict; see systemd.service(5).
        self._feed_interval_s = limit_s / 4 if limit_s else None
        self._fed_at = self._reported_at = float("-inf")
        self._reported: Report | None = None
        self._reported_on = 0
        self._device = "starting"
        self._status = ""

    def stop(self) -> None:
        """Ask the host to end; for any thread and for signal handlers."""
        self._stop.set()
        self._waker.wake()

    def run(self) -> int:
        """Work until stopped; 0. Does not return where the driver's thread hangs: `leave(0)`."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.stop())
            signal.signal(signal.SIGHUP, lambda *_: self._ask_reload())
        self._loop.start()
        self._verbs.start()
        if self._failpoints is not None:
            threading.Thread(target=self._flood, name="flood", daemon=True).start()
        self._notifier.send(READY=1)
        self._ready()
        while not self._stop.is_set():
            if self._rereading:
                self._reload()
            self._link.step(self._tick())
        self._finish()
        return 0

    def _ask_reload(self) -> None:
        self._rereading = True
        self._waker.wake()

    def _reload(self) -> None:
        """Take over a changed section: the driver leaves `run`, a new one goes on in its place."""
        self._rereading = False
        self._notifier.reloading()
        found = self._reread()
        self._refused = found if isinstance(found, str) else ""
        if isinstance(found, Driver):
            if found.groups == self._driver.groups:
                self._driver = found
                self._verbs.replace(found)
                self._loop.replace(found)
            else:
                log.info("%s: it declares other signals now, restarting", self._name)
                self.stop()
        self._notifier.send(READY=1)

    def _finish(self) -> None:
        """Let the driver leave and the ring drain, within `LEAVE_LIMIT_S`."""
        self._notifier.send(STOPPING=1)
        self._verbs.stop()
        stopped_at = self._clock()
        deadline = stopped_at + LEAVE_LIMIT_S
        drained = False
        while (left_s := deadline - self._clock()) > 0 and not drained:
            if not self._loop.alive():
                deadline = min(deadline, self._clock() + FLUSH_LIMIT_S)
                self.ring.flush()
                drained = self.ring.empty()
            elif self._clock() - stopped_at >= FLUSH_LIMIT_S:
                self.ring.close()  # a driver that waits for flash leaves by itself then
            if not drained:
                self._link.step(min(left_s, 0.1))
        self.ring.close()
        self._link.close()
        if not drained:
            log.warning("%s: stopped before all records were confirmed", self._name)
        if self._loop.alive():
            log.error("%s: the driver did not leave `run` in time, ending without it", self._name)
            logging.shutdown()
            self._leave(0)

    def _received(self, message: Downward) -> None:
        if isinstance(message, Stop):
            self.stop()
        elif isinstance(message, (Command, Deliver)):
            self._verbs.take(message)

    def _answer(self, answer: Answer, path: str) -> None:
        """On the verbs' thread: the link sends it, and the file at `path` with it."""
        self._answers.append((answer, path))
        self._waker.wake()

    def _tick(self) -> float:
        """Feed the watchdog, report and tell; seconds until there is more to do."""
        now = self._clock()
        while self._answers and self._link.tell(*self._answers[0]):
            self._answers.popleft()
        beating = self.ctx.beating()
        interval_s = self._feed_interval_s
        if interval_s is not None and beating and now - self._fed_at >= interval_s:
            self._fed_at = now
            self._notifier.send(WATCHDOG=1)
        if now - self._reported_at >= REPORT_INTERVAL_S:
            self._reported_at = now
            self._report(beating)
        return REPORT_INTERVAL_S if interval_s is None else min(REPORT_INTERVAL_S, interval_s)

    def _report(self, beating: bool) -> None:
        device = self._loop.device if beating else "stalled: the driver does not beat"
        if device == "ok":
            device = self._driver.device
        if device == "ok" and self._refused:
            device = f"{_NOT_TAKEN}{self._refused}"
        if device != self._device:
            if device == "ok" and not self._device.startswith(("starting", _NOT_TAKEN)):
                log.info("%s: the device is back", self._name)
            if not beating:
                log.error("%s: %s", self._name, device, extra=of(Alarm.DRIVER_FAILED, self._name))
            self._device = device
        status = f"{device}; {'connected' if self._link.welcomed else 'no coordinator'}"
        if status != self._status:
            self._status = status
            self._notifier.send(STATUS=status)
        report = Report(self.counters(), device)
        if report == self._reported and self._link.connections == self._reported_on:
            return
        if self._link.tell(report):
            self._reported, self._reported_on = report, self._link.connections

    def counters(self) -> dict[str, int]:
        """What `Report` carries, since the start of the process."""
        return {
            "records": self.ctx.records,
            "rejected_values": self.ctx.rejected,
            "lost_samples": self.ring.lost,
            "lost_important": self.ring.lost_important,
            "failures": self._loop.failures,
            "unavailable": self._loop.unavailable,
            "failed_verbs": self._verbs.failures,
            "connections": self._link.connections,
        }

    def _armed(self, failpoint: str) -> bool:
        return self._failpoints is not None and os.path.exists(
            self._failpoints / f"{self._name}.{failpoint}"
        )

    def _flood(self) -> None:
        """Failpoint: while `NAME.flood` exists, repeat what the driver emitted last."""
        armed_until = 0.0
        while not self._stop.wait(FLOOD_TICK_S if armed_until else 0.1):
            now = self._clock()
            if now >= armed_until:
                armed_until = now + 0.1 if self._armed("flood") else 0.0
            latest = self.ctx.latest
            if armed_until and latest is not None:
                for _ in range(int(FLOOD_A_SECOND * FLOOD_TICK_S)):
                    self.ctx.repeat(latest)
