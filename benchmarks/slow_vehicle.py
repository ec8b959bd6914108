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


@contextmanager
def slow_vehicle(directory: Path, kbit: float, rtt_s: float) -> Iterator[SlowVehicle]:
    """Broker, link, cloud end and `brain run`, whose state is in `directory`/state."""
    port, ledger = free_port(), directory / "ledger.db"
    write_config(directory / "broker.toml", port)
    link = SlowLink(port, kbit, rtt_s)
    config = directory / "brain.toml"
    config.write_text(f'schema = 1\n[vehicle]\nid = "bus-4021"\n[uplink]\nport = {link.port}\n')
    with ExitStack() as stack:

        def start(*argv: str) -> Child:
            return stack.enter_context(Child([*PYTHON, *argv], directory / "log", cwd=BESIDE))

        start("simulator.broker", str(directory / "broker.toml"))
        wait(lambda: listening(port), "the broker listens")
        start("cloud", "--port", str(port), "--ledger", str(ledger), "--prefix", "brain")
        (directory / "run").mkdir(0o700)
        where = ["--config", str(config), "--run-dir", str(directory / "run")]
        began = time.monotonic()
        run = start("agent.cli.main", "run", *where, "--state-dir", str(directory / "state"))
        wait((directory / "run" / "control.sock").exists, "the coordinator is there", 30)
        yield SlowVehicle(directory, link, ledger, run, time.monotonic() - began, stack)
