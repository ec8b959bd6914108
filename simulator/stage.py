"""Sets the stage of a run: work directory, broker, link, cloud end, wires and `brain up`."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from importlib.resources import files
from pathlib import Path

from simulator.broker import write_config
from simulator.network import Link
from simulator.processes import (
    Process,
    StartFailed,
    Supervisor,
    ask,
    brain,
    free_port,
    listening,
    wait_for,
)
from simulator.scenario import Scenario
from simulator.wires.j1939_slcan import SlcanWire
from simulator.wires.nmea_pty import NmeaWire

VEHICLE = "bus-4021"
Wire = NmeaWire | SlcanWire


class Stage:
    """All parts of a run. `raise_curtain` starts them, `strike` ends them."""

    def __init__(self, scenario: Scenario) -> None:
        self.run_dir = scenario.run_dir
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self.work = self.run_dir / "simulation"
        self._keep = scenario.keep
        self._vehicle = scenario.vehicle
        self._log_level = scenario.log_level
        self._given = scenario.config
        # Before anything of an earlier run is removed: it may not be over.
        self._lock_fd = _lock(self.run_dir)
        if scenario.port and listening(scenario.port):
            raise StartFailed(
                f"127.0.0.1:{scenario.port}: port is taken. Give another --port, or none"
            )
        shutil.rmtree(self.work, ignore_errors=True)
        (self.work / "failpoints").mkdir(parents=True)
        self.broker_port = scenario.port or free_port()
        write_config(self.work / "broker.toml", self.broker_port)
        self.ledger_file = self.work / "ledger.db"
        self.broker = self._process(
            "broker", "-m", "simulator.broker", str(self.work / "broker.toml")
        )
        self.cloud = self._process(
            "cloud",
            *("-m", "cloud", "--broker", "127.0.0.1", "--port", str(self.broker_port)),
            *("--prefix", "brain", "--ledger", str(self.ledger_file)),
        )
        self.link = Link(self.broker_port)
        self.wires: dict[str, Wire] = {
            "gnss": NmeaWire("gnss", speed=scenario.speed),
            "fms": SlcanWire("fms"),
        }
        self.config = self._write_config()
        self.arguments = [
            *("--config", str(self.config)),
            *("--run-dir", str(self.run_dir)),
            *("--state-dir", str(self.work / "state")),
        ]
        self.up = Process(
            "brain",
            brain("up", *self.arguments),
            self.work / "brain.log",
            env={"BRAIN_FAILPOINTS": str(self.work / "failpoints")},
        )
        self.supervisor = Supervisor(self.run_dir)

    def _process(self, name: str, *argv: str) -> Process:
        import sys

        return Process(name, [sys.executable, "-P", *argv], self.work / f"{name}.log")

    def _write_config(self) -> Path:
        config = self.work / "brain.toml"
        config.write_text(files("config").joinpath("simulated.toml").read_text())
        drop_in = self.work / "conf.d" / "simulation.toml"
        drop_in.parent.mkdir()
        if self._given is not None:
            # Before our own by its name: ports and paths stay those of the run.
            (drop_in.parent / "given.toml").write_bytes(self._given.read_bytes())
        overlay = 'overlay = "electric"\n' if self._vehicle == "electric" else ""
        drop_in.write_text(
            f"[vehicle]\nid = {json.dumps(VEHICLE)}\n{overlay}"
            f"[agent]\nlog_level = {json.dumps(self._log_level)}\n"
            f'[uplink]\nbroker = "127.0.0.1"\nport = {self.link.port}\n'
            f"[drivers.gnss]\nport = {json.dumps(self.wires['gnss'].path)}\n"
            f"[drivers.fms]\nchannel = {json.dumps(self.wires['fms'].path)}\n"
        )
        return config

    def raise_curtain(self) -> None:
        """Start all parts and wait until the ports are open. Raises StartFailed."""
        self.broker.start()
        wait_for("the broker listens", lambda: listening(self.broker_port), self.broker)
        self.link.start()
        self.cloud.start()
        wait_for("the cloud end is subscribed", lambda: self.cloud.said("ready"), self.cloud)
        for wire in self.wires.values():
            wire.start()
        self.up.start()
        wait_for("the coordinator is ready", lambda: self.supervisor.ready("run"), self.up)
        for name, wire in self.wires.items():
            wait_for(f"driver {name} opened its port", wire.is_open, self.up)

    def check(self) -> None:
        """Raises StartFailed where `brain up` is gone; the rest may be dead on purpose."""
        if not self.up.alive():
            raise StartFailed(f"brain up ended\n{self.up.tail()}")

    def strike(self) -> None:
        """End all parts, the writers first. Leaves no process and, unless kept, no file."""
        self.up.stop()
        for wire in self.wires.values():
            wire.stop()
        self.cloud.stop()
        self.link.stop()
        self.broker.stop()

    def clear(self) -> None:
        """Remove the work directory, unless it is to be kept."""
        if not self._keep:
            shutil.rmtree(self.work, ignore_errors=True)


def _lock(run_dir: Path) -> int:
    """The descriptor that holds `run_dir` until this process ends. Raises StartFailed."""
    fd = os.open(run_dir / "simulation.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise StartFailed(
            f"{run_dir}: another simulation runs there. Stop it, or give another --run-dir"
        ) from None
    if ask(run_dir, "status") is not None:
        raise StartFailed(f"{run_dir}: brain runs there. Stop it, or give another --run-dir")
    return fd
