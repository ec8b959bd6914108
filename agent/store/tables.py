"""Drop accounts, UTC offsets, what drivers declared: small tables that the state vouches for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import TypeVar

from agent.clock import OffsetRow, OffsetSource
from agent.store import accounts, schema
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


def _agreed(state: State, table: str, found: T, rows: Iterable[object]) -> T:
    if not state.agrees(table, rows):
        raise schema.Damaged(f"its table {table} is not what was written")
    return found
