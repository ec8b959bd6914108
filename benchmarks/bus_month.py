"""MB a month of a simulated bus in full: GNSS at 1 Hz and all FMS messages, 12 h a day, 30 days.

The difference of a long and a short run of `brain simulate`, so that starting is not counted: bytes
on the link as the simulator's network counts them, headers included. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HOURS = 12 * 30


def run(seconds: int) -> tuple[int, int]:
    """(bytes on the link, records) of a run."""
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        file = Path(name) / "report.json"
        argv = [sys.executable, "-m", "agent.cli.main", "simulate", "--headless", "--run-dir", name]
        argv += ["--report", str(file), "--seed", "7", "--duration", str(seconds)]
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
        report = json.loads(file.read_text())
        return int(report["wire_bytes"]), int(report["accepted"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=180, help="of the long run")
    args = parser.parse_args()
    short_bytes, short_n = run(args.seconds // 3)
    long_bytes, long_n = run(args.seconds)
    seconds = args.seconds - args.seconds // 3
    nbytes, n = long_bytes - short_bytes, long_n - short_n
    month = nbytes / seconds * 3_600 * HOURS / 1e6
    print(f"{n / seconds:.1f} records a second, {nbytes / n:.1f} B a record on the link")
    print(f"{nbytes / seconds:.0f} B a second: {month:.0f} MB in {HOURS} hours of driving")


if __name__ == "__main__":
    main()
