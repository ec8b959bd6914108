"""A first try of signed commands on a simulated bus, line by line as README has it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulator.processes import ask, free_port, listening, wait_for

DEADLINE_S = 60.0
KEYS = """
brain-cloud keys demo >commands.toml
printf '[commands.roles]\\noperator = ["status", "bundle"]\\n' >>commands.toml
"""
SIMULATE = "brain simulate --utc now --config commands.toml --port {port} --run-dir bus"
COMMAND = """
brain-cloud command bus-4021 bundle --key demo.key --purpose "a first try" --port {port} \\
    --ledger bus/simulation/ledger.db --out bundle.tar.gz \\
    --reply-key "$(brain commands --run-dir bus | awk '/^reply key/ {{print $3}}')"
"""


def shell(line: str) -> list[str]:
    return ["env", f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}", "sh", "-c", line]


def run(folder: Path, line: str) -> str:
    done = subprocess.run(
        shell(line), cwd=folder, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def simulated(folder: Path, port: int) -> Iterator[None]:
    with (folder / "out").open("wb") as out:
        line = f"exec {SIMULATE.format(port=port)} --headless"
        process = subprocess.Popen(shell(line), cwd=folder, stdout=out, stderr=out)
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE_S)


def test_the_lines_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    for lines in (KEYS.strip(), SIMULATE.format(port=18830), COMMAND.format(port=18830).strip()):
        assert lines in page


def test_a_command_to_a_simulated_bus(run_dir: Path) -> None:
    port = free_port()
    run(run_dir, KEYS)
    with simulated(run_dir, port):

        def by_gnss() -> bool:
            clock = (ask(run_dir / "bus", "status") or {}).get("clock", {})
            return bool(clock.get("source") == "gnss")

        # Before that the bus has the time of this machine, and any command would do.
        wait_for("the clock is that of the receiver", by_gnss, within_s=DEADLINE_S)
        said = json.loads(run(run_dir, COMMAND.format(port=port)).splitlines()[-1])
    assert said["state"] == "done", said
    assert (run_dir / "bundle.tar.gz").stat().st_size == said["result"]["file"]["size"]
    assert not listening(port)
