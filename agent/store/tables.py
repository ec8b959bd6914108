"""Drop accounts, UTC offsets, what drivers declared: small tables that the state vouches for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import TypeVar

from agent.clock import OffsetRow, OffsetSource
from agent.record import StorageClass
from agent.store import accounts, schema
from agent.store.rawrow import row_id
from agent.store.rows import Drop
from agent.store.state import State

T = TypeVar("T")


def drops(db: sqlite3.Connection, state: State) -> dict[int, Drop]:
    """The drop accounts by their key. Raises Damaged where they are not what was written."""
    try:
        found = accounts.load(db)
    except ValueError as error:
        raise schema.Damaged(str(error)) from error
    return _agreed(state, "dropped", found, found.values())


def offsets(db: sqlite3.Connection, state: State) -> list[OffsetRow]:
    """The table of UTC offsets. Raises Damaged where it is not what was written."""
    rows = db.execute(
        "SELECT boot, from_boottime_ms, utc_offset_ms, source FROM offset ORDER BY rowid"
    )
    try:
        found = [
            OffsetRow(boot, at, offset, OffsetSource(source)) for boot, at, offset, source in rows
        ]
    except ValueError as error:
        raise schema.Damaged(str(error)) from error
    return _agreed(state, "offset", found, found)


def catalogue(db: sqlite3.Connection, state: State) -> dict[str, bytes]:
    """What the drivers declared, as they encoded it. Raises Damaged as the others."""
    found = dict(db.execute("SELECT source, groups FROM catalogue ORDER BY source").fetchall())
    return _agreed(state, "catalogue", found, found.items())


def settled(db: sqlite3.Connection, state: State, name: str) -> int:
    """Up to which seq of an epoch no row and no account waits; 0 where that is not certain.

    It is not while a damaged file is looked through: what it holds may come back.
    """
    epoch = state.epoch(name)
    if epoch is None or state.salvage is not None:
        return 0
    waiting = [drop.first for drop in drops(db, state).values() if drop.epoch == name]
    for storage_class in StorageClass:
        found = db.execute(
            f"SELECT first FROM {storage_class.value} WHERE id > ? AND id < ? ORDER BY id LIMIT 1",
            (row_id(epoch.index, 0), row_id(epoch.index + 1, 0)),
        ).fetchone()
        if found is not None:
            waiting.append(found[0])
    return min(waiting, default=epoch.seq + 1) - 1


def _agreed(state: State, table: str, found: T, rows: Iterable[object]) -> T:
    if not state.agrees(table, rows):
        raise schema.Damaged(f"its table {table} is not what was written")
    return found
