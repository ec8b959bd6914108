"""Reads committed rows through a connection of its own; never writes, never holds up the writer."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from agent.clock import OffsetRow
from agent.record import StorageClass
from agent.store import accounts, body, opening, schema
from agent.store.body import EPOCH_SHIFT, RawRow, row_id
from agent.store.rows import Drop, Row, RowDamaged, RowHead
from agent.store.salvage import unsalvaged

_HEAD = "SELECT id, first, last, epoch, boot, length(body) FROM"
_CLASSES = tuple(StorageClass)

READ_ERRORS = (sqlite3.Error, schema.Damaged, FileNotFoundError)
"""What reading may raise while the writer replaces a damaged file; look again a little later."""


class OutboxReader:
    """Use from one thread. Follows the file when a damaged one was replaced."""

    def __init__(self, directory: Path) -> None:
        """Raises FileNotFoundError where there is no outbox."""
        self._path = directory / schema.FILE
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._index: dict[str, int] = {}
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
        found = (
            self._connect()
            .execute(
                "SELECT id, first, last, n, epoch, boot, crc, body"
                f" FROM {head.storage_class.value} WHERE id = ?",
                (self._key(head),),
            )
            .fetchone()
        )
        if found is None:
            raise KeyError(head.first)
        if not body.well_typed(found):
            raise RowDamaged(head, "its columns have types that nobody wrote")
        row = RawRow._make(found)
        if not body.intact(head.storage_class, row):
            raise RowDamaged(head, "its checksum does not match")
        try:
            records = body.records(row.body)
        except ValueError as error:
            raise RowDamaged(head, str(error)) from error
        if len(records) != head.n:
            raise RowDamaged(head, f"it holds {len(records)} records, not {head.n}")
        return Row(head, records)

    def drops(self) -> list[Drop]:
        """Accounts of drops that the far end has not acknowledged."""
        return list(accounts.load(self._connect()).values())

    def offsets(self) -> list[OffsetRow]:
        """The table of UTC offsets."""
        return opening.offsets(self._connect())

    def summary(self) -> Mapping[str, object]:
        """The books, counted from the rows themselves: what `brain audit` shows.

        `balanced`: accepted = acknowledged + queued + dropped, with queued counted from the rows;
        `gaps`: rows whose numbers overlap or do not agree with their count.
        """
        db = self._connect()
        db.execute("BEGIN")
        try:
            state = schema.read_state(db)
            drops = list(accounts.load(db).values())
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
            db.execute("COMMIT")
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
            wrong += not body.sound(key, first, last, n) or begins <= before
            before = begins + n - 1
        return queued, wrong

    def _heads(self, storage_class: StorageClass, sql: str, key: int, limit: int) -> list[RowHead]:
        found = self._connect().execute(sql, (key, limit)).fetchall()
        heads = []
        for row_key, first, last, epoch, boot, nbytes in found:
            self._index[epoch] = row_key >> EPOCH_SHIFT
            heads.append(RowHead(storage_class, epoch, first, last, boot, nbytes))
        return heads

    def _key(self, head: RowHead) -> int:
        if head.epoch not in self._index:
            state = schema.read_state(self._connect())
            self._index = {epoch.name: epoch.index for epoch in state.epochs}
        return row_id(self._index.get(head.epoch, 0), head.first)

    def _connect(self) -> sqlite3.Connection:
        inode = os.stat(self._path).st_ino
        if self._db is not None and inode != self._inode:
            self.close()
        if self._db is None:
            self._db = schema.connect(self._path, readonly=True)
            self._inode = inode
            self._index = {}
        return self._db
