"""Looking through all rows in steps: what is intact, what is not, and getting past bad pages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.record import StorageClass
from agent.store.intervals import IntervalSet
from agent.store.rawrow import EPOCH_SHIFT, RawRow, intact, sound, well_typed
from agent.store.transaction import Moved

STEP_ROWS = 256
STEP_BYTES = 1 << 20
_SELECT = "SELECT id, first, last, n, epoch, boot, crc, body FROM"
_END = 1 << 62


class Batch(NamedTuple):
    """Rows behind a key. `last`: the key to go on behind, None at the end of the table.

    `broken`: SQLite could not read on at that point, or the keys do not rise.
    """

    rows: list[RawRow]
    bad: list[int]
    last: int | None
    broken: bool


def read(db: sqlite3.Connection, storage_class: StorageClass, after: int) -> Batch:
    """The next rows of a class behind key `after`; `bad` are keys of rows that are not intact."""
    rows: list[RawRow] = []
    bad: list[int] = []
    seen, size, at = 0, 0, after
    try:
        found = db.execute(
            f"{_SELECT} {storage_class.value} WHERE id > ? ORDER BY id LIMIT {STEP_ROWS}", (after,)
        )
        for item in found:
            if not isinstance(item[0], int) or item[0] <= at:
                return Batch(rows, bad, at, broken=True)
            seen += 1
            whole = well_typed(item) and intact(storage_class, row := RawRow._make(item))
            if whole:
                rows.append(row)
                at = row.id
                size += len(row.body)
                if size > STEP_BYTES:
                    return Batch(rows, bad, at, broken=False)
            else:
                bad.append(item[0])
                # A key that is wrong itself must not make us skip what follows.
                if sound(item[0], item[1], item[2], item[3]):
                    at = item[0]
    except (sqlite3.DatabaseError, OverflowError, UnicodeError):
        # The sqlite3 module steps ahead of the row it gives: the last good one may be missing. It
        # is broken even where that works: SQLite checks a page only when it loads it.
        last = _next_intact(db, storage_class, at)
        if last is not None:
            rows.append(last)
            at = last.id
        return Batch(rows, bad, at, broken=True)
    if seen < STEP_ROWS:
        return Batch(rows, bad, None, broken=False)
    return Batch(rows, bad, max(at, after), broken=at == after)


def _next_intact(db: sqlite3.Connection, storage_class: StorageClass, after: int) -> RawRow | None:
    """The row behind key `after`, None where it cannot be read or is not what was written."""
    try:
        item = db.execute(
            f"{_SELECT} {storage_class.value} WHERE id > ? ORDER BY id LIMIT 1", (after,)
        ).fetchone()
    except (sqlite3.DatabaseError, OverflowError, UnicodeError):
        return None
    if item is None or not well_typed(item) or item[0] <= after:
        return None
    row = RawRow._make(item)
    return row if intact(storage_class, row) else None


def _found(db: sqlite3.Connection, storage_class: StorageClass, key: int) -> bool:
    item = db.execute(
        f"SELECT first, last, n FROM {storage_class.value} WHERE id = ?", (key,)
    ).fetchone()
    return item is not None and sound(key, *item)


def beyond(db: sqlite3.Connection, storage_class: StorageClass, after: int) -> int | None:
    """Behind a bad page: the key behind which reading works again, None where there is none."""

    def readable(key: int) -> bool | None:
        try:
            item = db.execute(
                f"SELECT 1 FROM {storage_class.value} WHERE id >= ? ORDER BY id LIMIT 1", (key,)
            ).fetchone()
        except sqlite3.DatabaseError:
            return False
        if item is None:
            return None
        return _next_intact(db, storage_class, key - 1) is not None

    low, step = after, 1
    while (found := readable(low + step)) is False:
        step *= 2
        if low + step > _END:
            return None
    high = low + step
    low += step // 2
    while low + 1 < high:
        middle = (low + high) // 2
        answer = readable(middle)
        if answer is False:
            low = middle
        else:
            high, found = middle, answer
    return None if found is None else high - 1


@dataclass(slots=True)
class Findings:
    """What was found: the seqs in rows by epoch index, and the records by class.

    `bad`: rows that were not intact, whose length is as doubtful as the rest of them.
    """

    live: dict[int, IntervalSet] = field(default_factory=dict)
    count: dict[StorageClass, int] = field(default_factory=lambda: dict.fromkeys(StorageClass, 0))
    bad: bool = False

    def add(self, storage_class: StorageClass, key: int, first: int, last: int, n: int) -> None:
        """A row is there."""
        self.live.setdefault(key >> EPOCH_SHIFT, IntervalSet()).add(first, last)
        self.count[storage_class] += n

    def remove(self, storage_class: StorageClass, key: int, first: int, last: int, n: int) -> None:
        """A row that was there is gone."""
        self.live.setdefault(key >> EPOCH_SHIFT, IntervalSet()).remove(first, last)
        self.count[storage_class] -= n


class Scan:
    """A pass over the rows of the open outbox while it changes between the steps."""

    def __init__(self) -> None:
        self.findings = Findings()
        self._at: dict[StorageClass, int] = dict.fromkeys(StorageClass, 0)
        self._bad: set[tuple[StorageClass, int]] = set()
        self._order: Iterator[StorageClass] = iter(StorageClass)
        self._table: StorageClass | None = next(self._order)

    def follow(self, moved: list[Moved]) -> None:
        """Rows came and went; what lies ahead will be read anyway."""
        for item in moved:
            key = (item.storage_class, item.id)
            if item.sign < 0 and key in self._bad:
                self._bad.remove(key)  # it was never counted
            elif item.id <= self._at[item.storage_class]:
                change = self.findings.add if item.sign > 0 else self.findings.remove
                change(item.storage_class, item.id, item.first, item.last, item.n)

    def step(self, db: sqlite3.Connection) -> tuple[StorageClass, list[int]] | None:
        """Look at some rows; the bad ones, None when all are through.

        Raises sqlite3.DatabaseError where the file itself is damaged.
        """
        if self._table is None:
            return None
        table = self._table
        batch = read(db, table, self._at[table])
        if batch.broken:
            raise sqlite3.DatabaseError("the table cannot be read through")
        for key in [*(row.id for row in batch.rows), *batch.bad]:
            # Walking through the table finds rows that a damaged page above them hides.
            if not _found(db, table, key):
                raise sqlite3.DatabaseError("a row cannot be found by its key")
        for row in batch.rows:
            self.findings.add(table, row.id, row.first, row.last, row.n)
        self.findings.bad |= bool(batch.bad)
        self._bad.update((table, key) for key in batch.bad)
        if batch.last is None:
            self._at[table] = _END
            self._table = next(self._order, None)
        else:
            self._at[table] = batch.last
        return table, batch.bad
