"""What other threads tell the pipeline: acks, refusals, records of the agent itself.

None of it has a stream of a driver, and none of it may wait for the pipeline, which may stand still
for a minute on a slow disk: it is put down here and fetched at the pipeline's next turn.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from agent.record import Record
from agent.store.rows import Loss, Range


@dataclass(frozen=True, slots=True)
class Said:
    """What was told since the last turn, each in the order in which it was told."""

    acked: Sequence[tuple[str, tuple[Range, ...]]]
    refused: Sequence[Loss]
    own: Sequence[Record]


class Asides:
    """Any thread tells, one fetches; no call blocks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._acked: list[tuple[str, tuple[Range, ...]]] = []
        self._refused: list[Loss] = []
        self._own: list[Record] = []

    def acknowledge(self, epoch: str, ranges: Sequence[Range]) -> None:
        """The cloud application has these on its own disk."""
        with self._lock:
            self._acked.append((epoch, tuple(ranges)))

    def refuse(self, loss: Loss) -> None:
        """This will never be delivered: drop it with an account."""
        with self._lock:
            self._refused.append(loss)

    def state(self, record: Record) -> None:
        """A record of the agent itself."""
        with self._lock:
            self._own.append(record)

    def fetch(self) -> Said:
        """All of it, which is then no longer here."""
        with self._lock:
            said = Said(self._acked, self._refused, self._own)
            self._acked, self._refused, self._own = [], [], []
        return said

    def put_back(self, own: Sequence[Record]) -> None:
        """These records come first at the next turn."""
        with self._lock:
            self._own = [*own, *self._own]
