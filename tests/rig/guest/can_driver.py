"""Run the FMS driver alone on a CAN interface and print what it emits: a JSON line each.

    can_driver.py [KEY=JSON ...] CHANNEL

{"group", "values", "states", "at_ms", "now_ms"}, {"device": text} where that changed, and at the
end {"ended": text of the exception}. Times are boot time of this machine.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from agent.sdk import Blob, DeviceUnavailable, Group, Kind, Scalar, State, boottime_ms
from drivers.fms_j1939 import status
from drivers.fms_j1939.driver import FmsConfig, FmsJ1939


def say(**facts: object) -> None:
    """One line at once: the output is a file of the host."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Printer:
    """A Context that prints."""

    workdir = Path("/tmp")

    def __init__(self, driver: FmsJ1939) -> None:
        self._driver = driver
        self._device = ""
        self.stop = threading.Event()

    def running(self) -> bool:
        if self._driver.device != self._device:
            self._device = self._driver.device
            say(device=self._device, now_ms=boottime_ms())
        return not self.stop.is_set()

    def emit(
        self,
        group: Group,
        values: Mapping[str, Scalar],
        *,
        states: Mapping[str, State] | None = None,
        at_boottime_ms: int | None = None,
        kind: Kind = Kind.SAMPLE,
        blob: Blob | None = None,
        durable: bool = False,
    ) -> None:
        say(
            group=group.name,
            values=dict(values),
            states=dict(states or {}),
            at_ms=at_boottime_ms,
            now_ms=boottime_ms(),
        )


def main() -> None:
    status.STATUS_MS = 100  # nobody thins here
    section = {"channel": sys.argv[-1], "interface": "socketcan"}
    for word in sys.argv[1:-1]:
        key, _, value = word.partition("=")
        section[key] = json.loads(value)
    driver = FmsJ1939(msgspec.convert(section, FmsConfig))
    ctx = Printer(driver)
    signal.signal(signal.SIGTERM, lambda *_: ctx.stop.set())
    try:
        driver.run(ctx)
        say(ended="")
    except DeviceUnavailable as error:
        say(ended=str(error), now_ms=boottime_ms())


if __name__ == "__main__":
    main()
