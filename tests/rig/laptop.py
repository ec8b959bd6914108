"""The agent under `brain up` on this machine, with simulated devices, a broker and a cloud end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from simulator.broker import write_config
from simulator.processes import Process, Supervisor, ask, brain, free_port, listening, wait_for
from tests.books import Books
from tests.rig.feed import Feed
from tests.rig.lifecycle import State, toml
from tests.rig.place import CHECKOUT, NoRig
from tests.rig.program import Ended

BROKEN = CHECKOUT / "tests" / "rig" / "broken" / "on_demand"
WATCHDOG_S = 5


class Laptop:
    """What `brain up` does with its children. Names are `run` and the drivers'."""

    kind = "brain up"
    names = ("run", "gnss", "fms")

    def __init__(self, directory: Path, feed: Feed) -> None:
        """Nothing runs yet. `directory`: a short path, sockets are in it."""
        self.directory = directory
        self.feed = feed
        self.run_dir, self.state_dir = directory / "run", directory / "state"
        self.config, self.ledger = directory / "brain.toml", directory / "ledger.db"
        self.faults = directory / "faults"
        self.faults.mkdir()
        self.port = free_port()
        self.sections = {
            "vehicle": 'id = "bus-4021"\n',
            "agent": 'log_level = "debug"\n',
            "uplink": f"port = {self.port}\n",
            "drivers.gnss": f'type = "gnss_nmea0183"\nport = "{feed.wires["gnss"].path}"\n',
            "drivers.fms": (
                f'type = "fms_j1939"\ninterface = "slcan"\nchannel = "{feed.wires["fms"].path}"\n'
            ),
        }
        self.configure()
        self.where = ["--config", str(self.config), "--run-dir", str(self.run_dir)]
        self.where += ["--state-dir", str(self.state_dir)]
        self._seen = Supervisor(self.run_dir)
        self._log = directory / "up.log"
        env = {
            "PYTHONPATH": str(BROKEN),
            "PYTHONFAULTHANDLER": "1",
            "BRAIN_RIG_FAULTS": str(self.faults),
            "BRAIN_RIG_WATCHDOG_S": str(WATCHDOG_S),
        }
        self.up = Process("up", brain("up", *self.where), self._log, env)
        self._world: list[Process] = []
        self.booked = Books()
        """What the report has of it so far."""

    # --- the world ----------------------------------------------------------------------------

    def dial(self) -> None:
        """Broker and cloud end come up."""
        write_config(self.directory / "broker.toml", self.port)
        argv = [sys.executable, "-P", "-m", "simulator.broker", str(self.directory / "broker.toml")]
        broker = Process("broker", argv, self.directory / "broker.log")
        broker.start()
        self._world.append(broker)
        wait_for("the broker listens", lambda: listening(self.port), broker)
        argv = [sys.executable, "-P", "-m", "cloud", "--port", str(self.port)]
        argv += ["--ledger", str(self.ledger), "--prefix", "brain"]
        cloud = Process("cloud", argv, self.directory / "cloud.log")
        cloud.start()
        self._world.append(cloud)
        wait_for("the cloud end is subscribed", lambda: cloud.said("ready"), cloud)

    def close(self) -> None:
        """End everything."""
        for process in (self.up, *reversed(self._world)):
            process.stop()
        if os.path.ismount(self.state_dir):
            self.read_only(False)

    # --- files --------------------------------------------------------------------------------

    def configure(self, **sections: str | None) -> None:
        """Write the configuration; None takes a section away."""
        for name, text in sections.items():
            self.sections.pop(name.replace("__", "."), None)
            if text is not None:
                self.sections[name.replace("__", ".")] = text
        self.config.write_text(toml(self.sections))

    # --- the supervisor -----------------------------------------------------------------------

    def start(self, *names: str) -> None:
        """Start `brain up`; where it runs, a child that was stopped."""
        if not self.up.alive():
            self.up.start()

    def stop(self, *names: str) -> None:
        """Ctrl-C: it has no way to stop one child alone."""
        self.up.stop()

    def reload(self, *names: str) -> None:
        """`kill -HUP` to `brain up`, which passes it on to all."""
        os.kill(self._pid(), signal.SIGHUP)

    def _pid(self) -> int:
        return int(json.loads((self.run_dir / "up.json").read_text())["pid"])

    def outbox_exists(self) -> bool:
        """Whether the coordinator has made its outbox."""
        return (self.state_dir / "outbox.db").exists()

    @contextlib.contextmanager
    def outbox_held(self) -> Iterator[int]:
        """Somebody else holds the outbox; their pid."""
        from agent.store.room import Lock

        lock = Lock(self.state_dir)
        yield os.getpid()
        lock.release()

    def second(self) -> tuple[Ended, float]:
        """Another coordinator on the same state directory; how it ended and after how long."""
        began = time.monotonic()
        where = ["--config", str(self.config), "--run-dir", str(self.directory / "second")]
        argv = brain("run", *where, "--state-dir", str(self.state_dir))
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
        )
        return Ended(done.returncode, done.stdout), time.monotonic() - began

    def read_only(self, state: bool) -> None:
        """The state directory refuses to be written, or takes it again. Raises NoRig."""
        if os.getuid():
            self.state_dir.chmod(0o500 if state else 0o700)
            return
        # Modes do not bind root, a mount does; it has to be in the name space of `brain up`.
        steps = [["mount", "--bind", "S", "S"], ["mount", "-o", "remount,bind,ro", "S"]]
        for step in steps if state else [["umount", "S"]]:
            argv = [str(self.state_dir) if word == "S" else word for word in step]
            if shutil.which(step[0]) is None:
                raise NoRig(f"rig: not run: {step[0]} is missing: apt install mount")
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode:
                raise NoRig(f"rig: not run: no mount on this machine: {done.stderr.strip()}")

    def ignition_off(self) -> float:
        """SIGTERM to all, SIGKILL after 2 s. Seconds that it took."""
        began = time.monotonic()
        children = [state.pid for state in self.states().values() if state.pid]
        self.up.stop(2.0)
        took_s = time.monotonic() - began
        for pid in children if took_s >= 2.0 else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return took_s

    def states(self) -> dict[str, State]:
        """All children; without `brain up` all are down."""
        try:
            up = json.loads((self.run_dir / "up.json").read_text())
        except (OSError, ValueError):
            return {name: State(None, 0, False) for name in self.names}
        shown = {"run": up["run"], **up["drivers"]}
        return {
            name: State(of["pid"], of["restarts"], of["state"] == "ready")
            for name, of in shown.items()
        }

    def whole(self) -> bool:
        """Whether all run, the devices are there and the uplink is up."""
        states, status = self.states(), ask(self.run_dir, "status")
        return (
            all(name in states and states[name].ready for name in self.names)
            and status is not None
            and status["health"] == "ok"
        )

    def signal(self, name: str, number: int) -> None:
        """A signal to a child."""
        pid = self.states()[name].pid
        assert pid is not None
        os.kill(pid, number)

    def break_it(self, name: str, *faults: str) -> None:
        """Make it do what FAULTS of tests/rig/broken/on_demand lists."""
        (self.faults / name).write_text(" ".join(faults))
        self.signal(name, signal.SIGUSR1)

    def hush(self, name: str) -> None:
        """Nothing: only a line of the guest has to be spared."""

    def hold_over(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """`brain audit` and `brain outbox verify`."""
        return self.answer("audit"), self.answer("outbox", "verify")

    def mark(self) -> str:
        """A place in the log."""
        return str(self._log.stat().st_size)

    def log(self, since: str = "") -> str:
        """What was said since a mark."""
        with self._log.open("rb") as file:
            file.seek(int(since or 0))
            return file.read().decode(errors="replace")

    def until(self, fact: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
        """Wait for a fact; the end of the log is shown where it does not come."""
        import threading

        never, deadline = threading.Event(), time.monotonic() + timeout_s
        while not fact():
            if time.monotonic() > deadline:
                raise AssertionError(f"not seen in {timeout_s:.0f} s: {what}\n{self.log()[-6000:]}")
            never.wait(0.05)

    def answer(self, *argv: str) -> dict[str, Any]:
        """A verb of `brain` with --json; exit codes are the caller's affair."""
        where = self.where[:4] if argv[0] == "status" else self.where
        done = subprocess.run(
            brain(*argv, "--json", *where), capture_output=True, text=True, timeout=60, check=False
        )
        with contextlib.suppress(ValueError):
            return dict(json.loads(done.stdout))
        return {}
