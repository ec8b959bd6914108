"""Alarms leave the vehicle: each is an EVENT of the agent itself, beside its line in the log.

An alarm is a log line of level ERROR with a fixed id (`agent/alarms.py`). What it says was made to
be shown in a journal: it holds no secret. One kind gives one event in ten minutes, however many
lines it has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.alarms import Alarm
from agent.clock import boottime_ms
from agent.health import SOURCE
from agent.record import Kind, Record
from agent.signals import EVERY, Datatype, Group, Signal

KIND, TEXT = "Vehicle.Bus.Agent.Alarm", "Vehicle.Bus.Agent.AlarmText"
ALARM = Group(
    "alarm",
    (
        Signal(
            KIND,
            Datatype.STRING,
            "",
            "Kind of an alarm of the agent: outbox_damaged, uplink_taken_over, ...",
            EVERY,
        ),
        Signal(TEXT, Datatype.STRING, "", "What the alarm says, as the journal has it.", EVERY),
    ),
)
MAX_TEXT = 200
"""Characters: what leaves the vehicle costs money, the journal has the rest."""
QUIET_S = 600.0
"""A kind that was just told is counted only: a flood of alarms must not fill the outbox."""

_KINDS = {alarm.value: alarm.name.lower() for alarm in Alarm}


class AlarmEvents(logging.Handler):
    """Takes alarms from any thread and never waits: they go on by `say`, or wait for `flush`.

    While `ready` says no, or nobody listens yet, the first alarm of each kind waits here: what
    cannot be committed must not pile up.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.ERROR)
        self._clock = clock
        self._say: Callable[[Record], None] | None = None
        self._ready: Callable[[], bool] = lambda: False
        self._told: dict[str, float] = {}
        self._untold: dict[str, int] = {}
        self._waiting: dict[str, Record] = {}

    def attach(self) -> None:
        """Hear all that the agent logs from now on."""
        logging.getLogger("brain").addHandler(self)

    def detach(self) -> None:
        """Hear nothing more."""
        logging.getLogger("brain").removeHandler(self)

    def listen(self, say: Callable[[Record], None], ready: Callable[[], bool]) -> None:
        """Where events go. Neither may block, or log anything."""
        with self._locked():
            self._say, self._ready = say, ready

    def emit(self, record: logging.LogRecord) -> None:
        """One line of the log; called with the handler's lock held. Never raises."""
        kind = _KINDS.get(getattr(record, "message_id", ""))
        if kind is None:
            return
        now, before = self._clock(), self._told.get(kind)
        if before is not None and now - before < QUIET_S:
            self._untold[kind] = self._untold.get(kind, 0) + 1
            return
        self._told[kind] = now
        more = self._untold.pop(kind, 0)
        text = _plain(record, f" (and {more} more since the last)" if more else "")
        self._waiting.setdefault(
            kind, Record(SOURCE, boottime_ms(), {KIND: kind, TEXT: text}, kind=Kind.EVENT)
        )
        self._pass_on()

    def flush(self) -> None:
        """Pass on what had to wait; called every second or so."""
        with self._locked():
            self._pass_on()

    def _pass_on(self) -> None:
        if self._waiting and self._say is not None and self._ready():
            for waiting in self._waiting.values():
                self._say(waiting)
            self._waiting = {}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _plain(record: logging.LogRecord, suffix: str) -> str:
    """The text of a line, short, of printable characters alone."""
    try:
        text = record.getMessage()
    except Exception:  # the log's own handler says what is wrong with it
        text = str(record.msg)
    text = "".join(char if char.isprintable() else " " for char in text)
    room = MAX_TEXT - len(suffix)
    return (text if len(text) <= room else f"{text[: room - 3]}...") + suffix
