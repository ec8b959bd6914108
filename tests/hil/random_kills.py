"""Many runs in a row with random kills at random seconds; prints one line a run, stops at a loss.

`make test-kills RUNS=50`. Each run is judged by its own exit code and report.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

KILLS = ("agent_kill", "driver_kill:gnss", "driver_kill:fms", "broker_kill", "cloud_kill")


def main() -> int:
    """Exit code 0 where every run balanced."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--duration", type=int, default=20)
    args = parser.parse_args()
    facts = bad = 0
    for run in range(args.runs):
        draw = random.Random(args.seed * 1000 + run)
        faults = []
        for _ in range(draw.randint(1, 6)):
            faults.append(f"{draw.choice(KILLS)}@{draw.uniform(0, args.duration - 1):.2f}")
        with tempfile.TemporaryDirectory(prefix="brain-") as name:
            file = Path(name) / "report.json"
            command = [sys.executable, "-m", "agent.cli.main", "simulate", "--headless"]
            command += ["--run-dir", name, "--report", str(file), "--seed", str(run)]
            command += ["--duration", str(args.duration)]
            command += [word for fault in faults for word in ("--fault", fault)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            report = json.loads(file.read_text()) if file.exists() else {}
        ok = done.returncode == 0 and report.get("missing") == report.get("invented") == 0
        facts += report.get("facts") or 0
        bad += not ok
        numbers = " ".join(
            f"{key} {report.get(key)}" for key in ("facts", "missing", "invented", "queued")
        )
        sys.stdout.write(f"{run + 1:3} {'ok ' if ok else 'BAD'} {numbers}   {' '.join(faults)}\n")
        if not ok:
            examples = report.get("examples", [])
            sys.stdout.write("".join(f"      {text}\n" for text in examples))
            sys.stdout.write(done.stdout[-2000:] + done.stderr[-2000:])
        sys.stdout.flush()
    sys.stdout.write(f"{args.runs} runs, {facts} facts, {bad} bad\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
