"""The books: each record and drop account of every vehicle, once, in one SQLite file.

One transaction books a whole group of messages and is durable when `commit` returns (WAL,
synchronous=FULL); only then may anything be acknowledged. Messages may come in any order, any
number of times: the books end up the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from cloud import schema
from cloud.absent import Epoch, absent, note_settled
from cloud.batch import Batch
from cloud.boots import Dated, book_offsets
from cloud.file_books import FileBooks, Key
from cloud.intake import Delivery, Intake
from cloud.intervals import Range
from cloud.notes import counters, note_counts, note_rejections, note_statuses
from cloud.rows import Row, content, row_of, same_content
from cloud.shelf import Shelf, keep
from cloud.spans import Spans, book_drops, note_thinned

_INSERT = f"INSERT INTO record VALUES({','.join('?' * 13)})"
_SELECT_RUN = "SELECT * FROM record WHERE vehicle=? AND epoch=? AND seq BETWEEN ? AND ?"
_KEEP_CONFLICT = "INSERT OR IGNORE INTO conflict VALUES(?,?,?,?,?)"


def ignore(_point: str) -> None:
    """The failpoint of ordinary operation."""


@dataclass(slots=True)
class Outcome:
    """What one commit found: new records, and per vehicle those that had come before.

    A conflict is a record that came under a known identity with other content for the first time;
    it counts as a duplicate too. `absent`: of epochs that were told of, what will never come.
    """

    records: int = 0
    duplicates: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[str] = field(default_factory=Counter)
    absent: dict[Epoch, list[Range]] = field(default_factory=dict)


class Ledger:
    """The only writer of a ledger file; used from one thread."""

    def __init__(self, path: Path, *, failpoint: Callable[[str], None] = ignore) -> None:
        """Opens or creates the file. LedgerUnusable if it is in use, damaged or of another kind.

        `failpoint` is called at "begin", "before-commit" and "after-commit" of each transaction.
        """
        self._failpoint = failpoint
        self._lock = schema.lock(path)
        try:
            self._db = schema.open_writer(path)
        except schema.LedgerUnusable:
            schema.unlock(self._lock)
            raise
        self._spans = Spans(self._db)
        self.shelf = Shelf(self._db)
        self.files = FileBooks(self._db)

    def close(self) -> None:
        self._db.close()
        schema.unlock(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def commit(self, intake: Intake) -> Outcome:
        """Books everything in `intake` durably, or nothing: then sqlite3.Error says why."""
        self._failpoint("begin")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            outcome = self._book(intake)
            self._failpoint("before-commit")
            self._db.execute("COMMIT")
        except BaseException:
            self._spans.forget()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._failpoint("after-commit")
        return outcome

    def settle_file(self, key: Key, *, whole: bool) -> None:
        """Books durably that a file is whole, or begins anew. Raises sqlite3.Error."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self.files.settle(key, whole=whole)

    def counters(self) -> dict[str, int]:
        """All counters of this ledger, those that never counted as 0."""
        return counters(self._db)

    def gaps(self, vehicle: str, epoch: str) -> list[Range]:
        """The seq below the largest known one that were neither delivered nor dropped."""
        return self._spans.of(vehicle, epoch).gaps()

    def _book(self, intake: Intake) -> Outcome:
        batches = [delivery.batch for delivery in intake.deliveries]
        dated = book_offsets(self._db, batches)
        outcome = self._book_records(intake.deliveries, dated)
        book_drops(self._db, self._spans, batches)
        note_thinned(self._db, batches)
        self.files.book(batches, intake.chunks)
        self._spans.book(batches)
        for key in note_settled(self._db, batches):
            if gone := absent(self._db, key, self._spans.of(*key)):
                outcome.absent[key] = gone
        note_statuses(self._db, intake.statuses)
        keep(self._db, intake.catalogues)
        if intake.rejections:
            note_rejections(self._db, intake.rejections)
        counted = {
            "messages": intake.messages,
            "bytes": intake.nbytes,
            "acks_sent": intake.acks_sent,
            "rejected": len(intake.rejections),
            "duplicates_received": outcome.duplicates.total(),
            "conflicts": outcome.conflicts.total(),
        }
        vehicles = {batch.vehicle for batch in batches}
        per_vehicle = [
            (name, outcome.duplicates[name], outcome.conflicts[name]) for name in vehicles
        ]
        note_counts(self._db, counted, per_vehicle)
        return outcome

    def _book_records(self, deliveries: Iterable[Delivery], dated: Dated) -> Outcome:
        outcome = Outcome()
        fresh: dict[tuple[str, str, int], Row] = {}
        for batch, received_boottime_ms in deliveries:
            known = self._known(batch)
            for record in batch.records:
                pieces = dated[batch.vehicle, record.boot]
                row = row_of(batch, record, received_boottime_ms, pieces)
                key = (batch.vehicle, batch.epoch, record.seq)
                before = known.get(record.seq) or fresh.get(key)
                if before is None:
                    fresh[key] = row
                    continue
                outcome.duplicates[batch.vehicle] += 1
                if not same_content(before, row):
                    kept = self._db.execute(
                        _KEEP_CONFLICT, (*key, content(row), row.received_boottime_ms)
                    ).rowcount
                    outcome.conflicts[batch.vehicle] += kept
        outcome.records = len(fresh)
        # In the order of the key, so that SQLite appends to each vehicle's last page.
        self._db.executemany(_INSERT, [fresh[key] for key in sorted(fresh)])
        return outcome

    def _known(self, batch: Batch) -> dict[int, Row]:
        """The records in the file under the identities of a batch, by seq."""
        span = self._spans.of(batch.vehicle, batch.epoch)
        known: dict[int, Row] = {}
        for first, last in batch.runs:
            # What was never accounted for has no record: new messages cost no query.
            if span.overlaps(first, last):
                rows = self._db.execute(_SELECT_RUN, (batch.vehicle, batch.epoch, first, last))
                known.update((row.seq, row) for row in map(Row._make, rows))
        return known
