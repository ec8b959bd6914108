"""A vehicle that makes files on demand, its broker and its cloud end: real processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from simulator.broker import write_config
from simulator.processes import Process, Supervisor, ask, brain, free_port, listening, wait_for
from tests.hil.chunk_link import ChunkLink
from tests.hil.conftest import ROOT

VEHICLE = "bus-1"
FILER = ROOT / "tests" / "thirdparty" / "filer" / "brain_filer.py"


class Rig:
    """`directory`: a short path, sockets are in it."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.run_dir, self.state_dir = directory / "run", directory / "state"
        self.orders, self.ledger = directory / "orders", directory / "ledger.db"
        self.orders.mkdir()
        self.broker_port = free_port()
        self.link = ChunkLink(self.broker_port)
        self.ordered: dict[str, str] = {}
        store, keys = settings.pop("s3", (None, {}))
        self._settings = settings
        self.configure()
        self._install()
        where = ["--config", str(directory / "brain.toml"), "--run-dir", str(self.run_dir)]
        self._where = [*where, "--state-dir", str(self.state_dir)]
        env = {"PYTHONPATH": f"{directory / 'site'}{os.pathsep}{ROOT}"}
        write_config(directory / "broker.toml", self.broker_port)
        python = [sys.executable, "-P", "-m"]
        broker = [*python, "simulator.broker", str(directory / "broker.toml")]
        cloud = [*python, "cloud", "--port", str(self.broker_port), "--ledger", str(self.ledger)]
        if store is not None:
            cloud += ["--s3", store]
        self.broker = Process("broker", broker, directory / "broker.log")
        self.cloud = Process("cloud", cloud, directory / "cloud.log", env | keys)
        self.up = Process("up", brain("up", *self._where), directory / "up.log", env)
        self._env = {**os.environ, **env}
        self.children = Supervisor(self.run_dir)

    def configure(self, **changed: Any) -> None:
        """Write the configuration. `uplink`: keys of [uplink]; `budget`: the text of [budget]; all
        other settings are keys of [store]."""
        self._settings |= changed
        settings = dict(self._settings)
        budget = settings.pop("budget", "")
        uplink = {"port": self.link.port, "ack_timeout_s": 2.0, "linger_s": 0.1}
        uplink |= settings.pop("uplink", {})
        lines = ["schema = 1", "[vehicle]", f'id = "{VEHICLE}"', "[store]"]
        lines += ["commit_interval_s = 0.2"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        lines += ["[uplink]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in uplink.items()]
        lines += ["[drivers.filer]", 'type = "filer"', f"orders = {json.dumps(str(self.orders))}"]
        lines += ["[budget]", budget]
        (self.directory / "brain.toml").write_text("\n".join(lines) + "\n")

    def _install(self) -> None:
        """As pip would, in a folder that the agent's Python looks into."""
        about = self.directory / "site" / "brain_filer-1.0.dist-info"
        about.mkdir(parents=True)
        shutil.copy(FILER, self.directory / "site")
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brain-filer\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text("[brain.drivers]\nfiler = brain_filer:Filer\n")

    def start(self) -> None:
        self.start_broker()
        self.start_cloud()
        self.up.start()
        wait_for("the driver is ready", lambda: self.children.ready("filer"), self.up)

    def start_broker(self) -> None:
        self.broker.start()
        wait_for("the broker listens", lambda: listening(self.broker_port), self.broker)

    def start_cloud(self) -> None:
        self.cloud.start()

    def stop(self) -> None:
        for process in (self.up, self.cloud, self.broker):
            process.stop()
        self.link.stop()

    def kill_agent(self) -> None:
        """kill -9 of the coordinator; `brain up` starts the next one."""
        self.children.send("run", signal.SIGKILL)

    def reload(self) -> None:
        """SIGHUP to the coordinator: the configuration is read again."""
        self.children.send("run", signal.SIGHUP)

    def order(self, name: str, size: int, seed: int = 1, **more: Any) -> str:
        """Have a file made; its sha256."""
        content = random.Random(seed).randbytes(size)
        sha256 = hashlib.sha256(content).hexdigest()
        self.ordered[name] = sha256
        fresh = self.orders / f"{name}.new"
        fresh.write_text(json.dumps({"size": size, "seed": seed, **more}))
        fresh.rename(self.orders / f"{name}.order")
        return sha256

    def made(self, name: str) -> bool:
        """Whether the driver was told that the record of the file is on flash."""
        return (self.orders / f"{name}.done").exists()

    def made_all(self) -> bool:
        return all(map(self.made, self.ordered))

    def whole(self, sha256: str) -> bool:
        """Whether the cloud has the file under its name, with that content."""
        path = self.ledger.with_name("ledger.db.files") / VEHICLE / sha256
        return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256

    def wait(self, what: str, fact: Any, within_s: float = 60.0) -> None:
        wait_for(what, fact, self.up, within_s)

    def wait_whole(self, sha256: str, within_s: float = 60.0) -> None:
        self.wait(f"file {sha256[:8]} is whole", lambda: self.whole(sha256), within_s)

    def status(self) -> dict[str, Any]:
        return ask(self.run_dir, "status") or {}

    def budget(self) -> dict[str, Any]:
        """What `brain budget` says."""
        return ask(self.run_dir, "budget") or {}

    def metered(self) -> dict[str, Any]:
        """Bytes of this month per class."""
        found: dict[str, Any] = self.budget()["metered"]
        return found

    def spooled(self) -> list[str]:
        return sorted(path.name for path in (self.state_dir / "files").iterdir())

    def audit(self) -> dict[str, Any]:
        command = brain("audit", "--json", *self._where)
        done = subprocess.run(command, capture_output=True, text=True, env=self._env, check=False)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def report(self) -> dict[str, Any]:
        command = [sys.executable, "-P", "-m", "cloud", "report", "--ledger", str(self.ledger)]
        done = subprocess.run(command, capture_output=True, text=True, env=self._env, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def latencies_s(self, group: str) -> list[float]:
        """Of the records of a group that were delivered: from capture to the cloud's books."""
        with contextlib.closing(sqlite3.connect(self.ledger)) as db:
            rows = db.execute(
                "SELECT received_boottime_ms - boottime_ms FROM record WHERE grp=?", (group,)
            )
            return sorted(ms / 1000 for (ms,) in rows)

    def settled(self) -> bool:
        """Whether nothing of bulk waits any more, and the spool is empty."""
        bulk = self.audit()["by_class"]["bulk"]
        return bulk["queued"] == 0 and not self.spooled()


@contextlib.contextmanager
def running(
    directory: Path, *, before: Callable[[Rig], None] = lambda rig: None, **settings: Any
) -> Iterator[Rig]:
    """`before` may change what is not started yet."""
    rig = Rig(directory, **settings)
    try:
        before(rig)
        rig.start()
        yield rig
    except BaseException:
        for process in (rig.broker, rig.cloud, rig.up):
            print(process.tail(40))  # noqa: T201
        raise
    finally:
        rig.stop()
