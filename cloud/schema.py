"""The tables of the ledger, and opening its file as the only writer.

record    one row a record; its primary key is the record's identity and removes duplicates
span      which seq of an epoch are accounted for, delivered or dropped, as disjoint intervals
dropped   the drop accounts as the vehicle stated them, none contained in another
thinned   what the vehicle said last of records thinned away in ranges that were still to come
settled   up to which seq of an epoch the vehicle said that it has nothing any more
conflict  records that came under an identity that was taken, with other content
boot_offset  the UTC offsets of a vehicle's boots; `record.utc_ms` follows them
vehicle   online or not (NULL: never said) and since when (UTC by this box), counts
catalogue  what vehicles declared, as they sent it, the newest of each vehicle
rejected  the newest messages that could not be read, cut at 64 KiB
counter   counts since the ledger was created
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

SCHEMA_VERSION = 1

_TABLES = """
CREATE TABLE record(
  vehicle TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, source TEXT NOT NULL,
  grp TEXT NOT NULL, kind TEXT NOT NULL, boot TEXT NOT NULL, boottime_ms INTEGER NOT NULL,
  utc_ms INTEGER, received_boottime_ms INTEGER NOT NULL, vals TEXT NOT NULL, states TEXT NOT NULL,
  blob TEXT, PRIMARY KEY(vehicle, epoch, seq)) WITHOUT ROWID;
CREATE INDEX record_time ON record(vehicle, boot, boottime_ms);
CREATE TABLE span(
  vehicle TEXT NOT NULL, epoch TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  PRIMARY KEY(vehicle, epoch, first)) WITHOUT ROWID;
CREATE TABLE dropped(
  vehicle TEXT NOT NULL, epoch TEXT NOT NULL, class TEXT NOT NULL, first INTEGER NOT NULL,
  last INTEGER NOT NULL, count INTEGER NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY(vehicle, epoch, class, first)) WITHOUT ROWID;
CREATE TABLE conflict(
  vehicle TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, content TEXT NOT NULL,
  received_boottime_ms INTEGER NOT NULL, PRIMARY KEY(vehicle, epoch, seq, content)) WITHOUT ROWID;
CREATE TABLE boot_offset(
  vehicle TEXT NOT NULL, boot TEXT NOT NULL, from_boottime_ms INTEGER NOT NULL,
  source TEXT NOT NULL, utc_offset_ms INTEGER NOT NULL,
  PRIMARY KEY(vehicle, boot, from_boottime_ms, source)) WITHOUT ROWID;
CREATE TABLE vehicle(
  vehicle TEXT PRIMARY KEY, online INTEGER, since_utc_ms INTEGER, epoch TEXT, boot TEXT,
  duplicates_received INTEGER NOT NULL DEFAULT 0, conflicts INTEGER NOT NULL DEFAULT 0)
  WITHOUT ROWID;
CREATE TABLE rejected(
  id INTEGER PRIMARY KEY, received_boottime_ms INTEGER NOT NULL, topic TEXT NOT NULL,
  reason TEXT NOT NULL, nbytes INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

# Added to format 1: a ledger that was made before it is completed when it is opened for writing.
_LATER_TABLES = """
CREATE TABLE IF NOT EXISTS catalogue(
  id INTEGER PRIMARY KEY, vehicle TEXT NOT NULL, hash TEXT NOT NULL, payload BLOB NOT NULL,
  UNIQUE(vehicle, hash));
CREATE TABLE IF NOT EXISTS thinned(
  vehicle TEXT NOT NULL, epoch TEXT NOT NULL, class TEXT NOT NULL, first INTEGER NOT NULL,
  last INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY(vehicle, epoch, class)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settled(
  vehicle TEXT NOT NULL, epoch TEXT NOT NULL, upto INTEGER NOT NULL,
  PRIMARY KEY(vehicle, epoch)) WITHOUT ROWID;
"""


class LedgerUnusable(Exception):
    """The ledger file cannot be used; the text names it and says what to do."""


def lock(path: Path) -> int:
    """Takes the lock file beside the ledger, held until its descriptor is closed or we end.

    Not on the ledger itself: closing a second descriptor of it would end SQLite's own locks.
    """
    beside = Path(f"{path}.lock")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LedgerUnusable(
            f"{beside}: {error.strerror}; --ledger must name a file in a folder that can be written"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LedgerUnusable(
            f"{path} is in use by another cloud end; stop that one or give another --ledger"
        ) from None
    return descriptor


def unlock(descriptor: int) -> None:
    os.close(descriptor)


def open_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes; transactions are begun explicitly. Creates the tables."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA journal_size_limit=8388608")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version={SCHEMA_VERSION};COMMIT;"
            )
        if version in {0, SCHEMA_VERSION}:
            connection.executescript(_LATER_TABLES)
    except sqlite3.Error as error:
        raise LedgerUnusable(f"{path} cannot be opened as a ledger: {error}") from None
    if version not in {0, SCHEMA_VERSION}:
        connection.close()
        raise LedgerUnusable(
            f"{path} has ledger format {version}, this program reads {SCHEMA_VERSION}; "
            "give another --ledger"
        )
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection, also while a writer is at work."""
    if not path.is_file():
        raise LedgerUnusable(f"{path}: there is no ledger; `python -m cloud` makes one")
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5.0
        )
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise LedgerUnusable(f"{path} cannot be read as a ledger: {error}") from None
    if version != SCHEMA_VERSION:
        connection.close()
        raise LedgerUnusable(f"{path} is no ledger of format {SCHEMA_VERSION}")
    return connection
