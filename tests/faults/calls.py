"""Whether somebody was called for what was given up: in the log, and by an event that arrived."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

DAMAGED = "the outbox was damaged"
_EVENTS = (
    "SELECT DISTINCT json_extract(vals, '$.\"Vehicle.Bus.Agent.Alarm\"') FROM record"
    " WHERE kind = 'event' AND source = 'brain'"
)


def calls_heard(ledger: Path) -> set[str]:
    """The kinds of the alarms that left the vehicle."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=10.0)) as db:
        return {str(kind) for (kind,) in db.execute(_EVENTS)}


def untold(ledger: Path, alarms: Collection[str]) -> str:
    """What the far end was told that it will never get, and no alarm calls for.

    `alarms`: those of the log. What was thinned is no reason to call.
    """
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=10.0)) as db:
        reasons = dict(db.execute("SELECT reason, sum(count) FROM dropped GROUP BY reason"))
    heard = calls_heard(ledger)
    lost = {reason: n for reason, n in reasons.items() if n and reason != "thinned"}
    if lost.get("damaged") or lost.get("missing"):
        called = any(DAMAGED in line for line in alarms) and "outbox_damaged" in heard
    else:
        called = bool(alarms and heard)
    return "" if called or not lost else f"{lost}; events: {heard}"
