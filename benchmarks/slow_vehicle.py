"""A vehicle's coordinator and its far end over a slow link, as processes: for benchmarks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measured import BESIDE, Child, free_port, listening, wait
from benchmarks.slow_link import SlowLink
from simulator.broker import write_config

PYTHON = [sys.executable, "-P", "-m"]


@dataclass(frozen=True)
class SlowVehicle:
    """`run` is the coordinator, `opened_s` the seconds until it served; `driver` starts one."""

    directory: Path
    link: SlowLink
    ledger: Path
    run: Child
    opened_s: float
    stack: ExitStack

    def driver(self, module: str) -> None:
        """Start `python -m MODULE --driver DIRECTORY`, which ends with the rest."""
        argv = [sys.executable, "-m", module, "--driver", str(self.directory)]
        self.stack.enter_context(Child(argv, self.directory / "log", cwd=BESIDE))

    def again(self, log: Path) -> Child:
        """Start a coordinator after the one before was ended; it ends with the rest."""
        return self.stack.enter_context(Child(coordinator(self.directory), log, cwd=BESIDE))


def coordinator(directory: Path) -> list[str]:
    """The command line of `brain run`, whose configuration and state are in `directory`."""
    where = ["--config", str(directory / "brain.toml"), "--run-dir", str(directory / "run")]
    state = ["--state-dir", str(directory / "state")]
    return [*PYTHON, "agent.cli.main", "run", *where, *state]


@contextmanager
def slow_vehicle(
    directory: Path, kbit: float, rtt_s: float, more: str = ""
) -> Iterator[SlowVehicle]:
    """Broker, link, cloud end and `brain run`, whose state is in `directory`/state.

    `more`: further sections of its configuration.
    """
    port, ledger = free_port(), directory / "ledger.db"
    write_config(directory / "broker.toml", port)
    link = SlowLink(port, kbit, rtt_s)
    (directory / "brain.toml").write_text(
        f'schema = 1\n[vehicle]\nid = "bus-4021"\n[uplink]\nport = {link.port}\n{more}'
    )
    with ExitStack() as stack:

        def start(*argv: str) -> Child:
            return stack.enter_context(Child([*PYTHON, *argv], directory / "log", cwd=BESIDE))

        start("simulator.broker", str(directory / "broker.toml"))
        wait(lambda: listening(port), "the broker listens")
        start("cloud", "--port", str(port), "--ledger", str(ledger), "--prefix", "brain")
        (directory / "run").mkdir(0o700)
        began = time.monotonic()
        run = stack.enter_context(Child(coordinator(directory), directory / "log", cwd=BESIDE))
        wait((directory / "run" / "control.sock").exists, "the coordinator is there", 30)
        yield SlowVehicle(directory, link, ledger, run, time.monotonic() - began, stack)
