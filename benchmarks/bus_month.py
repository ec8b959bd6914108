"""MB a month of a simulated bus in full: GNSS at 1 Hz and all FMS messages, 12 h a day, 30 days.

For some values of uplink.linger_s, how long samples wait for company. Each is the difference of a
long and a short run of `brain simulate`, so that starting is not counted. Counted are the bytes of
IP packets, both ways, by two ends that know nothing of each other: the agent's `brain budget`, and
the simulator's end of the link. Plain MQTT to loopback: TLS, and the segments that a smaller MTU
makes of large messages, come on top (wire_bytes.py). Nothing is asserted.
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


def run(seconds: int, linger_s: int) -> tuple[int, int, int]:
    """Bytes by the agent's budget, bytes by the simulator's link, records delivered in a run."""
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        file, config = Path(name) / "report.json", Path(name) / "linger.toml"
        config.write_text(f"[uplink]\nlinger_s = {linger_s}\n")
        argv = [sys.executable, "-m", "agent.cli.main", "simulate", "--headless", "--run-dir", name]
        argv += ["--report", str(file), "--seed", "7", "--duration", str(seconds)]
        argv += ["--config", str(config)]
        # It ends with 1 where samples still wait for company at the end: they were not sent either.
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=False)
        report = json.loads(file.read_text())
        if not report["balanced"] or report["gaps"]:
            raise SystemExit(f"{' '.join(argv)}: the books do not balance")
        return int(report["budget_bytes"]), int(report["wire_bytes"]), int(report["acknowledged"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=180, help="between the long and short run")
    parser.add_argument("--short", type=int, default=60, help="seconds of the short run")
    parser.add_argument(
        "--linger", type=int, nargs="*", default=LINGER_S, help="values of uplink.linger_s"
    )
    args = parser.parse_args()
    for linger_s in args.linger:
        short = run(args.short, linger_s)
        long = run(args.short + args.seconds, linger_s)
        nbytes, carried, n = (b - a for a, b in zip(short, long, strict=True))
        month = nbytes / args.seconds * 3_600 * HOURS / 1e6
        print(
            f"linger {linger_s:2} s: {n / args.seconds:.1f} records/s, {nbytes / n:.1f} B a record "
            f"in IP packets both ways (by the link {carried / n:.1f}), {nbytes / args.seconds:.0f} "
            f"B/s: {month:.0f} MB in {HOURS} h of driving",
            flush=True,
        )


if __name__ == "__main__":
    main()
