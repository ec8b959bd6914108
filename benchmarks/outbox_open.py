"""Opening an outbox with 30 days of backlog: 2.6 million records, a row for each.

First the outbox alone in a process: seconds until the first commit, and its memory. Then the whole
agent, `brain run`, after a kill -9 of one that was committing 100 records a second: ms from its
start to the line that it records and to its first commit. Then, for a minute with that load and
for one with alarms alone, which leaves more time for looking the rows through: its memory, what it
read of the file, and the latency of alarms from capture to the cloud end, while it sends over
384 kbit/s. Nothing is asserted.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from agent.clock import boottime_ms
from agent.host import Host
from agent.protocol import Notifier
from agent.sdk import EVERY, Context, Datatype, Driver, DriverConfig, Group, Kind, Signal
from benchmarks.backlog import RECORDS, fill
from benchmarks.measured import BESIDE, Child, wait
from benchmarks.slow_vehicle import SlowVehicle, slow_vehicle

OPEN = """
import sys, time
from pathlib import Path
from agent.record import Record, StorageClass
from agent.store.outbox import Outbox
from agent.store.rows import Change
began = time.perf_counter()
outbox = Outbox.open(Path(sys.argv[1]), quota_bytes=dict.fromkeys(StorageClass, 1 << 34))
outbox.commit(Change([Record("fms", 1, {"Vehicle.Speed": 1.0})], "b" * 32))
took_s = time.perf_counter() - began
status = Path("/proc/self/status").read_text().split()
peak_mb = int(status[status.index("VmHWM:") + 1]) / 1024
print(outbox.opened, took_s, peak_mb, sum(c.queued for c in outbox.counters().values()))
"""
CONFIG = """
[agent]
log_level = "debug"
[store.quota_mb]
history = 4096
"""
LOAD = Group(
    "load",
    (
        Signal("Vehicle.Bus.Bench.Count", Datatype.INT64, "", "Counts up.", EVERY),
        Signal("Vehicle.Bus.Event.Bench", Datatype.INT64, "", "Counts up.", EVERY),
    ),
)
COUNT, DOOR = (signal.path for signal in LOAD.signals)
WATCHED_S = 60.0
KILLS = 3


class Config(DriverConfig):
    """`calm`: while this file exists there are no samples."""

    calm: str


class Load(Driver[Config]):
    """100 samples and 2 events a second."""

    config_model = Config
    groups = (LOAD,)

    def run(self, ctx: Context) -> None:
        """Until stopped."""
        pause, number, calm = threading.Event(), 0, Path(self.config.calm)
        while ctx.running():
            number += 1
            if not calm.exists():
                ctx.emit(LOAD, {COUNT: number})
            if number % 50 == 0:
                ctx.emit(LOAD, {DOOR: number}, kind=Kind.EVENT)
            pause.wait(0.01)


def cold(directory: Path) -> None:
    """Have the kernel forget what it keeps of the files: after a boot it has none of them."""
    for file in directory.glob("outbox.db*"):
        fd = os.open(file, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def opened(directory: Path) -> str:
    """A line about opening it in a process of its own."""
    cold(directory)
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(directory)], capture_output=True, text=True, check=True
    )
    how, took_s, peak_mb, queued = done.stdout.split()
    return (
        f"{how:<8} {float(took_s) * 1000:7.0f} ms to the first commit, {int(queued):,} records, "
        f"{float(peak_mb):.0f} MB resident at most"
    )


def started(vehicle: SlowVehicle, number: int) -> tuple[Child, str]:
    """A coordinator, and a line about its start."""
    cold(vehicle.directory / "state")
    log = vehicle.directory / f"run-{number}.log"
    began = time.monotonic()
    run = vehicle.again(log)
    took_s = []
    for text in ("recording for", "on flash"):
        wait(lambda text=text: text in log.read_text(), text, 60)
        took_s.append(time.monotonic() - began)
    how = log.read_text().partition("recording for")[2].partition("(")[2].partition(")")[0]
    return run, (
        f"{how:<8} {took_s[0] * 1000:7.0f} ms to recording, {took_s[1] * 1000:.0f} ms to the first "
        f"commit, {run.rss_mb():.0f} MB resident"
    )


def latencies(ledger: Path, since_ms: int) -> list[int]:
    """Of events that were captured since then: ms until the cloud end had them."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=5)) as db:
        rows = db.execute(
            "SELECT received_boottime_ms - boottime_ms FROM record"
            " WHERE kind = 'event' AND source = 'load' AND boottime_ms > ?",
            (since_ms,),
        )
        return [int(row[0]) for row in rows]


def watched(vehicle: SlowVehicle, run: Child) -> str:
    """A line about a minute of it."""
    since_ms, cpu_s, read = boottime_ms(), run.cpu_s(), run.read()
    threading.Event().wait(WATCHED_S)
    found = latencies(vehicle.ledger, since_ms)
    return (
        f"{run.rss_mb():.0f} MB resident, {run.peak_mb():.0f} MB at most; "
        f"{100 * (run.cpu_s() - cpu_s) / WATCHED_S:.0f} % of a core, "
        f"{(run.read() - read) / 1e6:.0f} MB read; {len(found)} alarms at the cloud end after "
        f"{statistics.median(found):.0f} ms (p50), {max(found)} ms (worst)"
    )


def agent(directory: Path) -> None:
    """The real one: killed under load, again and again, then watched."""
    with slow_vehicle(directory, 384, 0.3, CONFIG) as vehicle:
        vehicle.driver("benchmarks.outbox_open")
        log, run = directory / "log", vehicle.run
        for number in range(KILLS):
            # Somewhere among commits of the driver's records, never after an orderly end.
            wait(lambda log=log: log.read_text().count("on flash") > 20, "it commits", 60)
            run.kill()
            log = directory / f"run-{number}.log"
            run, line = started(vehicle, number)
            print(f"agent:   {line}")
        print(f"load:    {watched(vehicle, run)}")
        (directory / "calm").touch()
        print(f"alarms:  {watched(vehicle, run)}")


def main() -> None:
    if sys.argv[1:2] == ["--driver"]:
        directory = Path(sys.argv[2])
        socket, work = directory / "run" / "ingest.sock", directory / "work"
        driver = Load(Config(calm=str(directory / "calm")))
        sys.exit(Host("load", "bench", "1", driver, socket, work, notifier=Notifier("")).run())
    with tempfile.TemporaryDirectory(prefix=".open-", dir=BESIDE) as name:
        directory = Path(name)
        began = time.monotonic()
        fill(directory / "state")
        size = (directory / "state" / "outbox.db").stat().st_size
        print(f"{RECORDS:,} rows in {time.monotonic() - began:.0f} s: {size / 1e6:.0f} MB")
        fill(directory / "empty", 1)
        print(f"empty:   {opened(directory / 'empty')}")
        print(f"backlog: {opened(directory / 'state')}")
        # The process above ended without closing: what it leaves is what a kill leaves.
        print(f"again:   {opened(directory / 'state')}")
        agent(directory)


if __name__ == "__main__":
    main()
