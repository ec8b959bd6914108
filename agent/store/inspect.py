"""Looking into an outbox from the command line: SQL over the records, an export, a full check."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from agent import clock
from agent.record import StorageClass
from agent.store import schema, tables
from agent.store.body import units
from agent.store.rawrow import RawRow, intact, well_typed

COLUMNS = (
    *("epoch", "seq", "class", "source", "boot", "boottime_ms", "utc_ms", "kind"),
    *("vals", "states", "blob"),
)
_CREATE = (
    "CREATE TABLE record (epoch TEXT, seq INTEGER, class TEXT, source TEXT, boot TEXT,"
    " boottime_ms INTEGER, utc_ms INTEGER, kind TEXT, vals TEXT, states TEXT, blob TEXT,"
    " PRIMARY KEY (epoch, seq)) WITHOUT ROWID"
)


def query(directory: Path, sql: str) -> tuple[list[str], list[tuple[object, ...]]]:
    """Run one SELECT over the table `record`, made in RAM of what is queued now.

    Column names and rows. Raises ValueError where SQLite does not like the SQL,
    FileNotFoundError where there is no outbox.
    """
    with closing(sqlite3.connect(":memory:")) as db:
        _fill(db, directory)
        db.execute("PRAGMA query_only = ON")
        try:
            cursor = db.execute(sql)
            return [item[0] for item in cursor.description or ()], cursor.fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            known = ", ".join(COLUMNS)
            raise ValueError(f"{error}; the table is record ({known})") from error


def export_sqlite(directory: Path, target: Path) -> int:
    """Write what is queued into a new SQLite file; the number of records.

    Raises FileExistsError where `target` exists: it is never overwritten.
    """
    from sqlite_utils import Database

    if target.exists():
        raise FileExistsError(f"{target} exists; give a new name")
    with closing(sqlite3.connect(target)) as db:
        _fill(db, directory)
        exported = Database(db)
        exported.table("record").create_index(["source", "boottime_ms"])
        return exported.table("record").count


def verify(directory: Path) -> list[str]:
    """Everything that is wrong with the file, in words; empty where all is in order."""
    found: list[str] = []
    with closing(_open(directory)) as db:
        db.execute("BEGIN")  # while the agent writes, all that follows is of one moment
        for (line,) in db.execute("PRAGMA quick_check(20)"):
            if line != "ok":
                found.append(f"SQLite: {line}")
        try:
            state = schema.read_state(db)
        except schema.Damaged as error:
            return [*found, str(error)]
        for storage_class in StorageClass:
            queued = 0
            for row in _rows(db, storage_class):
                if not (well_typed(row) and intact(storage_class, RawRow._make(row))):
                    found.append(f"{storage_class.value} row {row[0]}: its checksum does not match")
                else:
                    queued += int(str(row[3]))
            expected = state.tally(storage_class).queued
            if state.salvage:
                expected -= state.salvage.expected.get(storage_class.value, 0)
            if queued != expected:
                found.append(
                    f"{storage_class.value}: {queued} records in rows, {expected} in the counters"
                )
    return found


def _open(directory: Path) -> sqlite3.Connection:
    path = directory / schema.FILE
    if not path.exists():
        raise FileNotFoundError(f"{path}: no outbox there; give --config or --state-dir")
    return schema.connect(path, readonly=True)


def _rows(db: sqlite3.Connection, storage_class: StorageClass) -> Iterator[tuple[object, ...]]:
    yield from db.execute(
        f"SELECT id, first, last, n, epoch, boot, crc, body FROM {storage_class.value} ORDER BY id"
    )


def _fill(target: sqlite3.Connection, directory: Path) -> None:
    target.execute(_CREATE)
    with closing(_open(directory)) as db:
        table = tables.offsets(db, schema.read_state(db))
        for storage_class in StorageClass:
            for found in _rows(db, storage_class):
                if not well_typed(found):
                    continue
                row = RawRow._make(found)
                if not intact(storage_class, row):
                    continue
                target.executemany(
                    f"INSERT INTO record VALUES ({','.join('?' * len(COLUMNS))})",
                    (
                        (
                            row.epoch,
                            seq,
                            storage_class.value,
                            record.source,
                            row.boot,
                            record.boottime_ms,
                            clock.utc_ms(table, row.boot, record.boottime_ms),
                            record.kind.value,
                            json.dumps(dict(record.values)),
                            json.dumps(dict(record.states)),
                            record.blob.path if record.blob else None,
                        )
                        for seq, record in units(row)
                    ),
                )
    target.commit()
