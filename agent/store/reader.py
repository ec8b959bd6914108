"""Reads committed rows through a connection of its own; never writes, never holds up the writer."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from agent.clock import OffsetRow
from agent.record import StorageClass
from agent.store import rawrow, schema, tables
from agent.store.body import content
from agent.store.rawrow import EPOCH_SHIFT, RawRow, row_id
from agent.store.room import suspect
from agent.store.rows import Drop, Row, RowDamaged, RowHead
from agent.store.salvage import unsalvaged
from agent.store.state import State

T = TypeVar("T")
THINNED = "thinned"
_HEAD = "SELECT id, first, last, n, epoch, boot, length(body) FROM"
_CLASSES = tuple(StorageClass)

READ_ERRORS = (sqlite3.Error, schema.Damaged, OSError)
"""What reading may raise while the writer replaces a damaged file, or the disk fails; look again a
little later."""


class OutboxReader:
    """Use from one thread. Follows the file when a damaged one was replaced."""

    def __init__(self, directory: Path) -> None:
        """Raises FileNotFoundError where there is no outbox."""
        self._directory = directory
        self._path = directory / schema.FILE
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._index: dict[str, int] = {}
        self._missed: set[RowHead] = set()
        self._connect()

    def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def oldest(
        self, storage_class: StorageClass, after: RowHead | None, limit: int
    ) -> list[RowHead]:
        """The first `limit` rows behind `after`, oldest epoch first."""
        key = 0 if after is None else self._key(after)
        sql = f"{_HEAD} {storage_class.value} WHERE id > ? ORDER BY id LIMIT ?"
        return self._heads(storage_class, sql, key, limit)

    def newest(self, storage_class: StorageClass, limit: int) -> list[RowHead]:
        """The last `limit` rows, newest first."""
        sql = f"{_HEAD} {storage_class.value} WHERE id > ? ORDER BY id DESC LIMIT ?"
        return self._heads(storage_class, sql, 0, limit)

    def load(self, head: RowHead) -> Row:
        """A row with its records. Raises RowDamaged, or KeyError where it is gone."""
        try:
            return self._load(head)
        except RowDamaged:
            if os.stat(self._path).st_ino != self._inode:
                raise KeyError(head.first) from None  # of the file that was replaced meanwhile
            suspect(self._directory)
            raise

    def _load(self, head: RowHead) -> Row:
        # Who lists rows has just looked whether it is still the same file.
        rows = self._ask(
            "SELECT id, first, last, n, epoch, boot, crc, body"
            f" FROM {head.storage_class.value} WHERE id = ?",
            (self._key(head),),
            self._db,
        )
        if not rows:
            # A row that was deleted is not listed again; one that is lies under a damaged page.
            if head in self._missed:
                raise RowDamaged(head, "it cannot be found by its key")
            self._missed.add(head)
            raise KeyError(head.first)
        (found,) = rows
        if not rawrow.well_typed(found):
            raise RowDamaged(head, "its columns have types that nobody wrote")
        row = RawRow._make(found)
        if (row.last, len(row.body)) != (head.last, head.nbytes):
            raise KeyError(head.first)  # thinned meanwhile: another row begins where it began
        if not rawrow.intact(head.storage_class, row):
            raise RowDamaged(head, "its checksum does not match")
        try:
            block, seqs = content(row)
        except ValueError as error:
            raise RowDamaged(head, str(error)) from error
        if len(block) != head.n:
            raise RowDamaged(head, f"it holds {len(block)} records, not {head.n}")
        return Row(head, block, seqs if head.thinned else ())

    def drops(self) -> list[Drop]:
        """Accounts of drops that the far end has not acknowledged."""
        return list(self._small(tables.drops).values())

    def thinned(self, epoch: str) -> list[Drop]:
        """What was thinned away in the queued history of an epoch: one range that holds all of it.

        Records that wait lie in the range too; the exact accounts are the holes of its rows.
        """

        def holes(db: sqlite3.Connection, state: State) -> tuple[Any, ...]:
            known = state.epoch(epoch)
            low, end = (row_id(known.index, 0), row_id(known.index + 1, 0)) if known else (0, 0)
            # Asked at each connection: a month that was never thinned must not be read for it.
            return tuple(
                db.execute(
                    "SELECT min(first), max(last), sum(last - first + 1 - n) FROM history"
                    " WHERE id BETWEEN ? AND ? AND n < last - first + 1",
                    (low, min(end - 1, state.holed)),
                ).fetchone()
            )

        first, last, count = self._small(holes)
        if not count:
            return []
        return [Drop(StorageClass.HISTORY, epoch, first, last, count, THINNED)]

    def settled(self, epoch: str) -> int:
        """Up to which seq of an epoch no record and no account waits; 0 where nobody knows."""
        return self._small(lambda db, state: tables.settled(db, state, epoch))

    def offsets(self) -> list[OffsetRow]:
        """The table of UTC offsets."""
        return self._small(tables.offsets)

    def _small(self, table: Callable[[sqlite3.Connection, State], T]) -> T:
        """Read one of the small tables together with the state that vouches for it."""
        db = self._connect()
        try:
            db.execute("BEGIN")
            try:
                return table(db, schema.read_state(db))
            finally:
                db.execute("ROLLBACK")
        except (sqlite3.Error, schema.Damaged) as error:
            self._doubt(error)
            raise

    def _ask(
        self, sql: str, values: tuple[object, ...], db: sqlite3.Connection | None = None
    ) -> list[tuple[Any, ...]]:
        try:
            return (db or self._connect()).execute(sql, values).fetchall()
        except sqlite3.Error as error:
            self._doubt(error)
            raise

    def _doubt(self, error: BaseException) -> None:
        """Only the writer can mend what is damaged: ask it."""
        if schema.is_damage(error):
            suspect(self._directory)

    def summary(self) -> Mapping[str, object]:
        """The books, counted from the rows themselves: what `brain audit` shows.

        `balanced`: accepted = acknowledged + queued + dropped, with queued counted from the rows;
        `gaps`: rows whose numbers overlap or do not agree with their count.
        """
        try:
            return self._summary(self._connect())
        except (sqlite3.Error, schema.Damaged) as error:
            self._doubt(error)
            raise

    def _summary(self, db: sqlite3.Connection) -> Mapping[str, object]:
        db.execute("BEGIN")
        try:
            state = schema.read_state(db)
            drops = list(tables.drops(db, state).values())
            by_class: dict[str, dict[str, int]] = {}
            gaps = 0
            for storage_class in _CLASSES:
                tally = state.tally(storage_class)
                queued, wrong = self._count(db, storage_class)
                if state.salvage:
                    queued += state.salvage.expected.get(storage_class.value, 0)
                gaps += wrong
                by_class[storage_class.value] = {
                    "accepted": tally.accepted,
                    "acknowledged": tally.acknowledged,
                    "queued": queued,
                    "dropped": tally.dropped,
                }
        finally:
            db.execute("ROLLBACK")
        total = {
            key: sum(counts[key] for counts in by_class.values())
            for key in ("accepted", "acknowledged", "queued", "dropped")
        }
        balanced = all(
            c["accepted"] == c["acknowledged"] + c["queued"] + c["dropped"]
            for c in by_class.values()
        )
        return {
            "epochs": [epoch.name for epoch in state.epochs],
            **total,
            "balanced": balanced,
            "salvaging": unsalvaged(state),
            "by_class": by_class,
            "drops": [
                {
                    "class": drop.storage_class.value,
                    "epoch": drop.epoch,
                    "first": drop.first,
                    "last": drop.last,
                    "count": drop.count,
                    "reason": drop.reason,
                }
                for drop in drops
            ],
            "gaps": gaps,
        }

    @staticmethod
    def _count(db: sqlite3.Connection, storage_class: StorageClass) -> tuple[int, int]:
        queued = wrong = before = 0
        rows = db.execute(f"SELECT id, first, last, n FROM {storage_class.value} ORDER BY id")
        for key, first, last, n in rows:
            queued += n
            begins = key >> EPOCH_SHIFT << EPOCH_SHIFT | first
            wrong += not rawrow.sound(key, first, last, n) or begins <= before
            before = begins + last - first
        return queued, wrong

    def _heads(self, storage_class: StorageClass, sql: str, key: int, limit: int) -> list[RowHead]:
        heads = []
        rising, before = "DESC" not in sql, key
        for row_key, first, last, n, epoch, boot, nbytes in self._ask(sql, (key, limit)):
            if rising and row_key <= before:
                # Under a damaged page keys may run in a circle: whoever pages would never end.
                suspect(self._directory)
                break
            before = row_key
            known = rawrow.sound(row_key, first, last, n) and isinstance(epoch, str)
            if not known or self._epoch_index(epoch) != row_key >> EPOCH_SHIFT:
                suspect(self._directory)
                continue
            thinned = last - first + 1 - n
            heads.append(RowHead(storage_class, epoch, first, last, boot, nbytes or 0, thinned))
        return heads

    def _key(self, head: RowHead) -> int:
        return row_id(self._epoch_index(head.epoch), head.first)

    def _epoch_index(self, name: str) -> int:
        """The place of an epoch in the row keys, 0 where it is unknown."""
        if name not in self._index:
            state = self._small(lambda _db, state: state)
            self._index = {epoch.name: epoch.index for epoch in state.epochs}
        return self._index.get(name, 0)

    def _connect(self) -> sqlite3.Connection:
        inode = os.stat(self._path).st_ino
        if self._db is not None and inode != self._inode:
            self.close()
        if self._db is None:
            self._db = schema.connect(self._path, readonly=True)
            self._inode = inode
            self._index = {}
            self._missed = set()
        return self._db
