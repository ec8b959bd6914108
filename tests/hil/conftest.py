"""Whole runs: real processes on real wires, judged by the oracle and by `brain audit` alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass
class Outcome:
    """How a run ended. `report` is empty where it ended before one was written."""

    code: int
    report: dict[str, Any]
    output: str

    def assert_books(self) -> None:
        """What every judged run must show."""
        report = self.report
        assert report, self.output
        why = json.dumps({k: v for k, v in report.items() if k != "signals"}, indent=1)
        assert report["missing"] == 0, why + self.output
        assert report["invented"] == 0, why
        assert report["gaps"] == 0, why
        assert report["queued"] == 0, why
        assert (
            report["accepted"] == report["acknowledged"] + report["queued"] + report["dropped"]
        ), why
        assert report["facts"] > 0
        assert self.code == 0, self.output


def processes_of(run_dir: Path) -> list[str]:
    """Command lines of all processes that name `run_dir`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(run_dir) in line:
                found.append(line)
    return found


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A short path: a socket's address has 108 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        yield Path(name)


Simulate = Callable[..., Outcome]


@pytest.fixture
def simulate(run_dir: Path) -> Iterator[Simulate]:
    """Run `brain simulate` to its end and read its report."""

    def run(*arguments: str, timeout_s: float = 180) -> Outcome:
        report = run_dir / "report.json"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "agent.cli.main", "simulate", "--headless"]
        command += ["--run-dir", str(run_dir), "--report", str(report), *arguments]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
        ) as child:
            try:
                output, _ = child.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGINT)
                output, _ = child.communicate(timeout=60)
        read = json.loads(report.read_text()) if report.exists() else {}
        return Outcome(child.returncode, read, output)

    yield run
    assert processes_of(run_dir) == []
