"""What a ledger holds, as one JSON object: per vehicle alarms, epochs, gaps, drops, signals."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from cloud import schema
from cloud.absent import absent
from cloud.alarms import alarms
from cloud.batch import Scalar
from cloud.chunk import BLOCK_BYTES
from cloud.intervals import IntervalSet
from cloud.notes import counters


class Signal(msgspec.Struct):
    """One signal of one vehicle; `min` and `max` are null for texts, `last` was captured last."""

    count: int = 0
    min: float | int | bool | None = None
    max: float | int | bool | None = None
    last: Scalar | None = None
    newest: tuple[int, int, int] = (-1, -1, -1)

    def take(self, value: Scalar, captured: tuple[int, int, int]) -> None:
        self.count += 1
        if not isinstance(value, str):
            self.min = value if self.min is None else min(self.min, value)
            self.max = value if self.max is None else max(self.max, value)
        if captured >= self.newest:
            self.newest, self.last = captured, value

    def shown(self) -> dict[str, Scalar | None]:
        return {"count": self.count, "min": self.min, "max": self.max, "last": self.last}


def report(path: Path) -> dict[str, Any]:
    """The report on a ledger file, also while it is written. LedgerUnusable if there is none.

    Reads every record once: 2 us a value.
    """
    db = schema.open_reader(path)
    try:
        db.execute("BEGIN")
        names = db.execute("SELECT vehicle FROM vehicle UNION SELECT DISTINCT vehicle FROM span")
        vehicles = {name: _vehicle(db, name) for (name,) in names.fetchall()}
        return {
            "vehicles": vehicles,
            "counters": counters(db),
            "rejected": [
                {"topic": topic, "reason": reason, "bytes": nbytes}
                for topic, reason, nbytes in db.execute(
                    "SELECT topic, reason, nbytes FROM rejected ORDER BY id"
                )
            ],
        }
    except sqlite3.Error as error:
        raise schema.LedgerUnusable(f"{path} cannot be read as a ledger: {error}") from None
    finally:
        db.close()


def _vehicle(db: sqlite3.Connection, vehicle: str) -> dict[str, Any]:
    row = db.execute(
        "SELECT online, since_utc_ms, duplicates_received, conflicts FROM vehicle WHERE vehicle=?",
        (vehicle,),
    ).fetchone()
    online, since_utc_ms, duplicates, conflicts = row or (None, None, 0, 0)
    epochs = db.execute("SELECT DISTINCT epoch FROM span WHERE vehicle=?", (vehicle,)).fetchall()
    return {
        "online": None if online is None else bool(online),
        "since_utc_ms": since_utc_ms,
        "epochs": {epoch: _epoch(db, vehicle, epoch) for (epoch,) in epochs},
        "duplicates_received": duplicates,
        "conflicts": conflicts,
        "alarms": alarms(db, vehicle),
        "signals": _signals(db, vehicle),
        "files": _files(db, vehicle),
    }


def _files(db: sqlite3.Connection, vehicle: str) -> list[dict[str, Any]]:
    """Files that a vehicle announced; empty for a ledger from before there were any."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name='file'").fetchone():
        return []
    found = db.execute(
        "SELECT sha256, size, media_type, path, whole, again, (SELECT coalesce(sum(last-first+1),"
        " 0) FROM file_block b WHERE b.vehicle=f.vehicle AND b.sha256=f.sha256)"
        " FROM file f WHERE vehicle=? ORDER BY sha256",
        (vehicle,),
    )
    return [
        {
            "sha256": sha256,
            "size": size,
            "media_type": media_type,
            "path": path,
            "whole": bool(whole),
            "received": size if whole else min(size, blocks * BLOCK_BYTES),
            "again": again,
        }
        for sha256, size, media_type, path, whole, again, blocks in found
    ]


def _epoch(db: sqlite3.Connection, vehicle: str, epoch: str) -> dict[str, Any]:
    key = (vehicle, epoch)
    of_epoch = "WHERE vehicle=? AND epoch=?"
    spans = list(IntervalSet(db.execute(f"SELECT first, last FROM span {of_epoch}", key)))
    drops = db.execute(
        f"SELECT class, first, last, count, reason FROM dropped {of_epoch} ORDER BY first", key
    ).fetchall()
    by_both = sum(
        db.execute(
            f"SELECT count(*) FROM record {of_epoch} AND seq BETWEEN ? AND ?", (*key, first, last)
        ).fetchone()[0]
        for _, first, last, _, _ in drops
    )
    return {
        "first": spans[0].first,
        "last": spans[-1].last,
        "records": db.execute(f"SELECT count(*) FROM record {of_epoch}", key).fetchone()[0],
        "gaps": IntervalSet(spans).gaps(),
        "absent": absent(db, key, IntervalSet(spans)),
        "dropped": sum(count for _, _, _, count, _ in drops),
        "dropped_but_delivered": by_both,
        "thinned_ahead": _thinned_ahead(db, key),
        "drops": [
            {"class": name, "first": first, "last": last, "count": count, "reason": reason}
            for name, first, last, count, reason in drops
        ],
    }


def _thinned_ahead(db: sqlite3.Connection, key: tuple[str, str]) -> list[dict[str, Any]]:
    """What the vehicle said last; empty for a ledger from before it could."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name='thinned'").fetchone():
        return []
    found = db.execute(
        "SELECT class, first, last, count FROM thinned WHERE vehicle=? AND epoch=?", key
    )
    return [
        {"class": name, "first": first, "last": last, "count": count}
        for name, first, last, count in found
    ]


def _signals(db: sqlite3.Connection, vehicle: str) -> dict[str, dict[str, Scalar | None]]:
    signals: dict[str, Signal] = {}
    for captured, values in _values(db, vehicle):
        for path, value in values.items():
            signals.setdefault(path, Signal()).take(value, captured)
    return {path: signals[path].shown() for path in sorted(signals)}


def _values(
    db: sqlite3.Connection, vehicle: str
) -> Iterator[tuple[tuple[int, int, int], dict[str, Scalar]]]:
    """Each record's values with its place in time; what has no date yet comes before what has."""
    decode = msgspec.json.Decoder(dict[str, int | float | bool | str]).decode
    rows = db.execute(
        "SELECT coalesce(utc_ms, -1), boottime_ms, seq, vals FROM record WHERE vehicle=?",
        (vehicle,),
    )
    for utc_ms, boottime_ms, seq, vals in rows:
        yield (utc_ms, boottime_ms, seq), decode(vals)
