"""Tells PID 1 that every loop is alive, and says once which one is not."""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent.alarms import Alarm, of
from agent.health import Supervision
from agent.protocol import Notifier

log = logging.getLogger("brain")


class Heartbeat:
    """Used by the main thread; without a beat PID 1 restarts the process."""

    def __init__(self, notifier: Notifier, table: Supervision) -> None:
        self._notifier = notifier
        self._table = table
        self._told: frozenset[str] = frozenset()

    def beat(self, status: Callable[[], str]) -> bool:
        """Feed the watchdog and state the `status`; False where a loop is late."""
        late = self._table.late()
        if not late:
            self._told = frozenset()
            self._notifier.send(WATCHDOG=1, STATUS=status())
            return True
        if self._told != late.keys():
            text = ", ".join(f"{name} ({seconds:.0f} s)" for name, seconds in late.items())
            log.error("stalled: %s", text, extra=of(Alarm.STALLED))
        self._told = frozenset(late)
        self._notifier.send(STATUS=f"stalled: {', '.join(late)}")
        return False
