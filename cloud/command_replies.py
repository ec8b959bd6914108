"""Replies to commands, as the ledger has them: what the receiver booked and acknowledged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from cloud import schema

CID, TOKEN = "Vehicle.Bus.Command.Id", "Vehicle.Bus.Command.Reply"


class Replies:
    """The replies of one vehicle that are booked from now on."""

    def __init__(self, ledger: Path, vehicle: str) -> None:
        """Raises LedgerUnusable."""
        self._db = schema.open_reader(ledger)
        self._vehicle = vehicle
        self._seen = dict(self._newest())

    def close(self) -> None:
        self._db.close()

    def _newest(self) -> Iterator[tuple[str, int]]:
        yield from self._db.execute(
            "SELECT epoch, max(seq) FROM record WHERE vehicle = ? GROUP BY epoch", (self._vehicle,)
        )

    def new(self, cid: str) -> list[str]:
        """The tokens to one command that came since the last call, in order."""
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
                if values.get(CID) == cid:
                    found.append(str(values.get(TOKEN)))
        return found
