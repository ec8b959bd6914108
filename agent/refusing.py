"""Says that the outbox refuses: one alarm a trouble, however often it takes a little in between."""

from __future__ import annotations

import logging
import time

from agent.alarms import Alarm, of
from agent.store.rows import OutboxFull

log = logging.getLogger("brain.pipeline")

CALM_S = 60.0
"""So long it must have taken everything before the next refusal is another trouble. A disk full of
alarms refuses and accepts by turns while the far end's acknowledgements make room."""


class Refusing:
    """Used by the pipeline's thread."""

    def __init__(self) -> None:
        self._refusing = False
        self._since_over: float | None = None

    def told(self, error: OutboxFull) -> None:
        """A commit was refused."""
        if self._refusing:
            return
        self._refusing = True
        over = self._since_over
        if over is None or time.monotonic() - over >= CALM_S:
            log.error("%s", error, extra=of(Alarm.OUTBOX_REFUSES))
        else:
            log.warning("%s", error)

    def over(self) -> None:
        """A commit succeeded."""
        self._refusing = False
        self._since_over = time.monotonic()
        log.warning("the outbox accepts again")
