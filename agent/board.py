"""The newest value of each signal, for those who look in."""

from __future__ import annotations

import threading
from collections import deque

from agent.record import Record, Scalar, State

MAX_BACKLOG = 2_000
"""Lines that a slow watcher may lag behind before it loses the oldest."""


class Board:
    """Live values for watchers. `observe` costs next to nothing while nobody watches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._news: deque[Record] = deque(maxlen=MAX_BACKLOG)
        self._last: dict[tuple[str, str], tuple[int, Scalar | None, State | None]] = {}
        self.watched = False

    def observe(self, record: Record) -> None:
        """Note a record, on the pipeline's thread."""
        last = self._last
        for path, value in record.values.items():
            last[record.source, path] = (record.boottime_ms, value, None)
        for path, state in record.states.items():
            last[record.source, path] = (record.boottime_ms, None, state)
        if self.watched:
            with self._lock:
                self._news.append(record)

    def take(self) -> list[Record]:
        """What was observed since the last call."""
        with self._lock:
            news = list(self._news)
            self._news.clear()
        return news

    def latest(self) -> list[tuple[str, str, int, Scalar | None, State | None]]:
        """The newest (source, path, boottime_ms, value, state) of all signals."""
        return [(s, p, *entry) for (s, p), entry in sorted(dict(self._last).items())]
