"""Opening an outbox with 30 days of backlog: 2.6 million records, cleanly closed and after a kill.

Prints the seconds until the first commit after opening, the size of the file and the memory.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agent.record import Record, StorageClass
from agent.store.outbox import Outbox
from agent.store.rows import Change

RECORDS = 30 * 86_400
A_ROW = 60
QUOTA = dict.fromkeys(StorageClass, 1 << 34)
OPEN = """
import resource, sys, time
from pathlib import Path
from agent.record import Record, StorageClass
from agent.store.outbox import Outbox
from agent.store.rows import Change
began = time.perf_counter()
outbox = Outbox.open(Path(sys.argv[1]), quota_bytes=dict.fromkeys(StorageClass, 1 << 34))
outbox.commit(Change([Record("fms", 1, {"Vehicle.Speed": 1.0})], "b" * 32))
took_s = time.perf_counter() - began
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(outbox.opened, took_s, peak_mb, sum(c.queued for c in outbox.counters().values()))
"""


def fill(directory: Path) -> None:
    """A record a second with what changes in it; a row a minute, so that it is made in minutes."""
    outbox = Outbox.open(directory, quota_bytes=QUOTA)
    draw = random.Random(1)
    for begin in range(0, RECORDS, A_ROW):
        records = [
            Record(
                "fms",
                1_000 * second,
                {
                    "Vehicle.Speed": draw.randrange(2_500) / 25,
                    "Vehicle.Powertrain.CombustionEngine.Speed": draw.randrange(16_000) / 8,
                },
            )
            for second in range(begin, begin + A_ROW)
        ]
        outbox.commit(Change(records, "b" * 32))
    outbox.close()


def opened(directory: Path) -> str:
    """A line about opening it in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(directory)], capture_output=True, text=True, check=True
    )
    how, took_s, peak_mb, queued = done.stdout.split()
    return (
        f"{how:<8} {float(took_s) * 1000:7.0f} ms to the first commit, {int(queued):,} records, "
        f"{float(peak_mb):.0f} MB resident at most"
    )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="brain-open-", dir=os.environ.get("TMPDIR")) as name:
        directory = Path(name) / "outbox"
        began = time.perf_counter()
        fill(directory)
        size = (directory / "outbox.db").stat().st_size
        print(f"made in {time.perf_counter() - began:.0f} s: {size / 1e6:.0f} MB")
        empty = Path(name) / "empty"
        Outbox.open(empty, quota_bytes=QUOTA).close()
        print(f"empty:   {opened(empty)}")
        print(f"backlog: {opened(directory)}")
        # The process above ended without closing: what it leaves is what a kill leaves.
        print(f"again:   {opened(directory)}")


if __name__ == "__main__":
    main()
