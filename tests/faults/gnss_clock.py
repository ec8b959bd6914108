"""A driver process that states UTC once a second, as a GNSS receiver does: now and some seconds.

Started by test_trust.py; a line on standard input makes it quiet, its end ends it.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from agent.host import Host
from agent.protocol import Notifier
from agent.sdk import Context, Datatype, Driver, DriverConfig, Group, Signal

UTC = "Vehicle.Bus.Utc"
GROUP = Group("time", (Signal(UTC, Datatype.INT64, "ms", "UTC of the fix."),))


class Clock(Driver[DriverConfig]):
    config_model = DriverConfig
    groups = (GROUP,)

    def __init__(self, config: DriverConfig, ahead_s: float) -> None:
        super().__init__(config)
        self._ahead_ms = round(ahead_s * 1000)
        self.quiet = False

    def run(self, ctx: Context) -> None:
        pause = threading.Event()
        while ctx.running():
            if not self.quiet:
                ctx.emit(GROUP, {UTC: time.time_ns() // 1_000_000 + self._ahead_ms})
            pause.wait(1.0)


def main() -> None:
    socket, directory, ahead_s = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    name = (sys.argv[4:] or ["gnss"])[0]
    driver = Clock(DriverConfig(), ahead_s)
    host = Host(name, "clock", "1", driver, socket, directory / name, notifier=Notifier(""))

    def end_with_input() -> None:
        for _ in sys.stdin:
            driver.quiet = True
        host.stop()

    threading.Thread(target=end_with_input, name="stdin", daemon=True).start()
    raise SystemExit(host.run())


if __name__ == "__main__":
    main()
