"""Which files vehicles announced, which blocks of them are on disk, which records wait for them.

file         one row a file of a vehicle; `again`: how often it was complete and another one
file_block   the blocks that are durable, as disjoint runs
file_record  FILE records that are acknowledged when their file is whole
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from cloud.batch import Batch
from cloud.chunk import Chunk, missing_blocks
from cloud.intervals import IntervalSet, Range

TABLES = """
CREATE TABLE IF NOT EXISTS file(
  vehicle TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL, media_type TEXT NOT NULL,
  path TEXT NOT NULL, whole INTEGER NOT NULL DEFAULT 0, again INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(vehicle, sha256)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS file_block(
  vehicle TEXT NOT NULL, sha256 TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  PRIMARY KEY(vehicle, sha256, first)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS file_record(
  vehicle TEXT NOT NULL, sha256 TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(vehicle, sha256, epoch, seq)) WITHOUT ROWID;
"""

Key = tuple[str, str]
"""Vehicle and sha256."""


class Known(NamedTuple):
    """What is known of a file. `again`: how often it was complete and had another sha256."""

    size: int
    whole: bool
    again: int


def manifests(batches: Iterable[Batch]) -> list[tuple[Key, Batch, int]]:
    """(file, batch, position of the record) of all records that name a file."""
    return [
        ((batch.vehicle, record.blob.sha256), batch, at)
        for batch in batches
        for at, record in enumerate(batch.records)
        if record.kind == "file" and record.blob is not None
    ]


class FileBooks:
    """On the ledger's connection; `book` runs within its transactions."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.executescript(TABLES)

    def known(self, key: Key) -> Known | None:
        """A file that was announced, else None."""
        row = self._db.execute(
            "SELECT size, whole, again FROM file WHERE vehicle=? AND sha256=?", key
        ).fetchone()
        return None if row is None else Known(row[0], bool(row[1]), row[2])

    def missing(self, key: Key) -> list[Range]:
        """The blocks that are not on disk, ascending; empty for a file nobody announced."""
        known = self.known(key)
        if known is None or known.whole or not known.size:
            return []
        here = IntervalSet(self._blocks(key))
        last = missing_blocks(known.size) - 1
        gaps = here.gaps(0)
        since = max((run.last + 1 for run in here), default=0)
        return [*gaps, Range(since, last)] if since <= last else gaps

    def waiting(self, key: Key) -> list[tuple[str, int]]:
        """(epoch, seq) of the records that wait for a file."""
        return self._db.execute(
            "SELECT epoch, seq FROM file_record WHERE vehicle=? AND sha256=?", key
        ).fetchall()

    def has_blocks(self, key: Key) -> bool:
        """Whether anything of a file is on disk."""
        return bool(self._blocks(key))

    def book(self, batches: Iterable[Batch], chunks: Iterable[Chunk]) -> None:
        """Notes what was announced and what is durable on disk."""
        for (vehicle, sha256), batch, at in manifests(batches):
            record = batch.records[at]
            assert record.blob is not None
            blob = record.blob
            self._db.execute(
                "INSERT INTO file(vehicle, sha256, size, media_type, path) VALUES(?,?,?,?,?)"
                " ON CONFLICT DO UPDATE SET size=excluded.size WHERE NOT whole",
                (vehicle, sha256, blob.size, blob.media_type, blob.path),
            )
            self._db.execute(
                "INSERT OR IGNORE INTO file_record VALUES(?,?,?,?)",
                (vehicle, sha256, batch.epoch, record.seq),
            )
        for chunk in chunks:
            self._book_blocks((chunk.vehicle, chunk.sha256), chunk.first, chunk.last)

    def settle(self, key: Key, *, whole: bool) -> None:
        """A file is whole, or begins anew since its sha256 is another one."""
        if whole:
            self._db.execute("UPDATE file SET whole=1 WHERE vehicle=? AND sha256=?", key)
        else:
            self._db.execute("UPDATE file SET again=again+1 WHERE vehicle=? AND sha256=?", key)
        self._db.execute("DELETE FROM file_block WHERE vehicle=? AND sha256=?", key)

    def _blocks(self, key: Key) -> list[tuple[int, int]]:
        return self._db.execute(
            "SELECT first, last FROM file_block WHERE vehicle=? AND sha256=? ORDER BY first", key
        ).fetchall()

    def _book_blocks(self, key: Key, first: int, last: int) -> None:
        here = IntervalSet(self._blocks(key))
        growth = here.add(first, last)
        if growth is None:
            return
        self._db.executemany(
            "DELETE FROM file_block WHERE vehicle=? AND sha256=? AND first=?",
            [(*key, old.first) for old in growth.absorbed],
        )
        self._db.execute("INSERT INTO file_block VALUES(?,?,?,?)", (*key, *growth.merged))
