"""What waits in the outbox: finds the rows that nobody carries, without looking at all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from agent.clock import OffsetRow
from agent.record import StorageClass
from agent.store.rows import Drop, Row, RowHead
from agent.uplink.delivery import Delivery
from agent.uplink.flight import Cargo
from agent.uplink.plan import MAX_RECORDS, Batch, Priority, Waiting

FEW_ROWS, LOOK_ROWS = 64, 800
"""Rows to look up for the next batch: few are enough where each has many records."""
NEWEST_ROWS = 64
FORGET_S = 5.0
"""Rows may appear behind the cursor: what was salvaged from a damaged file is of an older epoch."""


class Reader(Protocol):
    """What the uplink reads of the outbox."""

    def oldest(
        self, storage_class: StorageClass, after: RowHead | None, limit: int
    ) -> list[RowHead]: ...
    def newest(self, storage_class: StorageClass, limit: int) -> list[RowHead]: ...
    def load(self, head: RowHead) -> Row: ...
    def drops(self) -> list[Drop]: ...
    def thinned(self, epoch: str) -> list[Drop]: ...
    def settled(self, epoch: str) -> int: ...
    def offsets(self) -> list[OffsetRow]: ...
    def close(self) -> None: ...


class Lookout:
    """Owns the reader. All times are seconds of one monotonic clock."""

    def __init__(self, make_reader: Callable[[], Reader], delivery: Delivery) -> None:
        self._make_reader = make_reader
        self._delivery = delivery
        self._reader: Reader | None = None
        self._cursor: dict[StorageClass, RowHead] = {}
        self._cursor_since = 0.0
        self._live_after: RowHead | None = None
        self.resurrected: list[RowHead] = []
        """Rows that the far end has acknowledged and the outbox has still, or again: a damaged file
        that was salvaged brings them back. Whoever reads them tells the outbox once more."""
        self.history_since: float | None = None
        """Since when history waits for company; None where none waits."""

    @property
    def reader(self) -> Reader:
        """The open reader. Raises READ_ERRORS where there is no outbox just now."""
        if self._reader is None:
            self._reader = self._make_reader()
        return self._reader

    def close(self) -> None:
        """Close the reader; the next look opens a new one and begins at the oldest row."""
        self.begin_anew()
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def begin_anew(self) -> None:
        """Rows that were under way may be open again."""
        self._cursor.clear()

    def waiting(self, now: float, split: Sequence[Cargo]) -> Waiting:
        """All that may be sent; `split`: cargo that waits already and must not go twice."""
        if now - self._cursor_since > FORGET_S:
            self._cursor_since = now
            self.begin_anew()
        alarm, _ = self._look(StorageClass.ALARM, split)
        history, more = self._look(StorageClass.HISTORY, split)
        bulk, _ = self._look(StorageClass.BULK, split)
        if more:
            heads = self.reader.newest(StorageClass.HISTORY, NEWEST_ROWS)
            newest = self._delivery.open_rows(heads, split)
        else:
            newest = history[: -NEWEST_ROWS - 1 : -1]
        if not history:
            self.history_since = None
        elif self.history_since is None:
            self.history_since = now
        waited_s = 0.0 if self.history_since is None else now - self.history_since
        drops = self._delivery.open_drops(self.reader.drops(), split)
        return Waiting(alarm, history, newest, bulk, drops, waited_s, more, self._live_after)

    def chosen(self, batch: Batch) -> None:
        """This batch is sent now."""
        if batch.priority not in (Priority.LIVE, Priority.HISTORY):
            return
        self.history_since = None
        if not batch.heads:
            return
        after, newest = self._live_after, batch.heads[-1]
        same = after is not None and after.epoch == newest.epoch
        # Backfill of an older epoch says nothing about how fresh the freshest was.
        if after is None or (newest.last > after.last if same else batch.priority is Priority.LIVE):
            self._live_after = newest

    def _look(
        self, storage_class: StorageClass, split: Sequence[Cargo]
    ) -> tuple[list[RowHead], bool]:
        """Open rows behind the cursor, and whether there are more than were looked at."""
        limit = FEW_ROWS
        while True:
            heads = self.reader.oldest(storage_class, self._cursor.get(storage_class), limit)
            found = self._delivery.open_rows(heads, split)
            self.resurrected += [
                head
                for head in heads
                if self._delivery.acknowledged(head.epoch, head.first, head.last)
            ]
            more = len(heads) == limit
            # What lies before the first open row is under way or done: do not look again.
            first = heads.index(found[0]) if found else len(heads)
            if first:
                self._cursor[storage_class] = heads[first - 1]
            enough = limit == LOOK_ROWS or sum(head.n for head in found) > MAX_RECORDS
            if not more or (found and enough):
                return found, more
            limit = LOOK_ROWS
