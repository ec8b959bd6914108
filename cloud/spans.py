"""Which seq of each epoch are accounted for, delivered or dropped: proof that none is missing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from cloud.acks import carried
from cloud.batch import Batch, Drop
from cloud.intervals import IntervalSet

MAX_CACHED = 10_000
"""Epochs whose interval set stays in memory; the file holds any number."""


class Spans:
    """The interval sets of the `span` table, kept in memory while in use."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._sets: dict[tuple[str, str], IntervalSet] = {}

    def of(self, vehicle: str, epoch: str) -> IntervalSet:
        """The set of one epoch; change it through `book` only."""
        found = self._sets.get((vehicle, epoch))
        if found is None:
            rows = self._db.execute(
                "SELECT first, last FROM span WHERE vehicle=? AND epoch=? ORDER BY first",
                (vehicle, epoch),
            )
            if len(self._sets) >= MAX_CACHED:
                self._sets.clear()
            found = self._sets[vehicle, epoch] = IntervalSet(rows)
        return found

    def forget(self) -> None:
        """After a transaction that failed: what is in memory was never written."""
        self._sets.clear()

    def book(self, batches: Iterable[Batch]) -> None:
        """Adds what the batches carried, and writes only the intervals that changed."""
        gone: set[tuple[str, str, int]] = set()
        grown: dict[tuple[str, str, int], int] = {}
        for batch in batches:
            of = self.of(batch.vehicle, batch.epoch)
            for first, last in carried(batch):
                growth = of.add(first, last)
                if growth is None:
                    continue
                for old in growth.absorbed:
                    key = (batch.vehicle, batch.epoch, old.first)
                    grown.pop(key, None)
                    gone.add(key)
                key = (batch.vehicle, batch.epoch, growth.merged.first)
                gone.discard(key)
                grown[key] = growth.merged.last
        self._db.executemany(
            "DELETE FROM span WHERE vehicle=? AND epoch=? AND first=?", sorted(gone)
        )
        self._db.executemany(
            "INSERT OR REPLACE INTO span VALUES(?,?,?,?)",
            [(*key, last) for key, last in sorted(grown.items())],
        )


def note_thinned(db: sqlite3.Connection, batches: Iterable[Batch]) -> None:
    """What was said last counts: it is no account, the exact drops follow with what is left."""
    db.executemany(
        "INSERT OR REPLACE INTO thinned VALUES(?,?,?,?,?,?)",
        [
            (batch.vehicle, batch.epoch, said.storage_class, said.first, said.last, said.n)
            for batch in batches
            for said in batch.thinned
        ],
    )


def book_drops(db: sqlite3.Connection, batches: Iterable[Batch]) -> None:
    """Writes the drop accounts of the batches; they come again until they are acknowledged."""
    stated = {(batch.vehicle, batch.epoch, drop) for batch in batches for drop in batch.drops}
    for vehicle, epoch, drop in sorted(stated):
        _book_drop(db, vehicle, epoch, drop)


def _book_drop(db: sqlite3.Connection, vehicle: str, epoch: str, drop: Drop) -> None:
    """An account that grew replaces what it contains; one within another is known already."""
    of_class = (vehicle, epoch, drop.storage_class)
    before = db.execute(
        "SELECT last FROM dropped WHERE vehicle=? AND epoch=? AND class=? AND first<=?"
        " ORDER BY first DESC LIMIT 1",
        (*of_class, drop.first),
    ).fetchone()
    if before is not None and before[0] >= drop.last:
        return
    db.execute(
        "DELETE FROM dropped WHERE vehicle=? AND epoch=? AND class=?"
        " AND first BETWEEN ? AND ? AND last<=?",
        (*of_class, drop.first, drop.last, drop.last),
    )
    db.execute(
        "INSERT INTO dropped VALUES(?,?,?,?,?,?,?)",
        (*of_class, drop.first, drop.last, drop.n, drop.reason),
    )
