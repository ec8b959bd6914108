"""A driver process that emits the numbers 1, 2, 3 ... and writes each down before it does.

Started by tests/faults/world.py. Lines on standard input steer it: `rate N` (numbers a second, 0:
silence), `pad N` (bytes of random text beside each number), `pad_each N` (only beside those that
leave 3 when divided by N), `events N` (each Nth is an EVENT, 10 at first, 0: none; the others are
samples). It ends when standard input closes. The ledger file holds
the last number begun.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
import time
from pathlib import Path

from agent.host import Host
from agent.protocol import Notifier
from agent.sdk import Context, Datatype, Driver, DriverConfig, Group, Kind, Signal

COUNT = "Vehicle.Test.Count"
PAD = "Vehicle.Test.Pad"
GROUP = Group(
    "count",
    (
        Signal(COUNT, Datatype.INT64, "", "Counts up."),
        Signal(PAD, Datatype.STRING, "", "Fills the disk."),
    ),
)
TICK_S = 0.02


class Counting(Driver[DriverConfig]):
    config_model = DriverConfig
    groups = (GROUP,)

    def __init__(self, config: DriverConfig, ledger: Path, rate: float, after: int) -> None:
        super().__init__(config)
        self.rate, self.pad, self.pad_each, self.events = rate, 0, 0, 10
        self._ledger = os.open(ledger, os.O_RDWR | os.O_CREAT, 0o644)
        self._last = after
        self._random = random.Random(1)

    def run(self, ctx: Context) -> None:
        pause, owed, before = threading.Event(), 0.0, time.monotonic()
        while ctx.running():
            pause.wait(TICK_S)
            now = time.monotonic()
            owed, before = owed + self.rate * (now - before), now
            for _ in range(int(owed)):
                self._emit(ctx)
            owed -= int(owed)

    def _emit(self, ctx: Context) -> None:
        self._last += 1
        os.pwrite(self._ledger, b"%020d\n" % self._last, 0)
        values: dict[str, float | int | str | bool] = {COUNT: self._last}
        if self.pad and (not self.pad_each or self._last % self.pad_each == 3):
            values[PAD] = self._random.randbytes(self.pad // 2).hex()
        event = self.events > 0 and self._last % self.events == 0
        ctx.emit(GROUP, values, kind=Kind.EVENT if event else Kind.SAMPLE)


def obey(driver: Counting, host: Host) -> None:
    for line in sys.stdin:
        word, value = line.split()
        setattr(driver, word, float(value) if word == "rate" else int(value))
    host.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("socket", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--name", default="count")
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--after", type=int, default=0, help="the last number of an earlier life")
    args = parser.parse_args()
    driver = Counting(DriverConfig(), args.directory / f"{args.name}.ledger", args.rate, args.after)
    host = Host(
        *(args.name, "counting", "1", driver, args.socket, args.directory / args.name),
        notifier=Notifier(""),
    )
    threading.Thread(target=obey, args=(driver, host), name="stdin", daemon=True).start()
    raise SystemExit(host.run())


if __name__ == "__main__":
    main()
