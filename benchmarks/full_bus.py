"""A full 250 kbit/s bus, 1,850 frames/s, through wire, driver, ingest, outbox, uplink and cloud.

Prints CPU shares, memory, frames written against frames read, and latencies from wire to ledger.
One run of `brain simulate`; `--seconds 600` for memory after ten minutes. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
READ = "Vehicle.Bus.Can.FramesRead"


@dataclass
class Usage:
    """CPU seconds, resident and peak memory in MB of one process."""

    cpu_s: float
    rss_mb: float
    peak_mb: float


def usage(pid: int) -> Usage | None:
    """Usage of a process so far; None where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    sizes = {
        line.split(":")[0]: int(line.split()[1]) / 1024
        for line in status.splitlines()
        if line.startswith(("VmRSS", "VmHWM"))
    }
    cpu_s = (int(fields[11]) + int(fields[12])) / TICKS
    return Usage(cpu_s, sizes.get("VmRSS", 0.0), sizes.get("VmHWM", 0.0))


def children(run_dir: Path) -> dict[str, int]:
    """Pids of the coordinator and its drivers, from up.json."""
    try:
        state = json.loads((run_dir / "up.json").read_text())
    except (OSError, ValueError):
        return {}
    found = {"coordinator": state["run"]["pid"]}
    found |= {f"driver {name}": view["pid"] for name, view in state["drivers"].items()}
    return {name: pid for name, pid in found.items() if pid}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    args = parser.parse_args()
    pause = threading.Event()
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        run_dir = Path(name)
        report_file = run_dir / "report.json"
        command = [sys.executable, "-m", "agent.cli.main", "simulate", "--headless"]
        command += ["--run-dir", name, "--report", str(report_file), "--seed", "7"]
        command += ["--duration", str(args.seconds + 12), "--fault", f"can_flood@1+{args.seconds}"]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        first: dict[str, tuple[float, Usage]] = {}
        last: dict[str, tuple[float, Usage]] = {}
        began = time.monotonic()
        while run.poll() is None:
            for who, pid in children(run_dir).items():
                seen = usage(pid)
                if seen is not None and time.monotonic() - began < args.seconds:
                    first.setdefault(who, (time.monotonic(), seen))
                    last[who] = (time.monotonic(), seen)
            pause.wait(0.5)
        report = json.loads(report_file.read_text())
    print(f"{'process':16} {'% of a core':>12} {'RSS MB':>8} {'peak MB':>8}")
    for who, (at, before) in first.items():
        ended, after = last[who]
        share = 100 * (after.cpu_s - before.cpu_s) / max(ended - at, 1)
        print(f"{who:16} {share:12.1f} {after.rss_mb:8.1f} {after.peak_mb:8.1f}")
    written, emitted = report["written"]["fms"], report["emissions"]["fms"]
    read = report["signals"][READ]["last"]
    print(f"frames of the bus {emitted}, written to the wire {written}")
    print(f"frames read by the driver (its last report) {read}, dropped {written - read}")
    latency = report["latency_ms"]
    print(f"wire to ledger p50 {latency['p50']} ms, p99 {latency['p99']} ms")
    print(f"missing {report['missing']}, invented {report['invented']}, exit code {run.returncode}")


if __name__ == "__main__":
    main()
