"""Rows without their bodies, and what they weigh: the bytes that a quota counts."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

ROW_OVERHEAD_BYTES = 128
"""What a row occupies beside its body."""


class Head(NamedTuple):
    """A row without its body, as `HEAD` selects it."""

    id: int
    first: int
    last: int
    n: int
    nbytes: int


HEAD = "SELECT id, first, last, n, coalesce(length(body), 0) FROM"


def weight(db: sqlite3.Connection, after: int, upto: int) -> int:
    """Bytes of the history rows behind key `after` up to key `upto`, as a quota counts them."""
    nbytes, count = db.execute(
        "SELECT coalesce(sum(length(body)), 0), count(*) FROM history WHERE id > ? AND id <= ?",
        (after, upto),
    ).fetchone()
    return int(nbytes + count * ROW_OVERHEAD_BYTES)
