"""The file of the journal of commands: made, brought to this format, moved aside when damaged."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from agent.store.room import sync_directory

FILE = "commands.db"
VERSION = 2

_TABLES = """
CREATE TABLE issuer (name TEXT PRIMARY KEY, ctr INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE clock (
  id INTEGER PRIMARY KEY CHECK (id = 1), born_s INTEGER, floor_s INTEGER NOT NULL);
CREATE TABLE command (
  id INTEGER PRIMARY KEY, cid TEXT NOT NULL UNIQUE, issuer TEXT NOT NULL, ctr INTEGER NOT NULL,
  kid TEXT NOT NULL, op TEXT NOT NULL, args TEXT NOT NULL, purpose TEXT NOT NULL,
  state TEXT NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL, result TEXT NOT NULL,
  told INTEGER NOT NULL, expires_s INTEGER NOT NULL DEFAULT 0);
CREATE TABLE trial (
  id INTEGER PRIMARY KEY CHECK (id = 1), cid TEXT NOT NULL, before TEXT, after TEXT NOT NULL,
  spent_s REAL NOT NULL);
INSERT INTO clock VALUES (1, NULL, 0);
"""
_UPGRADES = {1: "ALTER TABLE command ADD COLUMN expires_s INTEGER NOT NULL DEFAULT 0;"}
"""From a format to the next one; each in one transaction, so that a kill leaves one of the two."""


def connect(directory: Path) -> tuple[sqlite3.Connection, bool]:
    """The journal of a directory, and whether it began anew: there was none, or it was damaged.

    Raises sqlite3.Error, OSError, and sqlite3.OperationalError for a format that is newer.
    """
    path = directory / FILE
    for _ in range(2):
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            return db, _set_up(db, path)
        except sqlite3.DatabaseError as error:
            db.close()
            if isinstance(error, sqlite3.OperationalError):
                raise
            _move_aside(path)
    raise sqlite3.OperationalError("a new file is damaged at once")


def _set_up(db: sqlite3.Connection, path: Path) -> bool:
    """Check what is there, create what is not. Raises DatabaseError where it is damaged."""
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA journal_mode = TRUNCATE")
    db.execute("PRAGMA synchronous = EXTRA")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        db.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version={VERSION};COMMIT;")
        sync_directory(path.parent)
    elif not 1 <= version <= VERSION:
        raise sqlite3.OperationalError(
            f"{path} has format {version}, this version of brain knows {VERSION}"
        )
    if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("damaged")
    if version:
        for old in range(version, VERSION):
            script = f"BEGIN IMMEDIATE;{_UPGRADES[old]}PRAGMA user_version={old + 1};COMMIT;"
            db.executescript(script)
    return bool(version == 0)


def _move_aside(path: Path) -> None:
    number = 1
    while (aside := path.with_name(f"commands.corrupt-{number}.db")).exists():
        number += 1
    path.replace(aside)
    with suppress(FileNotFoundError):
        path.with_name(f"{FILE}-journal").unlink()
    sync_directory(path.parent)
