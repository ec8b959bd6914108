"""A day offline, 86,400 records of 17 fields, over 384 kbit/s and 300 ms; alarms meanwhile.

The outbox is filled as a day would fill it, then `brain run` meets broker and cloud end over a
link in user space. A driver states one event a second; their latency is capture to receipt by the
cloud end. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from agent.host import Host
from agent.protocol import Notifier
from agent.sdk import Context, Datatype, Driver, DriverConfig, Group, Kind, Signal
from benchmarks.brain_side import fill
from benchmarks.measured import BESIDE, wait
from benchmarks.slow_vehicle import slow_vehicle

DOOR = "Vehicle.Bus.Event.Bench"
GROUP = Group("event", (Signal(DOOR, Datatype.INT64, "", "Counts up."),))


class Alarms(Driver[DriverConfig]):
    """One event a second."""

    config_model = DriverConfig
    groups = (GROUP,)

    def run(self, ctx: Context) -> None:
        """Until stopped."""
        pause, number = threading.Event(), 0
        while ctx.running():
            number += 1
            ctx.emit(GROUP, {DOOR: number}, kind=Kind.EVENT)
            pause.wait(1.0)


def booked(ledger: Path, sql: str) -> list[int]:
    """The numbers that a query gives; none while there is no ledger yet."""
    if not ledger.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=5)) as db:
            return [int(row[0]) for row in db.execute(sql)]
    except sqlite3.Error:
        return []


def measure(directory: Path, args: argparse.Namespace) -> None:
    """One day."""
    began = time.monotonic()
    fill(directory, args.records, a_commit=args.a_commit).close()
    size = (directory / "state" / "outbox.db").stat().st_size
    print(
        f"filled in {time.monotonic() - began:.0f} s, {size / args.records:.0f} B a record on flash"
    )
    with slow_vehicle(directory, args.kbit, args.rtt_ms / 1000) as vehicle:
        link, ledger, run = vehicle.link, vehicle.ledger, vehicle.run
        print(f"open after {vehicle.opened_s:.2f} s")
        vehicle.driver("benchmarks.day_offline")
        count = "SELECT count(*) FROM record WHERE source = 'bus'"
        wait(lambda: sum(booked(ledger, count)) > 0, "the first record", 60)
        first, up = time.monotonic(), link.up
        cpu_s = run.cpu_s()
        wait(lambda: sum(booked(ledger, count)) >= args.records, "all records", 3_600)
        took_s = time.monotonic() - first
        latencies = sorted(
            booked(
                ledger,
                "SELECT received_boottime_ms - boottime_ms FROM record WHERE kind = 'event'",
            )
        )
        print(
            f"{args.records:,} records in {took_s:.0f} s: {args.records / took_s:,.0f} a second, "
            f"{(link.up - up) / args.records:.1f} B a record upwards, "
            f"{link.down / args.records:.1f} B downwards"
        )
        rate = (link.up - up) / took_s * 8 / 1000
        cpu_us = 1e6 * (run.cpu_s() - cpu_s) / args.records
        print(
            f"{rate:.0f} of {args.kbit:g} kbit/s used, {cpu_us:.0f} us CPU a record, "
            f"{run.peak_mb():.0f} MB resident at most"
        )
        if len(latencies) > 1:
            p99 = statistics.quantiles(latencies, n=100, method="inclusive")[98]
            print(
                f"{len(latencies)} alarms meanwhile: p50 {statistics.median(latencies):.0f} ms, "
                f"p99 {p99:.0f} ms, worst {latencies[-1]} ms"
            )


def main() -> None:
    if sys.argv[1:2] == ["--driver"]:
        directory = Path(sys.argv[2])
        socket, work = directory / "run" / "ingest.sock", directory / "work"
        driver = Alarms(DriverConfig())
        sys.exit(Host("alarms", "bench", "1", driver, socket, work, notifier=Notifier("")).run())
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=86_400)
    parser.add_argument("--kbit", type=float, default=384)
    parser.add_argument("--rtt-ms", type=float, default=300)
    parser.add_argument("--a-commit", type=int, default=5, help="records of a commit while offline")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=".day-", dir=BESIDE) as name:
        measure(Path(name), args)


if __name__ == "__main__":
    main()
