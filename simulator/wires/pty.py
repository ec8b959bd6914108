"""A pseudo-terminal with a device behind it: who has the port open, what is waiting, what went out.

Subclasses say how bytes go out (`_move`) and what the device answers (`_take`). One thread per
wire does everything that touches the terminal; `write` only queues and `heard` only drains.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
import time
import tty
from collections import deque
from pathlib import Path

from simulator.emission import Emission, Heard

TICK_S = 0.005
"""How often a wire looks at its queue and its port: also the batching of a full bus."""


def boottime_ms() -> int:
    """CLOCK_BOOTTIME in ms: the clock that records carry."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Wire:
    """One serial port with a device at its far end.

    `path` is the terminal to open, `link` (optional) a stable name for it that exists from `start`
    to `stop`. `source` names the device as its emissions do. At most `capacity` emissions wait;
    what comes on top is dropped and marked so.
    """

    def __init__(
        self, source: str, *, link: Path | None = None, capacity: int, baud: int = termios.B9600
    ) -> None:
        self.source = source
        self.link = link
        self._capacity = capacity
        self._fd, slave = os.openpty()
        self.path = os.ttyname(slave)
        tty.setraw(slave)
        modes = termios.tcgetattr(slave)
        modes[4] = modes[5] = baud
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        os.set_blocking(self._fd, False)
        # A slave that was opened and closed once makes the kernel report POLLHUP while nobody
        # else has it open; one that was never open does not.
        os.close(slave)
        self._poller = select.poll()
        self._poller.register(self._fd, select.POLLIN)
        self._queue: deque[tuple[Emission, float]] = deque()
        self._heard: list[Heard] = []
        self._lock = threading.Lock()
        self._open_since: int | None = None
        self.stalled_ms = 0
        """Longest time that the machine kept this device from being served, beyond a tick."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"wire-{source}", daemon=True)

    def start(self) -> None:
        """Make the link and let the device live."""
        if self.link is not None:
            aside = self.link.with_name(f".{self.link.name}.{os.getpid()}")
            aside.unlink(missing_ok=True)
            aside.symlink_to(self.path)
            aside.replace(self.link)
        self._thread.start()

    def stop(self) -> None:
        """End the device; what was still waiting is reported as never written."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        for emission, _ in self._queue:
            self._report(emission, None)
        self._queue.clear()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self.link is not None and self.link.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(self.link) == self.path:
                    self.link.unlink()

    def write(self, emission: Emission) -> None:
        """Queue what the device sends now."""
        if len(self._queue) >= self._capacity:
            self._report(emission, self._open_since, dropped=True)
        else:
            self._queue.append((emission, time.monotonic()))

    def heard(self) -> list[Heard]:
        """What became of emissions since the last call, in wire order."""
        with self._lock:
            drained, self._heard = self._heard, []
        return drained

    def pending(self) -> int:
        """Emissions that are still waiting or under way."""
        return len(self._queue)

    def is_open(self) -> bool:
        """Whether somebody has the port open and the device is willing to send."""
        return self._open_since is not None

    def _run(self) -> None:
        served = time.monotonic()
        while not self._stop.is_set():
            now = time.monotonic()
            self.stalled_ms = max(self.stalled_ms, round((now - served - TICK_S) * 1000))
            served = now
            self._watch()
            self._move(time.monotonic())
            if self._connected():
                self._poller.poll(TICK_S * 1000)
            else:
                # poll would return at once for as long as nobody has the port open.
                self._stop.wait(TICK_S)

    def _connected(self) -> bool:
        return not any(event & select.POLLHUP for _, event in self._poller.poll(0))

    def _watch(self) -> None:
        """Follow opening and closing of the port; hand what came in to the device."""
        received = b""
        with contextlib.suppress(OSError):  # BlockingIOError: nothing came; EIO: nobody is there
            received = os.read(self._fd, 4096)
        if self._connected():
            self._opened()
            if received:
                self._take(received)
        else:
            self._closed()

    def _opened(self) -> None:
        """The port is open (called at each tick while it is)."""
        if self._open_since is None:
            self._open_since = boottime_ms()

    def _closed(self) -> None:
        """The port is closed (called at each tick while it is).

        A terminal keeps what nobody read for whoever opens it next, a real port does not.
        """
        if self._open_since is not None:
            # First: whoever sees the port closed may open it at once.
            self._flush()
            self._open_since = None

    def _flush(self) -> None:
        """Throw away what was written and not read; only the slave's side can do that."""
        with contextlib.suppress(OSError, termios.error):
            slave = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                termios.tcflush(slave, termios.TCIFLUSH)
            finally:
                os.close(slave)

    def _take(self, received: bytes) -> None:
        """What the port's user sent to the device. A listener's device ignores it."""

    def _move(self, now: float) -> None:
        """Put on the terminal what is due; `now` is monotonic seconds."""
        raise NotImplementedError

    def _send(self, data: bytes) -> int:
        """Write what the terminal takes just now: 0 where its buffer is full."""
        try:
            return os.write(self._fd, data)
        except (BlockingIOError, InterruptedError):
            return 0

    def _report(
        self, emission: Emission, open_since_ms: int | None, *, dropped: bool = False
    ) -> None:
        heard = Heard(emission, boottime_ms(), open_since_ms, dropped)
        with self._lock:
            self._heard.append(heard)
