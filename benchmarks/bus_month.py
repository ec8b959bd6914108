"""MB a month of a simulated bus in full: GNSS at 1 Hz and all FMS messages, 12 h a day, 30 days.

For some values of uplink.linger_s, how long samples wait for company. Each is the difference of a
long and a short run of `brain simulate`, so that starting is not counted: bytes on the link as the
simulator's network counts them, headers included. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HOURS = 12 * 30
LINGER_S = (1, 10, 60)


def run(seconds: int, linger_s: int) -> tuple[int, int]:
    """(bytes on the link, records) of a run."""
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        file, config = Path(name) / "report.json", Path(name) / "linger.toml"
        config.write_text(f"[uplink]\nlinger_s = {linger_s}\n")
        argv = [sys.executable, "-m", "agent.cli.main", "simulate", "--headless", "--run-dir", name]
        argv += ["--report", str(file), "--seed", "7", "--duration", str(seconds)]
        subprocess.run([*argv, "--config", str(config)], stdout=subprocess.DEVNULL, check=True)
        report = json.loads(file.read_text())
        return int(report["wire_bytes"]), int(report["accepted"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=180, help="between the long and short run")
    args = parser.parse_args()
    for linger_s in LINGER_S:
        short_bytes, short_n = run(60, linger_s)
        long_bytes, long_n = run(60 + args.seconds, linger_s)
        nbytes, n = long_bytes - short_bytes, long_n - short_n
        month = nbytes / args.seconds * 3_600 * HOURS / 1e6
        print(
            f"linger {linger_s:2} s: {n / args.seconds:.1f} records/s, {nbytes / n:.1f} B a record "
            f"on the link, {nbytes / args.seconds:.0f} B/s: {month:.0f} MB in {HOURS} h of driving",
            flush=True,
        )


if __name__ == "__main__":
    main()
