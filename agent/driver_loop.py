"""Runs one driver for ever: whatever it raises costs a line in the log and a pause."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from agent.alarms import Alarm, of
from agent.context import HostContext
from agent.sdk import DeviceUnavailable, Driver

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
SHORTEST_PAUSE_S = 0.5
"""Full jitter, but never a busy loop."""

HEALTHY_S = 60.0
"""A driver that ran for so long starts over with short pauses."""

LONGEST_OPENING_PAUSE_S = 1.0
"""After a device with a path could not be opened: that costs nothing and was logged once."""

LOOK_S = 0.25
"""How often a pause looks whether the device's path has appeared, or a new configuration."""

MAX_DEVICE_TEXT = 300


class Backoff:
    """Pauses that double from 1 s to 60 s, each drawn from [0.5 s, its ceiling]."""

    def __init__(self, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._jitter = jitter
        self._ceiling_s = FIRST_PAUSE_S

    def next_s(self) -> float:
        """The pause after one more failure."""
        pause_s = self._jitter(SHORTEST_PAUSE_S, self._ceiling_s)
        self._ceiling_s = min(LONGEST_PAUSE_S, self._ceiling_s * 2)
        return pause_s

    def reset(self) -> None:
        """The driver was healthy."""
        self._ceiling_s = FIRST_PAUSE_S


class DriverLoop:
    """Thread "driver": `driver.run` again and again until `stop`.

    `ended` (no argument) is called when the thread leaves. `device` is `starting`, `ok` or the
    text of the last failure.
    """

    def __init__(
        self,
        name: str,
        driver: Driver[Any],
        ctx: HostContext,
        stop: threading.Event,
        ended: Callable[[], None],
        *,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures = 0
        self.unavailable = 0
        self._name = name
        self._driver = driver
        self._ctx = ctx
        self._stop = stop
        self._ended = ended
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._swap = threading.Lock()  # a new driver and the end of the old one's attempt
        self._next: Driver[Any] | None = None
        self._failure = ""  # of the last attempt; empty before the first one ended
        self._logged = ""
        self._path: str | None = None  # of the device that was unavailable
        # A daemon: one that hangs in C must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="driver", daemon=True)

    @property
    def device(self) -> str:
        """How the device is, for the report."""
        return "ok" if self._ctx.settled() else self._failure or "starting"

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread is still in there."""
        return self._thread.is_alive()

    def replace(self, driver: Driver[Any]) -> None:
        """Go on with another one, as soon as the present one leaves `run`. From any thread."""
        with self._swap:
            self._next = driver
            self._ctx.leave()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                with self._swap:
                    if self._next is not None:
                        self._driver, self._next = self._next, None
                        self._backoff.reset()
                        self._failure = self._logged = ""
                    self._ctx.attempt()
                began = self._clock()
                level, failure = self._attempt()
                opened = self._ctx.settled()
                if self._stop.is_set():
                    break  # however it ended: it was asked to
                if self._next is not None:
                    continue
                if level == logging.ERROR:
                    self.failures += 1
                else:
                    self.unavailable += 1
                healthy = self._clock() - began >= HEALTHY_S
                if healthy:
                    self._backoff.reset()
                if healthy or self._ctx.emitted_in_attempt:
                    self._logged = ""
                self._tell(level, failure)
                self._ctx.rest()
                self._failure = failure[:MAX_DEVICE_TEXT]
                pause_s = self._backoff.next_s()
                if self._path is not None and not opened:
                    pause_s = min(pause_s, LONGEST_OPENING_PAUSE_S)
                self._back_off(pause_s)
        finally:
            self._ctx.rest()
            self._ended()

    def _back_off(self, pause_s: float) -> None:
        """Wait, but no longer than until the device that was not there is, or a reload came."""
        path = self._path
        missing = path is not None and not os.path.exists(path)
        while self._next is None and pause_s > 0:
            if self._stop.wait(min(LOOK_S, pause_s)):
                return
            pause_s -= LOOK_S
            there = path is not None and os.path.exists(path)
            if missing and there:
                # udev may still be about to grant the permission: short pauses again.
                self._backoff.reset()
                return
            missing = not there

    def _attempt(self) -> tuple[int, str]:
        """Run the driver once; say how bad the end was and why it came."""
        self._path = None
        try:
            self._driver.run(self._ctx)
        except DeviceUnavailable as error:
            self._path = error.path
            return logging.WARNING, _text(error)
        # The supervisor: SystemExit of a driver is its failure, not ours.
        except BaseException as error:
            log.debug("%s: the driver failed", self._name, exc_info=True)
            return logging.ERROR, f"{_where(error)}: {type(error).__name__}: {_text(error)}"
        return logging.ERROR, f"{type(self._driver).__name__}.run returned while it should run"

    def _tell(self, level: int, failure: str) -> None:
        """Log a change of state, not its repetition."""
        if failure == self._logged:
            return
        self._logged = failure
        alarm = Alarm.DRIVER_FAILED if level == logging.ERROR else Alarm.DRIVER_DEVICE
        text = "%s: %s; trying again for as long as it takes"
        log.log(level, text, self._name, failure, extra=of(alarm, self._name))


def _where(error: BaseException) -> str:
    """`file.py:line` of the innermost frame."""
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    return f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "?"


def _text(error: BaseException) -> str:
    """The exception's text on one line, even where its `__str__` raises."""
    try:
        return " ".join(str(error).split())[:MAX_DEVICE_TEXT] or "no text"
    except Exception:
        return "no text"
