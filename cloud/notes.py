"""What the ledger notes beside the books: who is online, what was refused, counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from cloud.intake import Rejection, Status

COUNTERS = ("messages", "bytes", "duplicates_received", "rejected", "acks_sent", "conflicts")
MAX_REJECTED = 100
MAX_REJECTED_BYTES = 65_536
MAX_TOPIC = 1_024

_STATUS = (
    "INSERT INTO vehicle(vehicle, online, since_utc_ms, epoch, boot) VALUES(?,?,?,?,?)"
    " ON CONFLICT(vehicle) DO UPDATE SET"
    " since_utc_ms = iif(online IS excluded.online, since_utc_ms, excluded.since_utc_ms),"
    " online = excluded.online, epoch = excluded.epoch, boot = excluded.boot"
)
_COUNT = (
    "INSERT INTO counter VALUES(?,?) ON CONFLICT(name) DO UPDATE SET value = value + excluded.value"
)
_COUNT_VEHICLE = (
    "INSERT INTO vehicle(vehicle, duplicates_received, conflicts) VALUES(?,?,?)"
    " ON CONFLICT(vehicle) DO UPDATE SET"
    " duplicates_received = duplicates_received + excluded.duplicates_received,"
    " conflicts = conflicts + excluded.conflicts"
)


def note_statuses(db: sqlite3.Connection, statuses: Iterable[Status]) -> None:
    """Whether vehicles are online; a repeated status keeps its `since`."""
    db.executemany(
        _STATUS,
        [(said.vehicle, said.online, said.wall_ms, said.epoch, said.boot) for said in statuses],
    )


def note_rejections(db: sqlite3.Connection, rejections: Iterable[Rejection]) -> None:
    """Keeps the newest refused messages for a person to look at."""
    db.executemany(
        "INSERT INTO rejected(received_boottime_ms, topic, reason, nbytes, payload)"
        " VALUES(?,?,?,?,?)",
        [
            (
                received.boottime_ms,
                received.topic[:MAX_TOPIC],
                reason,
                len(received.payload),
                received.payload[:MAX_REJECTED_BYTES],
            )
            for received, reason in list(rejections)[-MAX_REJECTED:]
        ],
    )
    db.execute(
        "DELETE FROM rejected WHERE id <= (SELECT max(id) FROM rejected) - ?", (MAX_REJECTED,)
    )


def note_counts(
    db: sqlite3.Connection,
    counted: Mapping[str, int],
    vehicles: Iterable[tuple[str, int, int]],
) -> None:
    """Adds to the counters, and (duplicates, conflicts) to each vehicle."""
    db.executemany(_COUNT, [(name, value) for name, value in counted.items() if value])
    db.executemany(_COUNT_VEHICLE, vehicles)


def counters(db: sqlite3.Connection) -> dict[str, int]:
    """All counters of the ledger, those that never counted as 0."""
    found = dict(db.execute("SELECT name, value FROM counter"))
    return {name: found.get(name, 0) for name in COUNTERS}
