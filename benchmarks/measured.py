"""Processes that a benchmark starts and looks at: CPU, memory, bytes written to disks."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
BESIDE = Path(__file__).resolve().parent.parent
"""For what is measured on a real file system: a tmpfs has no flash."""


class Child:
    """A process whose standard output is read by line; ended with its block."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        said: bool = False,
    ) -> None:
        """`said`: standard output is for `line`; else it goes to `log` with standard error."""
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if said else file,
                stderr=file,
                env={**os.environ, **(env or {})},
                cwd=cwd,
            )
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self) -> str:
        """The next line that it says; "" where it ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def cpu_s(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_mb(self) -> float:
        """Most memory that was resident."""
        return self._number("status", "VmHWM") / 1024

    def rss_mb(self) -> float:
        """Memory that is resident now."""
        return self._number("status", "VmRSS") / 1024

    def read(self) -> int:
        """Bytes that it has read, from disks or from what the kernel keeps of them."""
        return self._number("io", "rchar")

    def written(self) -> int:
        """Bytes that the kernel was given for disks on its behalf."""
        return self._number("io", "write_bytes")

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.wait()

    def end(self, within_s: float = 10.0) -> None:
        """SIGTERM, then SIGKILL."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(within_s)
        self.kill()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _number(self, file: str, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/{file}").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
        raise SystemExit(f"this kernel does not tell {name}")


def wait(fact: Callable[[], object], what: str, within_s: float = 30.0) -> None:
    """Wait for a fact, or end the benchmark."""
    pause, deadline = threading.Event(), time.monotonic() + within_s
    while not fact():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {within_s:g} s: {what}")
        pause.wait(0.02)


def free_port() -> int:
    """A port of loopback that is free at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return True
    except OSError:
        return False
