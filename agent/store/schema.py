"""The file: its tables, its migrations, how it is opened, and what SQLite's errors mean here."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from agent.record import StorageClass
from agent.store import state as states
from agent.store.rows import OutboxTooNew
from agent.store.state import State

FILE = "outbox.db"
PAGE_BYTES = 4096
BUSY_MS = 1_000
_APPLICATION = 0x4272_0000

_ROW = (
    "(id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, n INTEGER NOT NULL,"
    " epoch TEXT NOT NULL, boot TEXT NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL)"
)
STATE_PAGE = 2
"""Root page of the state table, the first that is created: it can be read without SQL."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL)",
        *(f"CREATE TABLE {storage_class.value} {_ROW}" for storage_class in StorageClass),
        "CREATE TABLE dropped (id INTEGER PRIMARY KEY, class TEXT NOT NULL, epoch TEXT NOT NULL,"
        " first INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL,"
        " reason TEXT NOT NULL)",
        "CREATE TABLE offset (boot TEXT NOT NULL, from_boottime_ms INTEGER NOT NULL,"
        " utc_offset_ms INTEGER NOT NULL, source TEXT NOT NULL)",
        "CREATE TABLE catalogue (source TEXT PRIMARY KEY, groups BLOB NOT NULL) WITHOUT ROWID",
    ),
    # 2: bodies are columns, and history rows may have holes. Version 1 would take them for damaged.
    (),
)
VERSION = len(MIGRATIONS)


def ignore(failpoint: str) -> None:
    """The failpoint of the field: none."""


class Damaged(Exception):
    """The file is not an outbox as it was written."""


class NoRoom(sqlite3.OperationalError):
    """A commit would fit into the log, and what it adds not into the file."""

    sqlite_errorcode = sqlite3.SQLITE_FULL


class NotWritten(sqlite3.OperationalError):
    """SQLite was told that all went well, and it did not."""

    sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC


def connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """Open a file with the settings of its role; may be handed to another thread."""
    mode = "ro" if readonly else "rwc"
    db = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_MS / 1000,
    )
    try:
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        if not readonly:
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            # 256 pages: a commit every second checkpoints each minute or two, the log stays 1 MiB.
            db.execute("PRAGMA wal_autocheckpoint = 256")
            db.execute("PRAGMA journal_size_limit = 1048576")
    except BaseException:
        db.close()
        raise
    return db


def create(
    db: sqlite3.Connection,
    state: State | None,
    failpoint: Callable[[str], None] = ignore,
    fill: Callable[[], None] | None = None,
) -> None:
    """Bring the file to this version in one transaction; `state` is given where it is new.

    Whatever ends it half-way, the file is the old one or the new one. `failpoint` is called at
    "migrate" before each version, and at "migrated" before all of them are committed. `fill`
    writes what the new file begins with.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in MIGRATIONS[version:]:
            failpoint("migrate")
            for statement in step:
                db.execute(statement)
        # Twice, so that a flipped bit in one of them does not look like a newer version.
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute(f"PRAGMA application_id = {_APPLICATION + VERSION}")
        if state is not None:
            db.execute("INSERT INTO state (id, body) VALUES (1, ?)", (states.encode(state),))
        if fill is not None:
            fill()
        failpoint("migrated")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def refuse_newer(path: Path) -> None:
    """Raise OutboxTooNew where the file says so; looks at its header only.

    Must not run while this process has the file open: closing it would drop SQLite's locks.
    """
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return
    if len(header) == 100:
        version, application = struct.unpack(">60xI4xI28x", header)
        if version > VERSION and application == _APPLICATION + version:
            raise OutboxTooNew(
                f"{path} has format {version}, this version of brain knows {VERSION}. Install the "
                "version that wrote it, or move the file away to begin a new outbox"
            )


def mend_header(path: Path) -> None:
    """Set the header's write version right: for one flipped bit SQLite takes a file as read-only.

    As `refuse_newer`: only while nobody has the file open. Raises OSError.
    """
    if not path.exists():
        return
    with path.open("r+b", buffering=0) as file:
        header = file.read(20)
        if header[:16] == b"SQLite format 3\0" and len(header) == 20 and header[18] > 2:
            os.pwrite(file.fileno(), b"\2", 18)
            os.fsync(file.fileno())


def update(db: sqlite3.Connection, failpoint: Callable[[str], None] = ignore) -> None:
    """Migrate an older file to this version; its rows stay as they are."""
    if db.execute("PRAGMA user_version").fetchone()[0] < VERSION:
        create(db, None, failpoint)


def is_empty(db: sqlite3.Connection) -> bool:
    """Whether the file was created but never got its tables."""
    return bool(
        db.execute("PRAGMA user_version").fetchone()[0] == 0
        and db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    )


def check(db: sqlite3.Connection) -> None:
    """Raise Damaged where the tables are not those of the version that the file states."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if not 0 < version <= VERSION or application != _APPLICATION + version:
        raise Damaged(f"its header states version {version}, application {application:#x}")
    if _schema(db) != _tables(version):
        raise Damaged("its tables are not those of an outbox")


def _tables(version: int) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(":memory:")) as db:
        for step in MIGRATIONS[:version]:
            for statement in step:
                db.execute(statement)
        return _schema(db)


def _schema(db: sqlite3.Connection) -> list[tuple[str, int]]:
    """The statements and root pages of the tables, page 0 where a later version added one.

    The first tables have the pages that they were born with; a later one has what was free.
    """
    found = db.execute("SELECT sql, rootpage FROM sqlite_schema ORDER BY rowid").fetchall()
    born = sum(statement.startswith("CREATE") for statement in MIGRATIONS[0])
    return [(sql, page if at < born else 0) for at, (sql, page) in enumerate(found)]


def read_state(db: sqlite3.Connection) -> State:
    """The state row. Raises Damaged where it is missing or not intact."""
    row = db.execute("SELECT body FROM state WHERE id = 1").fetchone()
    try:
        return states.decode(row[0] if row else None)
    except ValueError as error:
        raise Damaged(str(error)) from error


# What a flipped bit or a bad block leads to: it will not go away by trying again.
_DAMAGE_PRIMARY = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
}
_DAMAGE_EXTENDED = {
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
    sqlite3.SQLITE_IOERR_DATA,
}


def is_damage(error: BaseException) -> bool:
    """Whether an error says that the file itself is bad, not that the disk is full or busy."""
    if isinstance(error, Damaged):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code in _DAMAGE_EXTENDED or code & 0xFF in _DAMAGE_PRIMARY
    # Text that is not UTF-8 any more comes without a code.
    return isinstance(error, sqlite3.OperationalError) and "decode" in str(error)


def is_readonly(error: sqlite3.Error) -> bool:
    """Whether SQLite could open the file for reading only: opening it again may help."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY


def is_locking(error: sqlite3.Error) -> bool:
    """Whether a lock could not be had or given back: it is gone with the connection."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_BUSY)


def is_full(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the disk has no room."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def is_write_error(error: sqlite3.Error) -> bool:
    """Whether a write failed: a quota, a limit of file size or a bad disk, SQLite does not say."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_WRITE


def is_io(error: sqlite3.Error) -> bool:
    """Whether reading, writing or syncing failed."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR
