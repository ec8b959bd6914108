"""Faults on demand, from outside the product: a program does what a file says at SIGUSR1.

PYTHONPATH puts this before the program; BRAIN_RIG_FAULTS is the directory of the files, each named
for its target: `run` or a driver. What they may say is in `FAULTS`. BRAIN_RIG_WATCHDOG_S shortens
the watchdogs that `brain up` is, as a drop-in does it for a unit.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path


def wait_for_ever(*_: object) -> None:
    threading.Event().wait()


def hang() -> None:
    """One loop of many never comes back; all others go on."""
    if TARGET == "run":
        from agent.ingest import Ingest

        Ingest._turn = wait_for_ever  # type: ignore[method-assign]
    else:
        from agent.context import HostContext

        HostContext.running = wait_for_ever  # type: ignore[method-assign, assignment]


def feed_anyway() -> None:
    """The watchdog is fed whether or not anybody is late: a timer that proves nothing."""
    from agent.health import Supervision

    Supervision.late = lambda self: {}  # type: ignore[method-assign]


def leak() -> None:
    """Memory for ever, on a thread of its own, 4 MB at a time."""

    def hoard() -> None:
        kept = []
        while True:
            kept.append(bytearray(os.urandom(1 << 12) * (1 << 10)))

    threading.Thread(target=hoard, name="leak", daemon=True).start()


def fail() -> None:
    """The driver raises once."""
    from agent.context import HostContext

    kept = HostContext.running

    def running(self: HostContext) -> bool:
        HostContext.running = kept  # type: ignore[method-assign]
        raise RuntimeError("on demand")

    HostContext.running = running  # type: ignore[method-assign]


FAULTS = {
    "hang": hang,
    "feed_anyway": feed_anyway,
    "leak": leak,
    "raise": fail,
    "segfault": lambda: faulthandler._sigsegv(),  # type: ignore[attr-defined]
    "exit_1": lambda: os._exit(1),
}


def target() -> str:
    """`run`, `up` or the name of the driver; empty for any other program."""
    for at, word in enumerate(sys.orig_argv):
        if word in ("run", "up"):
            return word
        if word == "driver":
            return sys.orig_argv[at + 1]
    return ""


def do(*_: object) -> None:
    for fault in (Path(os.environ["BRAIN_RIG_FAULTS"]) / TARGET).read_text().split():
        FAULTS[fault]()


TARGET = target()
if TARGET == "up" and (seconds := os.environ.get("BRAIN_RIG_WATCHDOG_S")):
    import agent.up

    for name in ("COORDINATOR_LIMITS", "DRIVER_LIMITS"):
        setattr(agent.up, name, replace(getattr(agent.up, name), watchdog_s=float(seconds)))
elif TARGET:
    signal.signal(signal.SIGUSR1, do)
