"""The catalogues that vehicles announced: kept in the ledger, decoded ones in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from cloud.catalogue import MAX_KEPT, Shapes, decode_catalogue
from cloud.intake import Announced

MAX_DECODED = 200
"""Catalogues of all vehicles together in memory; the others are decoded anew when needed."""

_KEEP = (
    "INSERT INTO catalogue(vehicle, hash, payload) VALUES(?,?,?)"
    " ON CONFLICT(vehicle, hash) DO NOTHING"
)
_FIND = "SELECT payload FROM catalogue WHERE vehicle=? AND hash=?"
_FORGET = (
    "DELETE FROM catalogue WHERE vehicle=:vehicle AND id NOT IN"
    " (SELECT id FROM catalogue WHERE vehicle=:vehicle ORDER BY id DESC LIMIT :limit)"
)


def keep(db: sqlite3.Connection, announced: Iterable[Announced]) -> None:
    """Book them; of each vehicle the newest 32 stay. One that is forgotten is asked for again."""
    for one in announced:
        if db.execute(_KEEP, (one.vehicle, one.hash, one.payload)).rowcount:
            db.execute(_FORGET, {"vehicle": one.vehicle, "limit": MAX_KEPT})


class Shelf:
    """Finds catalogues by (vehicle, hash)."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._decoded: dict[tuple[str, str], Shapes] = {}

    def put(self, one: Announced) -> None:
        """Know it from now on, before it is booked: what comes with it can be read."""
        self._remember((one.vehicle, one.hash), one.shapes)

    def find(self, vehicle: str, name: str) -> Shapes | None:
        """The catalogue, None where the vehicle did not announce it or it was forgotten."""
        found = self._decoded.get((vehicle, name))
        if found is None:
            try:
                row = self._db.execute(_FIND, (vehicle, name)).fetchone()
            except sqlite3.Error:
                return None  # the commit will say what is wrong with the file
            if row is not None:
                found = decode_catalogue(row[0])
                self._remember((vehicle, name), found)
        return found

    def _remember(self, key: tuple[str, str], shapes: Shapes) -> None:
        self._decoded[key] = shapes
        while len(self._decoded) > MAX_DECODED:
            del self._decoded[next(iter(self._decoded))]
