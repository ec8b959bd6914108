"""Replies to commands, as the ledger has them: what the receiver booked and acknowledged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from cloud import schema

CID, TOKEN = "Vehicle.Bus.Command.Id", "Vehicle.Bus.Command.Reply"


class Replies:
    """The replies of one vehicle to one command, each once, in the order of their numbers."""

    def __init__(self, ledger: Path, vehicle: str, cid: str) -> None:
        """Raises LedgerUnusable. Replies that are there already are found too."""
        self._db = schema.open_reader(ledger)
        self._vehicle = vehicle
        self._cid = cid
        self._seen = dict(self._newest())

    def close(self) -> None:
        self._db.close()

    def _newest(self) -> Iterator[tuple[str, int]]:
        yield from self._db.execute(
            "SELECT epoch, max(seq) FROM record WHERE vehicle = ? GROUP BY epoch", (self._vehicle,)
        )

    def new(self) -> list[str]:
        """Tokens that came since the last call. Raises sqlite3.Error."""
        found = []
        epochs = self._db.execute(
            "SELECT DISTINCT epoch FROM span WHERE vehicle = ?", (self._vehicle,)
        ).fetchall()
        for (epoch,) in epochs:
            rows = self._db.execute(
                "SELECT seq, vals FROM record WHERE vehicle = ? AND epoch = ? AND seq > ?"
                " AND kind = 'reply' ORDER BY seq",
                (self._vehicle, epoch, self._seen.get(epoch, 0)),
            ).fetchall()
            for seq, vals in rows:
                self._seen[epoch] = max(seq, self._seen.get(epoch, 0))
                values = json.loads(vals)
                if values.get(CID) == self._cid:
                    found.append(str(values.get(TOKEN)))
        return found


READ_ERRORS = (sqlite3.Error, schema.LedgerUnusable)
