"""How far each driver's stream has come, and which troubles were already told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from agent.alarms import Alarm, of
from agent.store.rows import Mark

STREAMS_REMEMBERED = 4
"""Streams per source: a driver that was replaced may come back once with the rest of its ring."""

MAX_SOURCES = 1_000
"""A laptop takes any name; memory must not grow with a stranger's choices."""

SILENCE_S = 60.0
"""A trouble that did not show for so long is news when it shows again."""


class Progress:
    """One stream of a source: numbers up to `received` were passed on, up to `durable` are on
    flash. Both outlive the connection: what was passed on is not taken twice."""

    __slots__ = ("durable", "received", "stream")

    def __init__(self, stream: str, durable: int = 0) -> None:
        self.stream = stream
        self.received = durable
        self.durable = durable


class ProgressBook:
    """The progress of all sources, begun with the marks of the store."""

    def __init__(self, marks: Mapping[str, Mark]) -> None:
        self._sources = {
            source: [Progress(mark.stream, mark.upto)] for source, mark in marks.items()
        }

    def of(self, source: str, stream: str) -> Progress:
        """The progress of a stream, from 0 where it is new. Raises ValueError: too many sources."""
        streams = self._sources.get(source)
        if streams is None:
            if len(self._sources) >= MAX_SOURCES:
                raise ValueError(f"{MAX_SOURCES} sources are known, no more are taken")
            streams = self._sources[source] = []
        for progress in streams:
            if progress.stream == stream:
                return progress
        streams.append(Progress(stream))
        del streams[:-STREAMS_REMEMBERED]
        return streams[-1]

    def confirm(self, source: str, mark: Mark) -> None:
        """The store committed `mark`."""
        for progress in self._sources.get(source, ()):
            if progress.stream == mark.stream:
                progress.durable = max(progress.durable, mark.upto)


class Troubles:
    """Logs a trouble when it begins or changes, not each time it happens."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._seen: dict[tuple[str, str], tuple[str, float, float]] = {}

    def tell(self, who: str, what: str, detail: str, *, news: str = "") -> None:
        """Log `who: what: detail` where `who` did not have the trouble `what` within the last
        minute, or had it with other `news`; at most one a second."""
        now = self._clock()
        before, told_at, at = self._seen.get((who, what), (None, float("-inf"), 0.0))
        fresh = before != news or now - at > SILENCE_S
        if fresh and now - told_at >= 1.0:
            told_at = now
            self._log.warning("%s: %s: %s", who, what, detail, extra=of(Alarm.SPEAKER_REFUSED))
        if len(self._seen) > MAX_SOURCES:  # names are a stranger's choice
            self._seen.clear()
        self._seen[who, what] = (news, told_at, now)
