"""What a process is told by signals: to end, to read its configuration again."""

from __future__ import annotations

import select
import signal
from collections import deque
from collections.abc import Callable, Sequence

from agent.waker import Waker

Answered = Callable[[Sequence[str], Sequence[str]], None]
"""Gets what was wrong with the configuration, and the keys that wait for a restart; empty: none."""


class Told:
    """SIGTERM and SIGINT end, SIGHUP reloads; so do `end` and `reload`, from any thread.

    Flags and an eventfd: an Event that the main thread waits on may hold its lock when the signal
    comes.
    """

    def __init__(self) -> None:
        self._waker = Waker()
        self.ending = False
        self._reloading = False
        self._askers: deque[Answered] = deque()
        self._answered: list[Answered] = []

    def listen(self) -> None:
        """Take the signals over; from the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def wait(self, seconds: float) -> None:
        """Wait, at most until one is told something."""
        if select.select([self._waker.fd], [], [], seconds)[0]:
            self._waker.clear()

    def reload(self, answered: Answered) -> None:
        """Have the configuration read again soon, and tell what came of it."""
        self._askers.append(answered)
        self._reloading = True
        self._waker.wake()

    def to_reload(self) -> bool:
        """Whether to reload now; says so once."""
        asked, self._reloading = self._reloading, False
        # Who asks while the files are being read is not answered by that, but by the next time.
        while asked and self._askers:
            self._answered.append(self._askers.popleft())
        return asked

    def answer(self, problems: Sequence[str], waiting: Sequence[str]) -> None:
        """The configuration was read again: tell who had asked before `to_reload` said so."""
        answered, self._answered = self._answered, []
        for tell in answered:
            tell(problems, waiting)

    def _on_signal(self, number: int, frame: object) -> None:
        if number == signal.SIGHUP:
            self._reloading = True
        else:
            self.ending = True
        self._waker.wake()
