"""What the tests of this driver share: sentences with checksums, a context that remembers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

import pytest

from agent.sdk import Blob, Group, Kind, Record, Scalar, State, boottime_ms
from drivers.gnss_nmea0183.driver import Config, GnssNmea0183
from tests.drivers.gnss_nmea0183.serial_line import Receiver, Running


def checksummed(*bodies: str) -> bytes:
    return b"".join(f"${body}*{reduce(xor, body.encode(), 0):02X}\r\n".encode() for body in bodies)


class RememberingContext:
    """A Context that keeps what was emitted, until it is told to stop."""

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir
        self.records: list[tuple[str, Record]] = []
        self._stop = threading.Event()
        self._news = threading.Condition()

    def stop(self) -> None:
        self._stop.set()

    def running(self) -> bool:
        return not self._stop.is_set()

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
        at = boottime_ms() if at_boottime_ms is None else at_boottime_ms
        record = Record("test", at, dict(values), dict(states or {}), kind, blob)
        with self._news:
            self.records.append((group.name, record))
            self._news.notify_all()

    def wait(self, group: str, count: int, within_s: float) -> list[Record]:
        """The first `count` records of `group`; fails when they do not come in time."""

        def found() -> list[Record]:
            return [record for name, record in self.records if name == group]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= count, within_s), self.records
            return found()[:count]


@pytest.fixture(scope="session")
def nmea() -> Callable[..., bytes]:
    """Bodies -> sentences, each with its checksum and line end."""
    return checksummed


@pytest.fixture
def context(tmp_path: Path) -> RememberingContext:
    return RememberingContext(tmp_path)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    far = Receiver()
    yield far
    far.unplug()


@pytest.fixture
def start(receiver: Receiver, context: Any) -> Iterator[Callable[..., Running]]:
    """Start the driver and return once it has opened the port, so that nothing is flushed."""
    running: list[Running] = []

    def started(**options: Any) -> Running:
        opened = threading.Event()
        ask = context.running

        def running_after_open() -> bool:
            opened.set()
            return bool(ask())

        context.running = running_after_open
        running.append(Running(GnssNmea0183(Config(port=receiver.port, **options)), context))
        assert opened.wait(2)
        return running[-1]

    yield started
    for one in running:
        one.stop()
