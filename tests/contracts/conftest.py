"""A context for the contracts of the drivers, as strict as the host is under test."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from agent.sdk import Blob, Datatype, Group, Kind, Record, Scalar, State, boottime_ms

_INTEGERS = {
    Datatype.UINT8: (0, 2**8 - 1),
    Datatype.UINT16: (0, 2**16 - 1),
    Datatype.UINT32: (0, 2**32 - 1),
    Datatype.INT8: (-(2**7), 2**7 - 1),
    Datatype.INT32: (-(2**31), 2**31 - 1),
    Datatype.INT64: (-(2**63), 2**63 - 1),
}


def fits(value: Scalar, datatype: Datatype) -> bool:
    """Whether `value` is one of `datatype`."""
    if datatype is Datatype.BOOLEAN:
        return isinstance(value, bool)
    if datatype is Datatype.STRING:
        return isinstance(value, str)
    if isinstance(value, bool | str):
        return False
    if datatype in _INTEGERS:
        low, high = _INTEGERS[datatype]
        return isinstance(value, int) and low <= value <= high
    return math.isfinite(value)


class StrictContext:
    """A Context that remembers records, and what was wrong with them."""

    def __init__(self, workdir: Path, groups: tuple[Group, ...]) -> None:
        self.workdir = workdir
        self.records: list[tuple[str, Record]] = []
        self.faults: list[str] = []
        self.asked = threading.Event()
        self._groups = groups
        self._stop = threading.Event()
        self._news = threading.Condition()

    def stop(self) -> None:
        self._stop.set()

    def running(self) -> bool:
        self.asked.set()
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
        now = boottime_ms()
        at = now if at_boottime_ms is None else at_boottime_ms
        record = Record("test", at, dict(values), dict(states or {}), kind, blob)
        with self._news:
            self.faults += self._judge(group, record, now)
            self.records.append((group.name, record))
            self._news.notify_all()

    def wait(self, want: Callable[[list[tuple[str, Record]]], bool], within_s: float) -> bool:
        """Wait until `want` holds for the records so far."""
        with self._news:
            return self._news.wait_for(lambda: want(self.records), within_s)

    def _judge(self, group: Group, record: Record, now: int) -> list[str]:
        if group not in self._groups:
            return [f"group {group.name} is not declared"]
        wrong = []
        for path in [*record.values, *record.states]:
            if path not in group.index:
                wrong.append(f"{group.name}: {path} is not declared")
            elif path in record.values and path in record.states:
                wrong.append(f"{path} has both a value and a state")
        for path, value in record.values.items():
            index = group.index.get(path)
            if index is not None and not fits(value, group.signals[index].datatype):
                wrong.append(f"{path} = {value!r} is no {group.signals[index].datatype}")
        if not record.values and not record.states and record.blob is None:
            wrong.append(f"{group.name}: an empty record")
        if not now - 5_000 <= record.boottime_ms <= now:
            wrong.append(f"{group.name}: captured at {record.boottime_ms}, emitted at {now}")
        return wrong


@pytest.fixture
def strict_context(tmp_path: Path) -> Callable[[tuple[Group, ...]], StrictContext]:
    """Make a context for a driver that declares these groups."""

    def make(groups: tuple[Group, ...]) -> StrictContext:
        return StrictContext(tmp_path, groups)

    return make
