"""Runs with kills of random parts at random seconds; prints one line a run, and the seeds.

`make test-kills RUNS=50`: many short runs, with 1 to 6 kills each. With `--kills 200` a run has so
many. Each run is judged twice: by its own report (what was on the wires), and by the books of what
the agent said was on flash against what the cloud end has.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from agent.store.inspect import query
from agent.store.intervals import IntervalSet
from agent.store.rows import Range
from tests.books import Books, accepted_in, booked, books, uncovered

KILLS = ("agent_kill", "driver_kill:gnss", "driver_kill:fms", "broker_kill", "cloud_kill")
SHOWN = ("facts", "missing", "invented", "gaps", "queued", "duplicates_received", "stalled_ms")


def faults(draw: random.Random, kills: int, duration_s: int) -> list[str]:
    """So many kills in the form of --fault, in order of time."""
    at_s = sorted(draw.uniform(0, duration_s - 1) for _ in range(kills))
    return [f"{draw.choice(KILLS)}@{moment:.2f}" for moment in at_s]


def still_queued(work: Path, log: str) -> int:
    """How many records were said to be on flash, did not arrive, and lie in the outbox.

    The agent goes on stating how it is until it is ended: the last of that nobody waits for.
    """
    _, rows = query(work / "state", "SELECT epoch, seq FROM record")
    held: dict[str, IntervalSet] = {}
    for epoch, seq in rows:
        held.setdefault(str(epoch), IntervalSet()).add(int(str(seq)), int(str(seq)))
    on_flash, there = accepted_in([log]), booked(work / "ledger.db")
    absent, nowhere = uncovered(on_flash, there), uncovered(on_flash, there, held)
    return _size(absent) - _size(nowhere)


def _size(ranges: list[tuple[str, Range]]) -> int:
    return sum(last - first + 1 for _, (first, last) in ranges)


def run(seed: int, duration_s: int, kills: list[str]) -> tuple[bool, str]:
    """One run: whether it was good, and what is to be said of it."""
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        file, work = Path(name) / "report.json", Path(name) / "simulation"
        command = [sys.executable, "-m", "agent.cli.main", "simulate", "--headless", "--keep"]
        command += ["--log-level", "debug", "--run-dir", name, "--report", str(file)]
        command += ["--seed", str(seed), "--duration", str(duration_s)]
        command += [word for fault in kills for word in ("--fault", fault)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        report = json.loads(file.read_text()) if file.exists() else {}
        found, queued = Books(lost=1, examples=["no ledger"]), 0
        if (work / "ledger.db").exists():
            log = (work / "brain.log").read_text(errors="replace")
            found = books(work / "ledger.db", [log])
            queued = still_queued(work, log)
            found.lost -= queued
    ok = done.returncode == 0 and report.get("missing") == report.get("invented") == 0
    ok = ok and found.accepted > 0 and not found.lost and not found.invented
    text = " ".join(f"{key} {report.get(key)}" for key in SHOWN)
    text += f"; on flash {found.accepted} delivered {found.delivered} dropped {found.dropped} "
    text += f"queued {queued} lost {found.lost} invented {found.invented}"
    if not ok:
        examples = [*report.get("examples", []), *found.examples]
        text += "".join(f"\n      {line}" for line in examples)
        text += "\n" + done.stdout[-2000:] + done.stderr[-2000:]
    return ok, text


def main() -> int:
    """Exit code 0 where every run balanced."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--duration", type=int, default=20)
    parser.add_argument("--kills", type=int, default=0, help="in each run; 1 to 6 by default")
    args = parser.parse_args()
    bad = 0
    for number in range(args.runs):
        seed = args.seed * 1000 + number
        draw = random.Random(seed)
        chosen = faults(draw, args.kills or draw.randint(1, 6), args.duration)
        good, text = run(seed, args.duration, chosen)
        bad += not good
        kills = " ".join(chosen) if not good or not args.kills else f"{args.kills} kills"
        sys.stdout.write(
            f"{number + 1:3} {'ok ' if good else 'BAD'} seed {seed} {text}   {kills}\n"
        )
        sys.stdout.flush()
    sys.stdout.write(f"{args.runs} runs, {bad} bad\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
