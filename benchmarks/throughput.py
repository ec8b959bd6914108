"""Records/s, CPU and bytes through ingest, store and uplink, with the real processes.

A driver of this benchmark states records as fast as it is told (--rate, default 1,850/s, for
--seconds, default 20) to a real `brain run`, which commits them and sends them through the
embedded broker to the real cloud end. Prints per process CPU per record, bytes written to flash
and bytes on MQTT. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from agent.host import Host
from agent.protocol import Notifier
from agent.sdk import EVERY, Context, Datatype, Driver, DriverConfig, Group, Signal
from simulator.broker import write_config
from simulator.processes import free_port, listening

PATHS = [f"Vehicle.Bus.Bench.Value{i}" for i in range(3)]
GROUP = Group(
    "bench",
    tuple(Signal(path, Datatype.FLOAT, "", "A value.", EVERY, steps_per_unit=8) for path in PATHS),
)
TICKS = os.sysconf("SC_CLK_TCK")


class Config(DriverConfig):
    """How much."""

    rate: int
    seconds: int


class Source(Driver[Config]):
    """States `rate` records of three values a second, then nothing."""

    config_model = Config
    groups = (GROUP,)

    def run(self, ctx: Context) -> None:
        """Every 20 ms as many records as are due."""
        pause, draw = threading.Event(), random.Random(1)
        began = time.monotonic()
        sent, total = 0, self.config.rate * self.config.seconds
        while ctx.running():
            due = min(total, int((time.monotonic() - began) * self.config.rate))
            for _ in range(sent, due):
                ctx.emit(GROUP, {path: draw.getrandbits(8) / 8 for path in PATHS})
            sent = due
            pause.wait(0.02)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def written_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


def wait(fact: Any, within_s: float) -> bool:
    pause = threading.Event()
    deadline = time.monotonic() + within_s
    while not fact():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.05)
    return True


def in_ledger(ledger: Path) -> int:
    if not ledger.exists():
        return 0
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM record WHERE source='bench'").fetchone()[0])
        except sqlite3.Error:
            return 0


def measure(directory: Path, rate: int, seconds: int) -> None:
    port = free_port()
    write_config(directory / "broker.toml", port)
    config = directory / "brain.toml"
    config.write_text(f'schema = 1\n[vehicle]\nid = "bench"\n[uplink]\nport = {port}\n')
    ledger = directory / "ledger.db"
    python = [sys.executable, "-m"]
    where = ["--config", str(config), "--run-dir", str(directory)]
    where += ["--state-dir", str(directory / "state")]
    children: list[subprocess.Popen[bytes]] = []

    def start(*argv: str) -> int:
        quiet = subprocess.DEVNULL
        children.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet))
        return children[-1].pid

    try:
        broker = start(*python, "simulator.broker", str(directory / "broker.toml"))
        wait(lambda: listening(port), 10)
        cloud = start(
            *python, "cloud", "--broker", "127.0.0.1", "--port", str(port), "--ledger", str(ledger)
        )
        run = start(*python, "agent.cli.main", "run", *where)
        wait((directory / "ingest.sock").exists, 10)
        before = {pid: cpu_s(pid) for pid in (run, cloud, broker)}
        flash = written_bytes(run)
        began = time.monotonic()
        driver = start(
            sys.executable, __file__, "--driver", str(directory), str(rate), str(seconds)
        )
        total = rate * seconds
        done = wait(lambda: in_ledger(ledger) >= total, seconds + 60)
        took_s = time.monotonic() - began
        n = in_ledger(ledger)
        print(f"{n} of {total} records in the ledger after {took_s:.1f} s{'' if done else ' (!)'}")
        shares = {"driver": cpu_s(driver)}
        names = ((run, "coordinator"), (cloud, "cloud end"), (broker, "broker"))
        shares |= {name: cpu_s(pid) - before[pid] for pid, name in names}
        for name, used_s in shares.items():
            share = 100 * used_s / took_s
            print(f"{name:12} {1e6 * used_s / n:7.1f} us/record {share:6.1f} % of a core")
        print(f"flash        {(written_bytes(run) - flash) / n:7.1f} B/record written by brain run")
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
            counters = dict(db.execute("SELECT name, value FROM counter").fetchall())
        print(f"MQTT         {counters.get('bytes', 0) / n:7.1f} B/record of payload")
    finally:
        for child in reversed(children):
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def main() -> None:
    if sys.argv[1:2] == ["--driver"]:
        directory, rate, seconds = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
        source = Source(Config(rate=rate, seconds=seconds))
        socket, work = directory / "ingest.sock", directory / "work"
        sys.exit(Host("bench", "bench", "1", source, socket, work, notifier=Notifier()).run())
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=1_850)
    parser.add_argument("--seconds", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        print(json.dumps({"rate": args.rate, "seconds": args.seconds, "values": len(PATHS)}))
        measure(Path(name), args.rate, args.seconds)


if __name__ == "__main__":
    main()
