"""What a full disk has no room for even after all else was given up: samples that just came.

They are accepted and dropped in one commit, with an account. Else they would stand in the way of
the alarms behind them for as long as the disk is full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.record import Record, StorageClass
from agent.store.body import weight
from agent.store.eviction import PAGE_BYTES, SPARE_BYTES
from agent.store.room import room_left
from agent.store.rows import Drop

if TYPE_CHECKING:
    from agent.store.transaction import Transaction

LAST_TRY = 4
"""Refusals after which none of the samples is kept: no estimate may block the alarms for ever."""


def fit(
    tx: Transaction, records: dict[StorageClass, list[Record]], refusals: int, log_bytes: int
) -> int:
    """Take from `records` what there is no room for, bulk first, the oldest first; how many went.

    `refusals`: so often the disk had no room for them; each but the first halves what is tried.
    `log_bytes`: of the log's own file, free to be written again. Alarms are never taken.
    """
    if tx.file is None:
        return 0
    (free,) = tx.db.execute("PRAGMA freelist_count").fetchone()
    # A page goes into the log and into the file: half of what is left for each.
    left = room_left(tx.file.parent) or 0
    room = min(free * PAGE_BYTES, log_bytes) + left // 2 - SPARE_BYTES
    room = 0 if refusals >= LAST_TRY else room >> (refusals - 1)
    room -= sum(map(weight, records.get(StorageClass.ALARM, ())))
    gone = 0
    for storage_class in (StorageClass.HISTORY, StorageClass.BULK):
        waiting = records.get(storage_class, [])
        kept = len(waiting)
        for record in reversed(waiting):
            nbytes = weight(record)
            if nbytes > room:
                break
            room -= nbytes
            kept -= 1
        gone += _shed(tx, storage_class, kept)
        del waiting[:kept]
    return gone


def _shed(tx: Transaction, storage_class: StorageClass, n: int) -> int:
    """Number `n` records that are not kept, and account for them."""
    if not n:
        return 0
    epoch = tx.state.current
    first, last = epoch.seq + 1, epoch.seq + n
    epoch.seq = last
    tally = tx.state.tally(storage_class)
    tally.accepted += n
    tally.dropped += n
    tx.account(Drop(storage_class, epoch.name, first, last, n, "disk_full"))
    return n
