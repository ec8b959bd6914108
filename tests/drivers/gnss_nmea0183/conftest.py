"""What the tests of this driver share: sentences with checksums, a context that remembers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import reduce
from operator import xor
from pathlib import Path

import pytest

from agent.sdk import Blob, Group, Kind, Record, Scalar, State, boottime_ms


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
