"""A driver process that emits the numbers 1 to N, some as events; started by test_ingest.py.

Writes `emitted` when all were emitted, then runs on until it is stopped. `--bug` builds in
what the contract must find.
"""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Callable
from pathlib import Path

from agent.host import Host
from agent.protocol import Notifier
from agent.ring import Ring
from agent.sdk import Context, Datatype, Driver, DriverConfig, Group, Kind, Signal

COUNT = Group("count", (Signal("Vehicle.Test.Count", Datatype.INT64, "", "Counts up."),))


class Counting(Driver[DriverConfig]):
    config_model = DriverConfig
    groups = (COUNT,)

    def __init__(self, config: DriverConfig, last: int, pace_s: float) -> None:
        super().__init__(config)
        self._last = last
        self._pace_s = pace_s
        self._next = 1

    def run(self, ctx: Context) -> None:
        never = threading.Event()
        while ctx.running():
            if self._next > self._last:
                os.write(1, b"emitted\n")
                self._last = 1 << 62
            if self._last < 1 << 62:
                for _ in range(20):
                    kind = Kind.EVENT if self._next % 97 == 0 else Kind.SAMPLE
                    ctx.emit(COUNT, {"Vehicle.Test.Count": self._next}, kind=kind)
                    self._next += 1
            never.wait(self._pace_s)


class TrimsOnSend(Ring):
    """The bug: a successful send counts as arrived."""

    def transmit(
        self,
        send: Callable[[bytes], object],
        attach: Callable[[bytes, str], object] | None = None,
    ) -> bool:
        before = self._cursor
        more = super().transmit(send, attach)
        if self._cursor != before:
            self.trim(self._cursor - 1)
        return more


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("socket", type=Path)
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--name", default="count")
    parser.add_argument("--last", type=int, default=4_000)
    parser.add_argument("--pace", type=float, default=0.01)
    parser.add_argument("--bug", choices=["trims-on-send"])
    args = parser.parse_args()
    if args.bug:
        import agent.host

        agent.host.Ring = TrimsOnSend
    driver = Counting(DriverConfig(), args.last, args.pace)
    host = Host(
        args.name, "counting", "1", driver, args.socket, args.workdir, notifier=Notifier("")
    )
    raise SystemExit(host.run())


if __name__ == "__main__":
    main()
