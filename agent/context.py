"""What a running driver holds of its host: the stop flag that is also its beat, and `emit`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

import msgspec

from agent.clock import boottime_ms
from agent.protocol import WireRecord
from agent.record import Blob, Kind, Scalar, State
from agent.ring import Ring
from agent.signals import Group
from agent.values import INT64_MAX, MAX_TEXT, checked

BEAT_LIMIT_S = 10.0
"""A driver that called neither `running` nor waited on purpose for so long hangs."""

FAILPOINT_INTERVAL_S = 0.1
FUTURE_MS = 1_000
"""How far ahead of the clock a capture time may lie: rounding, never more."""

# What a flood of samples must not push out of the ring.
_UNIMPORTANT = frozenset({Kind.SAMPLE, Kind.STATUS})
_STATES = frozenset(state.value for state in State)


class Emitted(NamedTuple):
    """The arguments of an `emit`, for the failpoint that repeats them."""

    group: Group
    values: Mapping[str, Scalar]
    states: Mapping[str, State]


class HostContext:
    """agent.sdk.Context for one driver. Thread-safe: the driver's and the verbs' thread share it.

    `strict` raises ValueError where a driver breaks its contract; else the offending path is left
    out and counted in `rejected`. `armed(name)` tells whether a failpoint is armed, None where no
    failpoint exists. `clock` is monotonic seconds.
    """

    def __init__(
        self,
        groups: Iterable[Group],
        ring: Ring,
        workdir: Path,
        stop: threading.Event,
        *,
        strict: bool = False,
        armed: Callable[[str], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workdir = workdir
        self.records = 0
        self.rejected = 0
        self.latest: Emitted | None = None
        self.emitted_in_attempt = False
        self._numbers = {group.name: (i, group) for i, group in enumerate(groups)}
        self._ring = ring
        self._stop = stop
        self._strict = strict
        self._armed = armed
        self._clock = clock
        self._lock = threading.Lock()  # guards the counters
        self._encoder = msgspec.msgpack.Encoder()
        self._driver: int | None = None  # thread that has to beat
        self._began = self._beat_at = clock()
        self._looked_at = float("-inf")
        self._resting = False
        self._leaving = False

    # -- the supervisor's side ---------------------------------------------------------------------

    def attempt(self) -> None:
        """The calling thread starts the driver's `run`."""
        self._driver = threading.get_ident()
        self._resting = self._leaving = False
        self.emitted_in_attempt = False
        self._began = self._beat_at = self._clock()

    def leave(self) -> None:
        """This attempt is to end, another one follows: `running` says no until then."""
        self._leaving = True

    def rest(self) -> None:
        """The driver is in its declared back-off: no beat is owed."""
        self._resting = True

    def beating(self) -> bool:
        """Whether the driver is alive as far as its beats tell."""
        return self._resting or self._clock() - self._beat_at <= BEAT_LIMIT_S

    def settled(self) -> bool:
        """Whether this attempt found its device: it emitted, or it beats since a second."""
        return not self._resting and (self.emitted_in_attempt or self._beat_at - self._began >= 1.0)

    # -- the driver's side -------------------------------------------------------------------------

    def running(self) -> bool:
        """Beat; False when the driver has to leave `run`."""
        self._beat()
        if self._armed is not None and self._clock() - self._looked_at >= FAILPOINT_INTERVAL_S:
            self._looked_at = self._clock()
            if self._armed("raise"):
                self._looked_at = float("-inf")
                raise RuntimeError("failpoint")
        return not (self._stop.is_set() or self._leaving)

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
        """See agent.sdk.Context. With `durable` raises NotDurable when the host stops."""
        number, known = self._numbers.get(group.name, (-1, None))
        if known is not group and known != group:
            self._reject(f"group {group.name!r} is not declared in `groups` of the driver")
            return
        row, positions = self._facts(group, values, states or {})
        if not positions and blob is None and all(value is None for value in row):
            return
        record = WireRecord(
            number,
            self._capture_time(at_boottime_ms),
            row,
            positions or None,
            None if kind is Kind.SAMPLE else Kind(kind).value,
            None if blob is None else self._attachment(blob),
        )
        # A relative path is one in the driver's own directory.
        file = str(self.workdir / blob.path) if blob is not None and kind is Kind.FILE else None
        important = durable or kind not in _UNIMPORTANT
        self._append(record, important=important, durable=durable, file=file)
        with self._lock:
            self.records += 1
        if self._armed is not None:  # a copy: the driver may use its mapping again
            self.latest = Emitted(group, dict(values), dict(states or {}))
        self.emitted_in_attempt = True

    def repeat(self, emitted: Emitted) -> None:
        """Emit once more with a new capture time; for the failpoint `flood`."""
        row, positions = self._facts(emitted.group, emitted.values, emitted.states)
        number = self._numbers[emitted.group.name][0]
        record = WireRecord(number, boottime_ms(), row, positions or None)
        self._append(record, important=False, durable=False)

    def _append(
        self, record: WireRecord, *, important: bool, durable: bool, file: str | None = None
    ) -> None:
        encoded = self._encoder.encode(record)
        try:
            number = self._ring.append(encoded, important=important, attachment=file)
        except ValueError as error:
            self._reject(str(error))
            return
        if durable:
            self._ring.wait_durable(number, self._beat)

    def _facts(
        self, group: Group, values: Mapping[str, Scalar], states: Mapping[str, State]
    ) -> tuple[list[Scalar | None], dict[int, str]]:
        index, signals = group.index, group.signals
        row: list[Scalar | None] = [None] * len(signals)
        for path, value in values.items():
            position = index.get(path)
            if position is None:
                self._reject(f"{path} is not declared in group {group.name!r}")
                continue
            try:
                row[position] = checked(signals[position].datatype, value)
            except ValueError as error:
                self._reject(f"{path}: {error}")
        positions: dict[int, str] = {}
        for path, state in states.items():
            position = index.get(path)
            if position is None:
                self._reject(f"{path} is not declared in group {group.name!r}")
            elif path in values:
                self._reject(f"{path} has a value and a state: expected one of them")
            elif state not in _STATES:
                self._reject(f"{path}: expected a State, got {state!r:.40}")
            else:
                positions[position] = State(state).value
        return row, positions

    def _capture_time(self, at_boottime_ms: int | None) -> int:
        now = boottime_ms()
        if at_boottime_ms is None:
            return now
        if 0 <= at_boottime_ms <= now + FUTURE_MS:
            return int(at_boottime_ms)
        self._reject(f"capture time {at_boottime_ms} ms: expected boot time, which is {now} ms")
        return now

    def _attachment(self, blob: Blob) -> tuple[str, str, int, str]:
        texts = (blob.path, blob.media_type, blob.sha256)
        if max(map(len, texts)) > MAX_TEXT or not 0 <= blob.size <= INT64_MAX:
            self._refuse(f"blob {blob.path[:40]!r}: a text is too long or the size is impossible")
        return (str(blob.path), str(blob.media_type), int(blob.size), str(blob.sha256))

    def _beat(self) -> None:
        # The verbs' thread may wait for flash, too; that says nothing about the driver.
        if self._driver in (None, threading.get_ident()):
            self._beat_at = self._clock()

    def _reject(self, reason: str) -> None:
        if self._strict:
            self._refuse(reason)
        with self._lock:
            self.rejected += 1

    @staticmethod
    def _refuse(reason: str) -> NoReturn:
        raise ValueError(reason)
