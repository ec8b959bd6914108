"""The far end of an SLCAN port, and a Context that remembers."""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from agent.sdk import Blob, Group, Kind, Scalar, State

YES, NO = b"\r", b"\x07"


class Stick:
    """An SLCAN adaptor on a PTY. `answers` maps commands (b"L") to what it answers, else YES.

    `heard` is every byte that was ever written to it.
    """

    def __init__(self, answers: Mapping[bytes, bytes] | None = None) -> None:
        self.answers = dict(answers or {})
        self.after: dict[bytes, bytes] = {}
        self.heard = b""
        self.open = False
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="stick", daemon=True)
        self._thread.start()

    def send(self, *lines: bytes) -> None:
        """Put frames on the wire."""
        os.write(self.master, b"".join(line + b"\r" for line in lines))

    def raw(self, data: bytes) -> None:
        """Put bytes on the wire."""
        os.write(self.master, data)

    def wait(self, fact: Callable[[], bool], within_s: float = 3.0) -> None:
        """Wait until `fact` holds after some command."""
        with self._changed:
            assert self._changed.wait_for(fact, within_s), self.heard

    def pull(self) -> None:
        """Unplug it."""
        self._stopped.set()
        self._thread.join(5)
        if self.master >= 0:
            os.close(self.master)
            os.close(self._slave)
            self.master = -1

    @property
    def commands(self) -> list[bytes]:
        """All commands so far."""
        return self.heard.split(b"\r")[:-1]

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self.master, select.POLLIN)
        pending = b""
        while not self._stopped.is_set():
            if not poll.poll(20):
                continue
            try:
                data = os.read(self.master, 4096)
            except OSError:
                return
            *commands, pending = (pending + data).split(b"\r")
            for command in commands:
                self._answer(command)
            with self._changed:
                self.heard += data
                self._changed.notify_all()

    def _answer(self, command: bytes) -> None:
        answer = self.answers.get(command, YES)
        os.write(self.master, answer + self.after.get(command, b""))
        # Said after the answer is out: what a test sends then comes behind it.
        if answer == YES:
            self.open = {b"L": True, b"C": False}.get(command, self.open)


class Recorder:
    """A Context that keeps what was emitted."""

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir
        self.emitted: list[tuple[str, dict[str, Scalar], dict[str, State], int | None, Kind]] = []
        self._changed = threading.Condition()
        self._stopped = threading.Event()

    def running(self) -> bool:
        return not self._stopped.is_set()

    def stop(self) -> None:
        self._stopped.set()

    def emit(
        self,
        group: Group,
        values: Mapping[str, Scalar],
        *,
        states: Mapping[str, State] | None = None,
        at_boottime_ms: int | None = None,
        kind: Kind = Kind.SAMPLE,
        blob: Blob | None = None,
        durable: bool = False,
    ) -> None:
        paths = {*values, *(states or {})}
        assert paths <= set(group.index)
        assert not set(values) & set(states or {})
        with self._changed:
            self.emitted.append(
                (group.name, dict(values), dict(states or {}), at_boottime_ms, kind)
            )
            self._changed.notify_all()

    def of(self, name: str) -> list[dict[str, Scalar]]:
        """The values of one group, in order."""
        return [values for group, values, *_ in list(self.emitted) if group == name]

    def wait(self, fact: Callable[[], bool], within_s: float = 5.0) -> None:
        """Wait until `fact` holds after some emission."""
        with self._changed:
            assert self._changed.wait_for(fact, within_s), self.emitted


class Running:
    """A driver's `run` on a thread; `end` stops it and gives its exception, if any."""

    def __init__(self, run: Callable[[Recorder], None], ctx: Recorder) -> None:
        self.ctx = ctx
        self.error: BaseException | None = None
        self._run = run
        self._thread = threading.Thread(target=self._body, name="driver", daemon=True)
        self._thread.start()

    def _body(self) -> None:
        try:
            self._run(self.ctx)
        except BaseException as error:
            self.error = error

    def end(self, *, stop: bool = True) -> BaseException | None:
        """Stop, or wait for the driver to end by itself; both within 2 s."""
        if stop:
            self.ctx.stop()
        begun = time.monotonic()
        self._thread.join(3)
        assert not self._thread.is_alive()
        assert time.monotonic() - begun < 2
        return self.error


@pytest.fixture
def plug() -> Iterator[Callable[..., Stick]]:
    """Makes sticks and unplugs them in the end."""
    sticks: list[Stick] = []

    def make(answers: Mapping[bytes, bytes] | None = None) -> Stick:
        sticks.append(Stick(answers))
        return sticks[-1]

    yield make
    for stick in sticks:
        stick.pull()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Runs drivers and stops them in the end."""
    runs: list[Running] = []

    def make(run: Callable[[Recorder], None]) -> Running:
        runs.append(Running(run, Recorder(tmp_path)))
        return runs[-1]

    yield make
    for running in runs:
        running.end()
