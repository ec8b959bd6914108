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
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from agent.listener import listener
from agent.protocol import LISTEN_FDS_START
from agent.supervised import Child, Limits, Phase

log = logging.getLogger("brain.up")

COORDINATOR_LIMITS = Limits(start_s=60.0, watchdog_s=20.0, restart_s=0.5, stop_s=4.0)
DRIVER_LIMITS = Limits(start_s=30.0, watchdog_s=10.0, restart_s=0.5, stop_s=3.0)
"""As in brain.service and brain-driver@.service."""
_FIRST_SAFE_FD = 10
# -P: a folder named "agent" in the current directory is not meant.
_COMMAND = (sys.executable, "-P", "-m", "agent.cli.main")

Reread = Callable[[], Collection[str] | None]
"""Reads the names of the drivers again; None where the configuration is invalid, which it told."""


class RunDirectoryInUse(Exception):
    """Another `brain up` owns the run directory; the text names it and its pid."""


class Up:
    """One run directory, its sockets and its children."""

    def __init__(
        self, run_dir: Path, arguments: list[str], drivers: Iterable[str], reread: Reread
    ) -> None:
        """`arguments` go to every child: --config, --run-dir, --state-dir."""
        self._run_dir = run_dir
        self._arguments = arguments
        self._reread = reread
        self._selector = selectors.DefaultSelector()
        self._stopping = self._reloading = False
        self._had_terminal = _terminal()
        self._lock_fd = _lock(run_dir)
        self._ingest = _listen(run_dir / "ingest.sock", socket.SOCK_SEQPACKET)
        self._control = _listen(run_dir / "control.sock", socket.SOCK_STREAM)
        self._wake_r, self._wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._notify_dir = run_dir / "notify"
        self._notify_dir.mkdir(exist_ok=True)
        sockets = {"ingest": self._ingest, "control": self._control}
        argv = [*_COMMAND, "run", *arguments]
        run = Child("run", argv, COORDINATOR_LIMITS, self._notify_dir, sockets)
        self.children = [run, *(self._driver(name) for name in drivers)]

    def _driver(self, name: str) -> Child:
        argv = [*_COMMAND, "driver", name, *self._arguments]
        return Child(name, argv, DRIVER_LIMITS, self._notify_dir, {})

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT, then 0. SIGHUP: see `_on_signal`."""
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
        # SIGHUP says "read again" to a service and "your terminal is gone" to a program in one.
        if number == signal.SIGHUP and not (self._had_terminal and not _terminal()):
            self._reloading = True
        else:
            self._stopping = True

    def _reload(self) -> None:
        """Start what appeared, stop what vanished, let all others read their part again."""
        if any(child.phase is Phase.STOPPED for child in self.children):
            return  # once those that are leaving have left: a name is one child's at a time
        self._reloading = False
        wanted = self._reread()
        if wanted is not None:
            known = {child.name for child in self.children[1:]}
            for child in self.children[1:]:
                if child.name not in wanted:
                    log.info("%s: has no section any more, stopped", child.name)
                    child.terminate()
            for name in wanted:
                if name not in known:
                    log.info("%s: has a section now, started", name)
                    self.children.append(self._driver(name))
                    self._selector.register(
                        self.children[-1].notify, selectors.EVENT_READ, self.children[-1]
                    )
        for child in self.children:
            child.reload()

    def _forget(self, child: Child) -> None:
        self.children.remove(child)
        self._selector.unregister(child.notify)
        child.close()

    def _supervise(self) -> None:
        shown: Mapping[str, object] = {}
        while not self._stopping:
            now = time.monotonic()
            if self._reloading:
                self._reload()
            for child in list(self.children):
                self._step(child, now)
                if child.phase is Phase.STOPPED and child.pid is None:
                    self._forget(child)
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


def _terminal() -> bool:
    """Whether this process has a controlling terminal just now."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def serve(
    config_path: Path, drivers: Iterable[str], run_dir: Path, state_dir: Path, reread: Reread
) -> int:
    """`brain up`: supervise until told to stop. Raises RunDirectoryInUse."""
    arguments = ["--config", str(config_path), "--run-dir", str(run_dir)]
    arguments += ["--state-dir", str(state_dir)]
    return Up(run_dir, arguments, drivers, reread).run()
