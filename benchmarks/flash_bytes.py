"""Bytes that the outbox writes to flash in an hour of driving, by commit interval.

A thinned stream of records with two values each goes through the outbox as fast as possible;
`write_bytes` of /proc/self/io counts what the kernel sends to the disk, on a real file system (a
directory beside this one: a tmpfs has no flash). Acks ride along: each commit acknowledges what was
stored ten commits before. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import deque
from pathlib import Path

from agent.record import Record, StorageClass
from agent.store.outbox import Outbox
from agent.store.rows import Change, Mark, Range

MAX_COMMITS = 600
ACKED_AFTER_COMMITS = 10
BOOT = "b" * 32
PATHS = (
    ("Vehicle.CurrentLocation.Latitude", "Vehicle.CurrentLocation.Longitude", "gnss"),
    ("Vehicle.Speed", "Vehicle.Tachograph.Speed", "fms"),
    ("Vehicle.Powertrain.CombustionEngine.Speed", "Vehicle.Bus.Engine.TorquePercent", "fms"),
    ("Vehicle.Chassis.Accelerator.PedalPosition", "Vehicle.Bus.Engine.LoadPercent", "fms"),
)


def written_bytes() -> int:
    """What this process had written to disks so far."""
    for line in Path("/proc/self/io").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "write_bytes":
            return int(value)
    raise SystemExit("this kernel does not count write_bytes")


def records(rng: random.Random, begin_ms: int, interval_s: float, rate: float) -> list[Record]:
    """What arrives between two commits."""
    found = []
    for i in range(max(1, round(interval_s * rate))):
        first, second, source = PATHS[i % len(PATHS)]
        values = {first: round(rng.uniform(0, 2500) * 8) / 8, second: round(rng.uniform(0, 100), 7)}
        found.append(Record(source, begin_ms + round(i * 1000 / rate), values))
    return found


def measure(
    directory: Path, interval_s: float, rate: float, commits: int
) -> tuple[int, int, float]:
    """Drive one outbox: records, bytes written, seconds that it took."""
    rng = random.Random(1)
    batches = [records(rng, round(i * interval_s * 1000), interval_s, rate) for i in range(commits)]
    outbox = Outbox.open(directory, quota_bytes=dict.fromkeys(StorageClass, 256 << 20))
    waiting: deque[Range] = deque()
    total = 0
    before, began = written_bytes(), time.monotonic()
    for batch in batches:
        acked = [waiting.popleft()] if len(waiting) == ACKED_AFTER_COMMITS else []
        total += len(batch)
        done = outbox.commit(
            Change(batch, BOOT, {"fms": Mark("stream", total)}, [(outbox.epoch, acked)])
        )
        waiting.append(Range(done.first, done.last))
    outbox.close()
    return total, written_bytes() - before, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=8.0, help="records a second after thinning")
    parser.add_argument("--commits", type=int, default=MAX_COMMITS)
    args = parser.parse_args()
    commits = min(args.commits, MAX_COMMITS)
    print(f"{args.rate:g} records/s of 2 values, {commits} commits each")
    print(f"{'interval s':>10} {'bytes/record':>13} {'MB/hour':>9} {'ms/commit':>10}")
    beside = Path(__file__).resolve().parent.parent
    for interval_s in (1.0, 2.0, 5.0, 10.0):
        with tempfile.TemporaryDirectory(prefix=".flash-", dir=beside) as name:
            total, nbytes, took_s = measure(Path(name), interval_s, args.rate, commits)
        hours = commits * interval_s / 3600
        print(
            f"{interval_s:10g} {nbytes / total:13.0f} {nbytes / hours / 1e6:9.1f}"
            f" {took_s / commits * 1000:10.1f}"
        )


if __name__ == "__main__":
    main()
