"""What the ledger knows about the boots of vehicles: their UTC offsets, and dating by them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from cloud import dating
from cloud.batch import Batch, Offset

Dated: TypeAlias = Mapping[tuple[str, str], Sequence[dating.Piece]]
"""(vehicle, boot) -> how to date its records."""

_REDATE = (
    "UPDATE record SET utc_ms = boottime_ms + :offset WHERE vehicle=:vehicle AND boot=:boot"
    " AND boottime_ms >= :begin AND boottime_ms < :end AND utc_ms IS NOT boottime_ms + :offset"
)


def book_offsets(db: sqlite3.Connection, batches: Iterable[Batch]) -> Dated:
    """Takes in what is new about any boot, dates its earlier records anew; how to date new ones."""
    said: dict[tuple[str, str], list[Offset]] = {}
    for batch in batches:
        for boot, offsets in batch.boots.items():
            said.setdefault((batch.vehicle, boot), []).extend(offsets)
    dated = {}
    for (vehicle, boot), offsets in said.items():
        rows = db.execute(
            "SELECT from_boottime_ms, utc_offset_ms, source FROM boot_offset"
            " WHERE vehicle=? AND boot=?",
            (vehicle, boot),
        )
        known = [Offset(*row) for row in rows]
        table = dating.combined(known, offsets)
        dated[vehicle, boot] = dating.pieces(table)
        if set(table) != set(known):
            _store(db, vehicle, boot, table)
            _redate(db, vehicle, boot, dating.news(dating.pieces(known), dated[vehicle, boot]))
    return dated


def _store(db: sqlite3.Connection, vehicle: str, boot: str, table: Sequence[Offset]) -> None:
    db.execute("DELETE FROM boot_offset WHERE vehicle=? AND boot=?", (vehicle, boot))
    db.executemany(
        "INSERT INTO boot_offset VALUES(?,?,?,?,?)",
        [(vehicle, boot, row.from_boottime_ms, row.source, row.utc_offset_ms) for row in table],
    )


def _redate(
    db: sqlite3.Connection, vehicle: str, boot: str, pieces: Iterable[dating.Piece]
) -> None:
    for piece in pieces:
        bounds = {"begin": piece.begin_ms, "end": piece.end_ms, "offset": piece.utc_offset_ms}
        db.execute(_REDATE, {"vehicle": vehicle, "boot": boot, **bounds})
