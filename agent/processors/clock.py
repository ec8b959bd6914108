"""Decides what boot time was in UTC, from what the drivers state in `Vehicle.Bus.Utc`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.clock import OffsetRow, OffsetSource, believable
from agent.record import Record

UTC_PATH = "Vehicle.Bus.Utc"
MOVED_MS = 100
"""A row is added when the offset moves by more than this: serial latency is no move."""
_RANK = {source: rank for rank, source in enumerate(OffsetSource)}


class ClockTable:
    """The table of all boots known, and this boot's newest decision.

    `rows` is a new object whenever it changes. A fix must be confirmed by a second one, so that one
    wrong time changes nothing.
    """

    def __init__(self, boot: str, rows: Iterable[OffsetRow]) -> None:
        self._boot = boot
        self.rows: tuple[OffsetRow, ...] = tuple(rows)
        self._suspected: int | None = None

    def step(self, record: Record) -> Sequence[Record]:
        """Passes the record on as it is."""
        stated = record.values.get(UTC_PATH)
        if isinstance(stated, int) and not isinstance(stated, bool) and believable(stated):
            self._consider(stated - record.boottime_ms, record.boottime_ms)
        return (record,)

    def _consider(self, offset_ms: int, at_ms: int) -> None:
        mine = [row for row in self.rows if row.boot == self._boot]
        current = max(mine, key=lambda r: (_RANK[r.source], r.from_boottime_ms), default=None)
        if (
            current is not None
            and current.source is OffsetSource.GNSS
            and abs(offset_ms - current.utc_offset_ms) <= MOVED_MS
        ):
            self._suspected = None
            return
        if self._suspected is None or abs(offset_ms - self._suspected) > MOVED_MS:
            self._suspected = offset_ms
            return
        self._suspected = None
        self.rows = (*self.rows, OffsetRow(self._boot, at_ms, offset_ms, OffsetSource.GNSS))
