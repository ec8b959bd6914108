"""Rows given up for room: the least important class first, its oldest first.

History is thinned before it is dropped; an alarm never goes for a full disk.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Protocol

from agent.record import StorageClass
from agent.store import powered
from agent.store.limits import Limits
from agent.store.rawrow import EPOCH_SHIFT, MASK, RawRow, row_id
from agent.store.room import scarce
from agent.store.state import Epoch, State
from agent.store.thinning import thin_some
from agent.store.weight import HEAD, ROW_OVERHEAD_BYTES, Head

PAGE_BYTES = 4096
_AT_ONCE = 64
SPARE_BYTES = 64 << 10
"""The pages around what is added: of the trees, the accounts and the list of free ones."""
SLACK = 0.25
"""So much more than its share a part has before it is thinned: a second at a time gains nothing."""


class Dropping(Protocol):
    """The transaction that the rows are given up in."""

    db: sqlite3.Connection
    suspect: bool
    changed: bool
    scarce: bool
    limits: Limits
    file: Path | None

    @property
    def state(self) -> State: ...

    def insert(self, storage_class: StorageClass, row: RawRow) -> None: ...
    def delete(self, storage_class: StorageClass, head: Head) -> None: ...
    def drop(self, storage_class: StorageClass, epoch: Epoch, head: Head, reason: str) -> int: ...


def keep_limits(tx: Dropping) -> int:
    """Keep each class within its bytes, records and hours; the records given up."""
    dropped = 0
    hours = max(tx.limits.hours.values(), default=0)
    if hours:
        current = tx.state.current
        powered.mark(tx.state, row_id(current.index, current.seq + 1), hours)
    # The least important first: where one transaction has to do much, alarms are untouched longest.
    for storage_class in (StorageClass.BULK, StorageClass.HISTORY, StorageClass.ALARM):
        if storage_class in tx.limits.hours:
            before = powered.older(tx.state.powered, tx.limits.hours[storage_class])
            dropped += _drop_before(tx, storage_class, before)
        nbytes = tx.limits.nbytes.get(storage_class)
        records = tx.limits.records.get(storage_class)
        dropped += _shrink(tx, storage_class, nbytes, records, "quota")
    return dropped


def make_room(tx: Dropping, nbytes: int, *, tight: bool) -> int:
    """Where the disk has little room left, or had none a moment ago: free as much as will come.

    `nbytes` of bodies are to be added. Bulk goes first, then history; the records given up. Nothing
    is thinned here: what is written anew needs the very room that there is not.
    """
    if tx.file is None:
        return 0
    (pages,) = tx.db.execute("PRAGMA page_count").fetchone()
    tx.scarce = tight or scarce(tx.file, pages * PAGE_BYTES)
    if not nbytes or not tx.scarce:
        return 0
    (free,) = tx.db.execute("PRAGMA freelist_count").fetchone()
    nbytes += SPARE_BYTES - (0 if tight else free * PAGE_BYTES)
    dropped = 0
    for storage_class in (StorageClass.BULK, StorageClass.HISTORY):
        if nbytes <= 0:
            break
        before = tx.state.tally(storage_class).nbytes
        dropped += _shrink(tx, storage_class, max(0, before - nbytes), None, "disk_full")
        nbytes -= before - tx.state.tally(storage_class).nbytes
    return dropped


def _shrink(
    tx: Dropping, storage_class: StorageClass, nbytes: int | None, records: int | None, reason: str
) -> int:
    """Thin, then drop, until a class has no more than `nbytes` and `records`."""
    tally, gone = tx.state.tally(storage_class), 0
    while True:
        spare = 0 if nbytes is None else tally.nbytes - nbytes
        many = records is not None and _stored(tx.state, storage_class) > records
        if spare <= 0 and not many:
            return gone
        if storage_class is StorageClass.HISTORY and reason != "disk_full":
            thinned = _thin(tx)
            if thinned is not None:
                gone += thinned
                continue
        evicted = _evict(tx, storage_class, max(spare, 1), reason)
        if not evicted:
            return gone
        gone += evicted


def _stored(state: State, storage_class: StorageClass) -> int:
    """Records in rows; those in a damaged file that is being salvaged are not."""
    away = state.salvage.expected.get(storage_class.value, 0) if state.salvage else 0
    return state.tally(storage_class).queued - away


def _thin(tx: Dropping) -> int | None:
    """Thin a stretch of history; the records that went, None where it is time to drop some.

    The finest half of the bytes is left as it is, of the rest the half at the next interval, and so
    on: so there is always a trip in full, a week in tens of seconds and a month in minutes.
    """
    finer = total = tx.state.tally(StorageClass.HISTORY).nbytes
    share = total / 2
    for interval_s in tx.limits.thin_s:
        coarse = tx.state.coarse.get(str(interval_s), 0)
        if finer - coarse > share * (1 + SLACK):
            return thin_some(tx, interval_s, int(finer - coarse - share))
        finer, share = coarse, share / 2
    return None


def _drop_before(tx: Dropping, storage_class: StorageClass, before: int) -> int:
    """Drop the rows of a class whose key is below `before`; the records dropped."""
    dropped = 0
    while found := tx.db.execute(
        f"{HEAD} {storage_class.value} WHERE id < ? ORDER BY id LIMIT {_AT_ONCE}", (before,)
    ).fetchall():
        at_once = sum(_drop(tx, storage_class, Head._make(item), "age") for item in found)
        if not at_once:
            break
        dropped += at_once
    return dropped


def _evict(tx: Dropping, storage_class: StorageClass, nbytes: int, reason: str) -> int:
    """Drop the oldest rows until `nbytes` are freed or one batch is through."""
    found = tx.db.execute(f"{HEAD} {storage_class.value} ORDER BY id LIMIT {_AT_ONCE}").fetchall()
    dropped = 0
    for head in map(Head._make, found):
        if nbytes <= 0:
            break
        given_up = _drop(tx, storage_class, head, reason)
        dropped += given_up
        nbytes -= head.nbytes + ROW_OVERHEAD_BYTES if given_up else 0
    return dropped


def _drop(tx: Dropping, storage_class: StorageClass, head: Head, reason: str) -> int:
    index = head.id >> EPOCH_SHIFT
    epoch = next((e for e in tx.state.epochs if e.index == index), None)
    if epoch is None or head.id & MASK != head.first:
        tx.suspect = True
        return 0
    return tx.drop(storage_class, epoch, head, reason)
