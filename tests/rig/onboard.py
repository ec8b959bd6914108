"""The agent in a guest: its configuration, its start under `brain up`, its own books."""

from __future__ import annotations

import json
from typing import Any

from tests.rig.machine import Machine, Program
from tests.rig.network import BROKER, PORT

VEHICLE = "bus-4021"
CONFIG, RUN, STATE = "/rig/brain.toml", "/run/brain", "/data/state"
SERIAL_DRIVERS = """
[drivers.gnss]
type = "gnss_nmea0183"
port = "/dev/ttyS0"
[drivers.fms]
type = "fms_j1939"
interface = "slcan"
channel = "/dev/ttyS1"
"""


class Onboard:
    """An agent under `brain up` in a bare boot. Its disk is the guest's first one."""

    arguments = ("--config", CONFIG, "--run-dir", RUN, "--state-dir", STATE)

    def __init__(self, machine: Machine, *, drivers: str = SERIAL_DRIVERS, more: str = "") -> None:
        """Write the configuration; `more` is TOML that goes between [uplink] and the drivers."""
        self.machine = machine
        if "linger_s" not in more:
            more = f"linger_s = 1.0\n{more}"
        (machine.control / "brain.toml").write_text(
            f'[vehicle]\nid = "{VEHICLE}"\n[agent]\nlog_level = "debug"\n'
            f'[uplink]\nbroker = "{BROKER}"\nport = {PORT}\n{more}{drivers}'
        )
        self.program: Program | None = None

    def start(self, *, env: dict[str, str] | None = None) -> Program:
        """Start `brain up`; its log is a file of the host."""
        self.program = self.machine.start("brain", "up", *self.arguments, env=env, name="up")
        return self.program

    def ready(self, *names: str, timeout_s: float = 30.0) -> None:
        """Wait until `brain up` has seen READY of the children, all of them by default."""
        self.machine.until(
            lambda: self._ready(names),
            f"{', '.join(names) or 'all children'} READY",
            timeout_s,
            also=lambda: self.program.output if self.program else "",
        )

    def _ready(self, names: tuple[str, ...]) -> bool:
        state = self.machine.shell(f"cat {RUN}/up.json 2>/dev/null || true")
        if not state.strip():
            return False
        up = json.loads(state)
        children = {"run": up["run"], **up["drivers"]}
        return all(children[name]["state"] == "ready" for name in names or children)

    def restarts(self) -> int:
        """How often `brain up` has had to start a child again."""
        up = json.loads(self.machine.shell(f"cat {RUN}/up.json"))
        return sum(child["restarts"] for child in (up["run"], *up["drivers"].values()))

    def status(self) -> dict[str, Any]:
        """`brain status --json`."""
        argv = ("brain", "status", "--json", *self.arguments[:4])
        return dict(self.machine.run(*argv, check=False).json())

    def audit(self) -> dict[str, Any]:
        """`brain audit --json`."""
        return dict(
            self.machine.run("brain", "audit", "--json", *self.arguments, check=False).json()
        )

    def verify(self) -> dict[str, Any]:
        """`brain outbox verify --json`."""
        done = self.machine.run("brain", "outbox", "verify", "--json", *self.arguments, check=False)
        return dict(done.json())
