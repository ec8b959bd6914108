"""Import time, time to READY and memory of the coordinator and of a driver process.

Medians of 7 starts, warm cache. READY is what the process says to its supervisor, counted from
before its start. Nothing is asserted.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 7


def ready_after(argv: list[str], directory: Path) -> tuple[float, float]:
    """Seconds to READY=1 and resident MB then."""
    address = directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(address))
        notify.settimeout(30)
        began = time.monotonic()
        child = subprocess.Popen(
            argv, env={**os.environ, "NOTIFY_SOCKET": str(address)}, stderr=subprocess.DEVNULL
        )
        try:
            while "READY=1" not in notify.recv(4096).decode():
                pass
            took_s = time.monotonic() - began
            status = Path(f"/proc/{child.pid}/status").read_text()
            rss = next(line for line in status.splitlines() if line.startswith("VmRSS"))
            return took_s, int(rss.split()[1]) / 1024
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(10)
            address.unlink()


def imports(module: str) -> float:
    """Seconds that a fresh interpreter needs to import `module`, less a bare start."""
    times = []
    for code in ("pass", f"import {module}"):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.monotonic() - began)
    return times[1] - times[0]


def main() -> None:
    print(f"{'what':34} {'median':>9}")
    for module in ("agent.app", "agent.host", "drivers.gnss_nmea0183.driver", "agent.cli.main"):
        median = statistics.median(imports(module) for _ in range(RUNS))
        print(f"import {module:27} {median * 1000:6.0f} ms")
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        directory = Path(name)
        config = directory / "brain.toml"
        config.write_text(
            'schema = 1\n[vehicle]\nid = "bus-1"\n[uplink]\nport = 9\n'
            '[drivers.gnss]\ntype = "gnss_nmea0183"\nport = "/dev/absent"\n'
        )
        keys = directory / "keys.toml"
        line = ["-m", "cloud.command_line", "keys", str(directory / "ops")]
        key = subprocess.run([sys.executable, *line], capture_output=True, text=True, check=True)
        operator = '[commands.roles]\noperator = ["status"]\n'
        keys.write_text(config.read_text() + operator + key.stdout)
        brain = [sys.executable, "-m", "agent.cli.main"]
        where = ["--run-dir", name, "--state-dir", f"{name}/state", "--config"]
        for what, verb, file in (
            ("brain run", ["run"], config),
            ("run, commands", ["run"], keys),
            ("brain driver", ["driver", "gnss"], config),
        ):
            argv = [*brain, *verb, *where, str(file)]
            measured = [ready_after(argv, directory) for _ in range(RUNS)]
            seconds = statistics.median(m[0] for m in measured)
            megabytes = statistics.median(m[1] for m in measured)
            print(f"{what:15} to READY {seconds * 1000:16.0f} ms")
            print(f"{what:15} resident at READY {megabytes:7.1f} MB")


if __name__ == "__main__":
    main()
