"""What nobody has any more: seq that a vehicle deleted as acknowledged and this ledger never saw.

A ledger that was put back from an older copy has forgotten what it acknowledged since, and the
vehicle has deleted it. That cannot be mended; it must be known, to the record.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from cloud.batch import Batch
from cloud.intervals import IntervalSet, Range

Epoch = tuple[str, str]
"""Vehicle and epoch."""


def note_settled(db: sqlite3.Connection, batches: Iterable[Batch]) -> set[Epoch]:
    """Keeps the highest seq that each vehicle said; returns those that said one."""
    said: dict[Epoch, int] = {}
    for batch in batches:
        if batch.settled:
            key = (batch.vehicle, batch.epoch)
            said[key] = max(batch.settled, said.get(key, 0))
    db.executemany(
        "INSERT INTO settled VALUES(?,?,?)"
        " ON CONFLICT(vehicle, epoch) DO UPDATE SET upto = max(upto, excluded.upto)",
        [(*key, upto) for key, upto in sorted(said.items())],
    )
    return set(said)


def absent(db: sqlite3.Connection, key: Epoch, booked: IntervalSet) -> list[Range]:
    """The seq that will never come: not `booked`, and not beyond what the vehicle said.

    Empty for a ledger from before vehicles said it.
    """
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name='settled'").fetchone():
        return []
    found = db.execute("SELECT upto FROM settled WHERE vehicle=? AND epoch=?", key).fetchone()
    if found is None:
        return []
    (upto,) = found
    gaps = [Range(first, min(last, upto)) for first, last in booked.gaps() if first <= upto]
    known = max((last for _, last in booked), default=0)
    return [*gaps, Range(known + 1, upto)] if known < upto else gaps
