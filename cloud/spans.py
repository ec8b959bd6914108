"""Which seq of each epoch are accounted for, delivered or dropped: proof that none is missing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cloud.acks import carried
from cloud.batch import Batch, Drop
from cloud.intervals import IntervalSet, Range

MAX_CACHED = 10_000
"""Epochs whose interval set stays in memory; the file holds any number."""


MISSING = "missing"
"""The reason of an account of numbers that a damaged vehicle has no more and knows nothing of."""


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


def book_drops(db: sqlite3.Connection, spans: Spans, batches: Sequence[Batch]) -> None:
    """Writes the drop accounts of the batches; they come again until they are acknowledged.

    To be called before `spans` knows of these batches.
    """
    stated = {(batch.vehicle, batch.epoch, drop) for batch in batches for drop in batch.drops}
    gaps: dict[tuple[str, str, Range], dict[str, int]] = {}
    for vehicle, epoch, drop in sorted(stated):
        if drop.reason == MISSING:
            counts = gaps.setdefault((vehicle, epoch, Range(drop.first, drop.last)), {})
            counts[drop.storage_class] = drop.n
        else:
            _book_drop(db, vehicle, epoch, drop)
    for (vehicle, epoch, gap), counts in gaps.items():
        known = IntervalSet(spans.of(vehicle, epoch))
        for batch in batches:
            if (batch.vehicle, batch.epoch) == (vehicle, epoch):
                for first, last in batch.runs:
                    known.add(first, last)
                for drop in batch.drops:
                    if drop.reason != MISSING:
                        known.add(drop.first, drop.last)
        for drop in missing(known.within(*gap), counts):
            _book_drop(db, vehicle, epoch, drop)


def missing(pieces: Iterable[Range], counts: Mapping[str, int]) -> Iterator[Drop]:
    """Accounts of exactly the numbers in `pieces`; `counts`: how many of which class, about.

    The vehicle has lost its books of them: it cannot know which of them arrived here.
    """
    rest = dict(counts)
    fallback = max(rest, key=lambda name: rest[name])
    for first, last in pieces:
        room = last - first + 1
        shares = {}
        for name in sorted(rest):
            shares[name] = min(room, rest[name])
            rest[name] -= shares[name]
            room -= shares[name]
        shares[fallback] += room
        for name, n in shares.items():
            if n:
                yield Drop(name, first, last, n, MISSING)


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
        " AND first BETWEEN ? AND ? AND last<=? AND reason=?",
        (*of_class, drop.first, drop.last, drop.last, drop.reason),
    )
    db.execute(
        "INSERT INTO dropped VALUES(?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET"
        " last=max(last, excluded.last), count=count+excluded.count, reason=excluded.reason",
        (*of_class, drop.first, drop.last, drop.n, drop.reason),
    )
