"""Acknowledgements: what the far end has is deleted, what it has in part is remembered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.record import StorageClass
from agent.store.intervals import IntervalSet
from agent.store.rawrow import row_id
from agent.store.rows import Range
from agent.store.state import Epoch
from agent.store.weight import HEAD, Head

if TYPE_CHECKING:
    from agent.store.transaction import Transaction


def acknowledge(tx: Transaction, name: str, ranges: Sequence[Range]) -> int:
    """Delete what is wholly acknowledged, remember the rest; return the records deleted."""
    epoch = tx.state.epoch(name)
    if epoch is None:
        return 0
    spans = [Range(max(1, first), min(last, epoch.seq)) for first, last in ranges]
    spans = [span for span in spans if span.first <= span.last]
    acked = tx.books.acked.setdefault(epoch.index, IntervalSet())
    for span in spans:
        acked.add(*span)
    gone = 0
    for span in spans:
        waiting = []
        for storage_class in StorageClass:
            for head in _overlapping(tx, storage_class, epoch, span):
                if acked.covers(head.first, head.last):
                    tx.delete(storage_class, head)
                    tx.state.tally(storage_class).acknowledged += head.n
                    gone += head.n
                else:
                    waiting.append(Range(head.first, head.last))
        for key, drop in tx.books.accounts.overlapping(name, span):
            if acked.covers(drop.first, drop.last):
                tx.books.accounts.settle(tx.db, key)
                tx.changed = tx.accounts_changed = True
            else:
                waiting.append(Range(drop.first, drop.last))
        # Only what a row or an account still waits for is worth remembering.
        acked.remove(*span)
        for first, last in waiting:
            acked.add(max(first, span.first), min(last, span.last))
    if not acked:
        del tx.books.acked[epoch.index]
    return gone


def _overlapping(
    tx: Transaction, storage_class: StorageClass, epoch: Epoch, span: Range
) -> list[Head]:
    table = storage_class.value
    low, high = row_id(epoch.index, span.first), row_id(epoch.index, span.last)
    before = tx.db.execute(
        f"{HEAD} {table} WHERE id < ? AND id > ? ORDER BY id DESC LIMIT 1",
        (low, row_id(epoch.index, 0)),
    )
    heads = [head for head in map(Head._make, before) if head.last >= span.first]
    within = tx.db.execute(f"{HEAD} {table} WHERE id BETWEEN ? AND ? ORDER BY id", (low, high))
    heads.extend(map(Head._make, within))
    return [head for head in heads if tx.sound(head, epoch)]
