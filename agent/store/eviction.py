"""Rows given up for room: the oldest of a class first; an alarm never for a full disk."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple, Protocol

from agent.record import StorageClass
from agent.store.body import EPOCH_SHIFT, MASK
from agent.store.state import Epoch, State

ROW_OVERHEAD_BYTES = 128
"""What a row occupies beside its body; part of the bytes that a quota counts."""
_AT_ONCE = 64


class Head(NamedTuple):
    """A row without its body, as `HEAD` selects it."""

    id: int
    first: int
    last: int
    n: int
    nbytes: int


HEAD = "SELECT id, first, last, n, coalesce(length(body), 0) FROM"


class Dropping(Protocol):
    """The transaction that the rows are given up in."""

    db: sqlite3.Connection
    suspect: bool

    @property
    def state(self) -> State: ...

    def drop(self, storage_class: StorageClass, epoch: Epoch, head: Head, reason: str) -> int: ...


def keep_quota(tx: Dropping, storage_class: StorageClass, quota_bytes: int) -> int:
    """Drop the oldest rows of a class beyond its quota; the records dropped."""
    tally = tx.state.tally(storage_class)
    dropped = 0
    while tally.nbytes > quota_bytes:
        evicted = _evict(tx, storage_class, tally.nbytes - quota_bytes, "quota")
        if not evicted:
            break
        dropped += evicted
    return dropped


def make_room(tx: Dropping, nbytes: int) -> int:
    """Free `nbytes`: bulk, then history; the records dropped."""
    dropped = 0
    for storage_class in (StorageClass.BULK, StorageClass.HISTORY):
        tally = tx.state.tally(storage_class)
        target = max(0, tally.nbytes - nbytes)
        while tally.nbytes > target:
            before = tally.nbytes
            evicted = _evict(tx, storage_class, tally.nbytes - target, "disk_full")
            if not evicted:
                break
            dropped += evicted
            nbytes -= before - tally.nbytes
        if nbytes <= 0:
            break
    return dropped


def _evict(tx: Dropping, storage_class: StorageClass, nbytes: int, reason: str) -> int:
    """Drop the oldest rows until `nbytes` are freed or one batch is through."""
    found = tx.db.execute(f"{HEAD} {storage_class.value} ORDER BY id LIMIT {_AT_ONCE}").fetchall()
    dropped = 0
    for head in map(Head._make, found):
        if nbytes <= 0:
            break
        index = head.id >> EPOCH_SHIFT
        epoch = next((e for e in tx.state.epochs if e.index == index), None)
        if epoch is None or head.id & MASK != head.first:
            tx.suspect = True
            continue
        dropped += tx.drop(storage_class, epoch, head, reason)
        nbytes -= head.nbytes + ROW_OVERHEAD_BYTES
    return dropped
