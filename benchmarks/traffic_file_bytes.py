"""What the counts of the budget cost on disk: bytes that a minute of driving writes to flash.

One message of 500 bytes a second, counted as the uplink does it, in a directory on a real disk
(--directory, default: here). `write_bytes` of /proc/self/io: pages that became dirty, whether they
were written already or not. Prints bytes a second and MB an hour. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
from pathlib import Path

from agent.uplink.accounting import Accounting
from agent.uplink.budget import BudgetConfig
from agent.uplink.plan import Priority
from agent.uplink.traffic_file import SYNC_BYTES


def written() -> int:
    """Bytes of dirty pages that this process caused so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def main() -> None:
    """One line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--directory", type=Path, default=Path())
    given = parser.parse_args()
    tick = threading.Event()
    with tempfile.TemporaryDirectory(dir=given.directory) as folder:
        counts = Accounting(BudgetConfig(), Path(folder), lambda: 1_800_000_000_000)
        counts.start()
        counts.wire.add(SYNC_BYTES, 0)
        counts.look(at_once=True)
        before, passed = written(), 0
        for _ in range(given.seconds):
            counts.handed(Priority.HISTORY, 500)
            counts.wire.add(620, 180)
            passed += 800
            tick.wait(1.0)
            counts.look(at_once=True)
        cost = written() - before
        counts.stop()
    per_s = cost / given.seconds
    print(
        f"{passed / 1000:.0f} kB counted in {given.seconds} s: {cost:,} bytes to disk, "
        f"{per_s:,.0f} a second, {per_s * 3_600 / 1e6:.2f} MB an hour; "
        f"a sync each {SYNC_BYTES // 1024} KiB on {os.uname().release}"
    )


if __name__ == "__main__":
    main()
