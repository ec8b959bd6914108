"""Plays PID 1 on a laptop: owns the sockets, starts the coordinator and each driver, restarts them.

What systemd does with the units of systemd/, `brain up` does here, with the same protocol: socket
activation (LISTEN_FDS), NOTIFY_SOCKET, WATCHDOG_USEC, SIGTERM, then SIGKILL. The coordinator's
sockets stay open across its restarts, so a driver never notices more than silence.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from agent.config import Config
from agent.listener import listener
from agent.protocol import LISTEN_FDS_START
from agent.supervised import Child, Limits

log = logging.getLogger("brain.up")

COORDINATOR_LIMITS = Limits(start_s=60.0, watchdog_s=20.0, restart_s=0.5, stop_s=4.0)
DRIVER_LIMITS = Limits(start_s=30.0, watchdog_s=10.0, restart_s=0.5, stop_s=3.0)
"""As in brain.service and brain-driver@.service."""
_FIRST_SAFE_FD = 10


class RunDirectoryInUse(Exception):
    """Another `brain up` owns the run directory; the text names it and its pid."""


class Up:
    """One run directory, its sockets and its children."""

    def __init__(self, run_dir: Path, arguments: list[str], drivers: list[str]) -> None:
        """`arguments` go to every child: --config, --run-dir, --state-dir."""
        self._run_dir = run_dir
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._lock_fd = _lock(run_dir)
        self._ingest = _listen(run_dir / "ingest.sock", socket.SOCK_SEQPACKET)
        self._control = _listen(run_dir / "control.sock", socket.SOCK_STREAM)
        self._wake_r, self._wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # -P: a folder named "agent" in the current directory is not meant.
        command = [sys.executable, "-P", "-m", "agent.cli.main"]
        notify_dir = run_dir / "notify"
        notify_dir.mkdir(exist_ok=True)
        sockets = {"ingest": self._ingest, "control": self._control}
        self.children = [
            Child("run", [*command, "run", *arguments], COORDINATOR_LIMITS, notify_dir, sockets)
        ]
        for name in drivers:
            argv = [*command, "driver", name, *arguments]
            self.children.append(Child(name, argv, DRIVER_LIMITS, notify_dir, {}))

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT; returns 0, or 2 where a child's config is refused."""
        signal.set_wakeup_fd(self._wake_w)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._selector.register(self._wake_r, selectors.EVENT_READ)
        for child in self.children:
            self._selector.register(child.notify, selectors.EVENT_READ, child)
        try:
            self._supervise()
        finally:
            self._shut_down()
        return 0

    def _on_signal(self, number: int, frame: object) -> None:
        self._stopping = True

    def _supervise(self) -> None:
        shown: Mapping[str, object] = {}
        while not self._stopping:
            now = time.monotonic()
            for child in self.children:
                self._step(child, now)
            shown = self._show(shown)
            wait_s = min((child.next_due_s(time.monotonic()) for child in self.children), default=1)
            for key, _ in self._selector.select(max(0.01, min(1.0, wait_s))):
                if key.fd == self._wake_r:
                    os.read(self._wake_r, 4096)
                elif isinstance(key.data, Child):
                    key.data.hear()
            # Children that end make the pidfd readable, but a poll at each round is as good.

    def _step(self, child: Child, now: float) -> None:
        before = child.pid
        child.step(now)
        if before is not None and before != child.pid:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(child.old_pidfd)
            child.close_old()
        if child.pid is not None and child.pid != before:
            self._selector.register(child.pidfd, selectors.EVENT_READ)

    def _show(self, shown: Mapping[str, object]) -> Mapping[str, object]:
        """Write `up.json` where something changed, atomically."""
        state = {
            "pid": os.getpid(),
            "run": self.children[0].view(),
            "drivers": {child.name: child.view() for child in self.children[1:]},
        }
        if state != shown:
            temporary = self._run_dir / "up.json.new"
            temporary.write_text(json.dumps(state))
            temporary.replace(self._run_dir / "up.json")
        return state

    def _shut_down(self) -> None:
        # Drivers first: what they still hold reaches the coordinator, which commits it and ends.
        for group in (self.children[1:], self.children[:1]):
            for child in group:
                child.terminate()
            deadline = time.monotonic() + max((c.limits.stop_s for c in group), default=0)
            while any(child.running() for child in group) and time.monotonic() < deadline:
                self._selector.select(0.05)
            for child in group:
                child.kill()
        for child in self.children:
            child.close()
        for sock, name in ((self._ingest, "ingest.sock"), (self._control, "control.sock")):
            sock.close()
            (self._run_dir / name).unlink(missing_ok=True)
        (self._run_dir / "up.json").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (self._run_dir / "notify").rmdir()
        os.close(self._lock_fd)


def _lock(run_dir: Path) -> int:
    run_dir.mkdir(parents=True, exist_ok=True)
    run_dir.chmod(0o700)
    fd = os.open(run_dir / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(fd, 32).decode().strip() or "?"
        os.close(fd)
        raise RunDirectoryInUse(
            f"{run_dir}: in use by process {holder}. Stop it, or give another --run-dir"
        ) from None
    os.ftruncate(fd, 0)
    os.write(fd, str(os.getpid()).encode())
    return fd


def _listen(path: Path, kind: socket.SocketKind) -> socket.socket:
    """A listening socket at `path`, its descriptor out of the way of LISTEN_FDS."""
    with listener(path, kind, 0o600) as sock:
        fd = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, _FIRST_SAFE_FD)
    return socket.socket(fileno=fd)


assert LISTEN_FDS_START < _FIRST_SAFE_FD


def serve(config_path: Path, config: Config, run_dir: Path, state_dir: Path) -> int:
    """`brain up`: supervise until told to stop. Raises RunDirectoryInUse."""
    arguments = ["--config", str(config_path), "--run-dir", str(run_dir)]
    arguments += ["--state-dir", str(state_dir)]
    return Up(run_dir, arguments, list(config.drivers)).run()
