"""The alarms that vehicles raised: events of the agent itself, as an operator reads them."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

KIND, TEXT = "Vehicle.Bus.Agent.Alarm", "Vehicle.Bus.Agent.AlarmText"
SOURCE = "brain"
SHOWN = 50


def alarms(db: sqlite3.Connection, vehicle: str) -> list[dict[str, Any]]:
    """The newest alarms of a vehicle, the newest first: `kind`, `text` and when.

    `utc_ms` is null while nothing dates that boot; what has no date yet comes first.
    """
    rows = db.execute(
        "SELECT utc_ms, boottime_ms, epoch, seq, vals FROM record WHERE vehicle=? AND kind='event'"
        " AND source=? ORDER BY utc_ms IS NOT NULL, utc_ms DESC, boottime_ms DESC",
        (vehicle, SOURCE),
    )
    found = []
    for utc_ms, boottime_ms, epoch, seq, vals in rows:
        said = msgspec.json.decode(vals)
        if KIND in said:
            found.append(
                {
                    "kind": said[KIND],
                    "text": said.get(TEXT, ""),
                    "utc_ms": utc_ms,
                    "boottime_ms": boottime_ms,
                    "epoch": epoch,
                    "seq": seq,
                }
            )
        if len(found) == SHOWN:
            break
    return found
