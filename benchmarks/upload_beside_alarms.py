"""A file of 20 MB over 384 kbit/s and 300 ms: what alarms and live samples wait meanwhile.

A driver states one event and one sample a second, and the file once; latencies are capture to
receipt by the cloud end, first alone, then beside the upload. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import hashlib
import random
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
from agent.sdk import (
    EVERY,
    Blob,
    Context,
    Datatype,
    Driver,
    DriverConfig,
    Group,
    Kind,
    Signal,
    sampled,
)
from benchmarks.measured import BESIDE, wait
from benchmarks.slow_vehicle import slow_vehicle

DOOR, SPEED, NAME = (f"Vehicle.Bus.Bench.{name}" for name in ("Door", "Speed", "Name"))
EVENT = Group("event", (Signal(DOOR, Datatype.INT64, "", "Counts up.", EVERY),))
SAMPLE = Group("sample", (Signal(SPEED, Datatype.INT64, "", "Counts up.", sampled(0.1)),))
FILE = Group("file", (Signal(NAME, Datatype.STRING, "", "A file.", EVERY),))


class Bus(Driver[DriverConfig]):
    """One event and one sample a second; the file `clip` once it lies in its folder."""

    config_model = DriverConfig
    groups = (EVENT, SAMPLE, FILE)

    def run(self, ctx: Context) -> None:
        """Until stopped."""
        pause, number, clip = threading.Event(), 0, ctx.workdir / "clip"
        while ctx.running():
            number += 1
            ctx.emit(EVENT, {DOOR: number}, kind=Kind.EVENT)
            ctx.emit(SAMPLE, {SPEED: number})
            if clip.exists():
                content = clip.read_bytes()
                blob = Blob("clip", "video/mp4", len(content), hashlib.sha256(content).hexdigest())
                ctx.emit(FILE, {NAME: "clip"}, kind=Kind.FILE, blob=blob, durable=True)
                clip.unlink()
            pause.wait(1.0)


def rows(ledger: Path, sql: str) -> list[int]:
    """The numbers that a query gives; none while there is no ledger yet."""
    try:
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=5)) as db:
            return [int(row[0]) for row in db.execute(sql)]
    except sqlite3.Error:
        return []


def say(ledger: Path, when: str, since: int) -> int:
    """Print what records waited that came after a row of the ledger; its last row."""
    last = 0
    for kind in ("event", "sample"):
        of = f"FROM record WHERE source = 'bus' AND kind = '{kind}' AND seq > {since}"
        latencies = sorted(rows(ledger, f"SELECT received_boottime_ms - boottime_ms {of}"))
        last = max([last, *rows(ledger, f"SELECT max(seq) {of}")])
        p99 = statistics.quantiles(latencies, n=100, method="inclusive")[98]
        print(
            f"{when}: {len(latencies)} {kind}s: p50 {statistics.median(latencies):.0f} ms, "
            f"p99 {p99:.0f} ms, worst {latencies[-1]} ms"
        )
    return last


def measure(directory: Path, args: argparse.Namespace) -> None:
    """One file."""
    with slow_vehicle(directory, args.kbit, args.rtt_ms / 1000) as vehicle:
        link, ledger, run = vehicle.link, vehicle.ledger, vehicle.run
        vehicle.driver("benchmarks.upload_beside_alarms")
        alone = "SELECT count(*) FROM record WHERE kind = 'event'"
        wait(lambda: sum(rows(ledger, alone)) > args.alone_s, "events alone", 300)
        last = say(ledger, "alone", 0)
        content = random.Random(1).randbytes(round(args.mb * 1_000_000))
        fresh = directory / "work" / "clip.new"
        fresh.write_bytes(content)
        began, up = time.monotonic(), link.up
        fresh.rename(fresh.with_name("clip"))
        whole = "SELECT count(*) FROM file WHERE whole"
        wait(lambda: sum(rows(ledger, whole)) > 0, "the file is whole", 7_200)
        took_s = time.monotonic() - began
        say(ledger, "beside the upload", last)
        rate, passed = (link.up - up) / took_s * 8 / 1000, (link.up - up) / len(content)
        print(
            f"{len(content) / 1e6:.1f} MB in {took_s:.0f} s: {rate:.0f} of {args.kbit:g} kbit/s, "
            f"{passed:.3f} B upwards a byte of the file, {run.peak_mb():.0f} MB resident at most"
        )


def main() -> None:
    if sys.argv[1:2] == ["--driver"]:
        directory = Path(sys.argv[2])
        socket, work = directory / "run" / "ingest.sock", directory / "work"
        host = Host("bus", "bench", "1", Bus(DriverConfig()), socket, work, notifier=Notifier(""))
        sys.exit(host.run())
    parser = argparse.ArgumentParser()
    parser.add_argument("--mb", type=float, default=20)
    parser.add_argument("--kbit", type=float, default=384)
    parser.add_argument("--rtt-ms", type=float, default=300)
    parser.add_argument("--alone-s", type=int, default=30)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=".upload-", dir=BESIDE) as name:
        measure(Path(name), args)


if __name__ == "__main__":
    main()
