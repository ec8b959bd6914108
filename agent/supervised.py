"""One supervised child of `brain up`: started, heard, restarted and ended as a systemd unit is."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from agent.protocol import LISTEN_FDS_START

log = logging.getLogger("brain.up")

EXIT_CONFIG = 2
"""RestartPreventExitStatus of the driver unit: a wrong config does not get better by itself."""


@dataclass(frozen=True, slots=True)
class Limits:
    """TimeoutStartSec, WatchdogSec, RestartSec and TimeoutStopSec of a unit, in seconds."""

    start_s: float
    watchdog_s: float
    restart_s: float
    stop_s: float


class Phase(StrEnum):
    """Where a child is in its life."""

    STARTING = "starting"
    READY = "ready"
    DOWN = "down"
    REFUSED = "refused"
    """It ended with EXIT_CONFIG and is not started again before a reload."""
    STOPPED = "stopped"
    """It was told to end and is not started again."""


_RESTING = (Phase.REFUSED, Phase.STOPPED)


class Child:
    """Holds the pid, the notify socket and the deadlines of one child."""

    def __init__(
        self,
        name: str,
        argv: list[str],
        limits: Limits,
        notify_dir: Path,
        sockets: Mapping[str, socket.socket],
    ) -> None:
        """`sockets` are passed by name (LISTEN_FDNAMES), in this order, from descriptor 3 on."""
        self.name = name
        self.limits = limits
        self._argv = argv
        self._sockets = sockets
        self._notify_path = notify_dir / name
        self._notify_path.unlink(missing_ok=True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.notify.bind(str(self._notify_path))
        self.pid: int | None = None
        self.pidfd = -1
        self.old_pidfd = -1
        self.phase = Phase.DOWN
        self.restarts = 0
        self.status = ""
        self._start_at = 0.0
        self._deadline = 0.0
        self._aborted = False
        self._reload_due = False

    def view(self) -> dict[str, object]:
        """What `up.json` shows."""
        return {"pid": self.pid, "state": self.phase.value, "restarts": self.restarts}

    def next_due_s(self, now: float) -> float:
        """Seconds until this child needs a `step`."""
        due = self._deadline if self.pid is not None else self._start_at
        if self.pid is None and self.phase in _RESTING:
            return 1.0
        return max(0.0, due - now)

    def running(self) -> bool:
        """Whether the process still runs; reaps it where it ended."""
        if self.pid is not None:
            self._reap()
        return self.pid is not None

    def step(self, now: float) -> None:
        """Start, restart or kill as the limits say. `now` is monotonic seconds."""
        if self.pid is None:
            if self.phase not in _RESTING and now >= self._start_at:
                self._start(now)
        elif self.running() and now >= self._deadline:
            if self.phase is Phase.STOPPED:
                self._signal(signal.SIGKILL)
                return
            limit = "start" if self.phase is Phase.STARTING else "watchdog"
            if not self._aborted:
                log.error("%s: no sign of life within its %s limit, killed", self.name, limit)
            # SIGABRT gives a stack dump where the process still listens; a stopped one does not.
            self._signal(signal.SIGKILL if self._aborted else signal.SIGABRT)
            self._aborted = True
            self._deadline = now + 0.5

    def hear(self) -> None:
        """Read what the child notified."""
        while True:
            try:
                fields = self.notify.recv(4096).decode(errors="replace").splitlines()
            except BlockingIOError:
                return
            for field in fields:
                key, _, value = field.partition("=")
                if key == "READY" and self.phase is Phase.STARTING:
                    self.phase = Phase.READY
                    if self._reload_due:
                        self.reload()
                elif key == "STATUS":
                    self.status = value
                if key in ("READY", "WATCHDOG") and self.phase is Phase.READY:
                    self._deadline = time.monotonic() + self.limits.watchdog_s

    def reload(self) -> None:
        """Let it read its configuration again: by SIGHUP as soon as it takes one, or by a start."""
        self._reload_due = self.phase is Phase.STARTING
        if self.phase is Phase.READY:
            self._signal(signal.SIGHUP)
        elif self.phase is Phase.REFUSED:
            self.phase = Phase.DOWN
            self._start_at = 0.0

    def _start(self, now: float) -> None:
        env = dict(os.environ)
        env["NOTIFY_SOCKET"] = str(self._notify_path)
        env["WATCHDOG_USEC"] = str(int(self.limits.watchdog_s * 1e6))
        env["BRAIN_DIE_WITH"] = str(os.getpid())
        env.pop("LISTEN_PID", None)
        env.pop("WATCHDOG_PID", None)
        actions: list[tuple[object, ...]] = []
        if self._sockets:
            env["LISTEN_FDS"] = str(len(self._sockets))
            env["LISTEN_FDNAMES"] = ":".join(self._sockets)
            for i, sock in enumerate(self._sockets.values()):
                actions.append((os.POSIX_SPAWN_DUP2, sock.fileno(), LISTEN_FDS_START + i))
        self.pid = os.posix_spawn(
            self._argv[0],
            self._argv,
            env,
            file_actions=actions,
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
            # A group of its own: Ctrl-C reaches `brain up`, which ends its children in order.
            setpgroup=0,
        )
        self.pidfd = os.pidfd_open(self.pid)
        self.phase = Phase.STARTING
        self._aborted = self._reload_due = False
        self._deadline = now + self.limits.start_s

    def _reap(self) -> None:
        if self.pid is None:
            return
        with contextlib.suppress(ChildProcessError):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            if self.phase is Phase.STOPPED:
                log.debug("%s: ended", self.name)
            elif code == EXIT_CONFIG:
                log.error("%s: refused its configuration, not started again", self.name)
                self.phase = Phase.REFUSED
            else:
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                log.warning(
                    "%s: ended (%s), restart in %g s", self.name, how, self.limits.restart_s
                )
                self.phase = Phase.DOWN
                self.restarts += 1
        self.old_pidfd, self.pidfd, self.pid = self.pidfd, -1, None
        self._start_at = time.monotonic() + self.limits.restart_s

    def _signal(self, number: int) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end, and do not start it again."""
        self.phase = Phase.STOPPED
        self._deadline = time.monotonic() + self.limits.stop_s
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it now and wait for it."""
        if self.running() and self.pid is not None:
            self._signal(signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self.pid = None

    def close_old(self) -> None:
        """Close the descriptor of the process that ended."""
        if self.old_pidfd >= 0:
            os.close(self.old_pidfd)
            self.old_pidfd = -1

    def close(self) -> None:
        """Give back the notify socket."""
        self.close_old()
        self.notify.close()
        self._notify_path.unlink(missing_ok=True)
