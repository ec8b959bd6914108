"""The processes of a simulated run: broker, cloud end and `brain up`, each started and ended here.

Each is its own process, so that killing one is what killing one is on a vehicle. What a process
prints goes to a log file in the work directory; its last lines are shown when it fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

POLL_S = 0.02


class StartFailed(Exception):
    """A part did not come up; the text says which, why and what to do."""


class Process:
    """One child with a log file; it can be started again after it was killed."""

    def __init__(
        self, name: str, argv: list[str], log: Path, env: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self._argv = argv
        self._log = log
        self._env = {**os.environ, **(env or {})}
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it prints is appended to its log."""
        with self._log.open("ab") as log:
            # A group of its own, so that Ctrl-C reaches the simulator alone; a pipe as standard
            # input, so that a child that reads it ends with us however we end.
            self._child = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._env,
                process_group=0,
            )

    def alive(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int | None:
        """Of the child that was started last; None before the first."""
        return None if self._child is None else self._child.pid

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def stop(self, timeout_s: float = 10.0) -> None:
        """SIGTERM, then SIGKILL."""
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._child.stdin is not None:
            with contextlib.suppress(OSError):
                self._child.stdin.close()

    def tail(self, lines: int = 8) -> str:
        """The last lines of its log."""
        if not self._log.exists():
            return ""
        text = self._log.read_text(errors="replace").strip().splitlines()
        return "\n".join(f"  {self.name}: {line}" for line in text[-lines:])

    def said(self, word: str) -> bool:
        """Whether its log holds `word`."""
        return self._log.exists() and word in self._log.read_text(errors="replace")


def wait_for(
    what: str, fact: Callable[[], bool], process: Process | None = None, within_s: float = 30.0
) -> None:
    """Wait for a fact. Raises StartFailed when it does not come, or the process ends first."""
    deadline = time.monotonic() + within_s
    pause = socket.socketpair()
    try:
        pause[0].settimeout(POLL_S)
        while not fact():
            if process is not None and not process.alive():
                raise StartFailed(f"{what}: the process ended\n{process.tail()}")
            if time.monotonic() > deadline:
                tail = process.tail() if process else ""
                raise StartFailed(f"{what}: not within {within_s:g} s\n{tail}")
            with contextlib.suppress(TimeoutError):
                pause[0].recv(1)
    finally:
        for sock in pause:
            sock.close()


def listening(port: int) -> bool:
    """Whether something accepts TCP connections on loopback at `port`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return True
    except OSError:
        return False


def free_port() -> int:
    """A port of loopback that is free at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Supervisor:
    """What `brain up` says of its children in `up.json`."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "up.json"
        self._stamp = 0
        self._state: dict[str, dict[str, object]] = {}

    def _refresh(self) -> None:
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp != self._stamp:
                state = json.loads(self._path.read_text())
                self._state = {"run": state["run"], **state["drivers"]}
                self._stamp = stamp
        except (OSError, ValueError):
            self._state = {}

    def pid(self, name: str) -> int | None:
        """Pid of `run` or of a driver; None while it is down."""
        self._refresh()
        pid = self._state.get(name, {}).get("pid")
        return pid if isinstance(pid, int) else None

    def ready(self, name: str) -> bool:
        """Whether it has said READY."""
        self._refresh()
        return self._state.get(name, {}).get("state") == "ready"

    def send(self, name: str, number: signal.Signals) -> int | None:
        """Send a signal to a child; returns the pid it went to, None where it was down."""
        pid = self.pid(name)
        if pid is None:
            return None
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return None
        return pid


def ask(run_dir: Path, verb: str) -> dict[str, object] | None:
    """Ask the coordinator over control.sock; None where it does not answer just now."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(1.0)
            sock.connect(str(run_dir / "control.sock"))
            sock.sendall(json.dumps({"verb": verb}).encode() + b"\n")
            line = b""
            while not line.endswith(b"\n"):
                data = sock.recv(65_536)
                if not data:
                    return None
                line += data
            answer = json.loads(line)
            return dict(answer["result"]) if answer.get("ok") else None
    except (OSError, ValueError, KeyError):
        return None


def brain(*arguments: str) -> list[str]:
    """The command line of `brain` in this interpreter."""
    return [sys.executable, "-P", "-m", "agent.cli.main", *arguments]
