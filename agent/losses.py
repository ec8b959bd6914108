"""Says what the outbox lost: one alarm for damage, one for records given up for want of room."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from agent.alarms import Alarm, of
from agent.store.accounts import DAMAGED, MISSING

log = logging.getLogger("brain.pipeline")

PATIENCE_S = 10.0
"""Salvage may take minutes and the ignition may go off: the alarm waits so long for its end."""
BEGUN_S = 1.0
"""An outbox that was opened damaged is told of once the agent records: first things first."""
CALM_S = 3600.0
"""What happens again within that is the same trouble."""
_GIVES_UP = {
    "quota": "the outbox is at its quota",
    "age": "records have waited for longer than [store.quota_hours] allows",
    "disk_full": "the disk is full",
}


class Store(Protocol):
    """The outbox, as far as it tells of losses."""

    def given_up(self) -> Mapping[str, int]: ...
    def salvaging(self) -> bool: ...
    def work_left(self) -> bool: ...


class Losses:
    """Used by the pipeline's thread; `problem` is read by any."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, int] = {}
        self._since: float | None = None
        self._begun_at = clock() + BEGUN_S
        self._lost = 0
        self._called = False
        self._last: dict[str, float] = {}
        self.problem: str | None = None
        """What is still to be looked through, None where all is whole."""

    def look(self) -> None:
        """After anything that may have cost records."""
        given_up = self._store.given_up()
        fresh = {r: n - self._known.get(r, 0) for r, n in given_up.items()}
        self._known = dict(given_up)
        self._damage(fresh.get(DAMAGED, 0) + fresh.get(MISSING, 0))
        for reason, text in _GIVES_UP.items():
            if fresh.get(reason, 0) > 0:
                self._call(
                    Alarm.OUTBOX_GIVES_UP,
                    f"{text}: what was not delivered is given up, see: brain audit",
                    reason,
                )

    def end(self) -> None:
        """Nobody will look any more in this life."""
        if self._since is not None and not self._called:
            self._tell("so far")

    def _damage(self, lost: int) -> None:
        now, salvaging = self._clock(), self._store.salvaging()
        if self._since is None:
            if not salvaging and lost <= 0:
                return
            self._since, self._lost, self._called = now, 0, False
            if salvaging:
                log.warning("the outbox was damaged: what can be read of it is brought back")
        self._lost += max(0, lost)
        self.problem = "the outbox was damaged: what can be read of it is brought back"
        if now < self._begun_at:
            return
        if not self._store.work_left():
            if self._called:
                log.warning("the outbox is whole again, records lost: %d", self._lost)
            else:
                self._tell("in all")
            self._since = self.problem = None
        elif not self._called and now - self._since >= PATIENCE_S:
            self._tell("so far")

    def _tell(self, when: str) -> None:
        self._called = True
        text = f"the outbox was damaged, records lost {when}: {self._lost}; see: brain audit"
        self._call(Alarm.OUTBOX_DAMAGED, text, DAMAGED)

    def _call(self, alarm: Alarm, text: str, reason: str) -> None:
        """One alarm a trouble; what comes again soon has its line only where it is news."""
        now = self._clock()
        before, self._last[reason] = self._last.get(reason), now
        if before is None or now - before >= CALM_S:
            log.error("%s", text, extra=of(alarm))
        elif reason == DAMAGED:
            log.warning("%s", text)
