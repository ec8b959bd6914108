"""A row that goes in part: some of its records are given up, each number goes where it belongs.

What is acknowledged of the row counts as acknowledged, what is given up has an account, and the
rest stays, as rows of its own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from agent.record import StorageClass
from agent.store.body import Unit, packed, units
from agent.store.intervals import IntervalSet
from agent.store.rawrow import RawRow, intact, well_typed
from agent.store.rows import Drop, Range
from agent.store.state import Epoch
from agent.store.thinning import REASON as THINNED
from agent.store.weight import Head

if TYPE_CHECKING:
    from agent.store.transaction import Transaction


def part(
    tx: Transaction,
    storage_class: StorageClass,
    epoch: Epoch,
    head: Head,
    reason: str,
    spans: Sequence[Range],
) -> int | None:
    """Give up the records `spans` of a row; the records dropped.

    None where the row's body would be needed and cannot be read: nothing was done then.
    """
    acked = tx.books.acked.get(epoch.index, IntervalSet())
    given_up = IntervalSet()
    for first, last in spans:
        if max(first, head.first) <= min(last, head.last):
            given_up.add(max(first, head.first), min(last, head.last))
    done = acked.copy()
    for span in given_up:
        done.add(*span)
    gone = [gap for span in given_up for gap in acked.gaps(*span)]
    left = list(done.gaps(head.first, head.last))
    row: RawRow | None = None
    seqs: Sequence[int] = range(head.first, head.last + 1)
    records: list[Unit] = []
    if left or head.n != len(seqs):
        row = _row(tx, storage_class, head)
        if row is None:
            return None
        try:
            records = units(row)
        except ValueError:
            return None
        seqs = [unit.seq for unit in records]
    tx.delete(storage_class, head)
    dropped, stays = _within(seqs, gone), _within(seqs, left)
    tx.state.tally(storage_class).dropped += dropped
    tx.state.tally(storage_class).acknowledged += head.n - dropped - stays
    waited_for = tx.books.accounts.overlapping(epoch.name, Range(head.first, head.last))
    for first, last in gone:
        # Of what was thinned within, the far end has not heard either.
        tx.account(Drop(storage_class, epoch.name, first, last, last - first + 1, reason))
    for span in left:
        low, high = bisect_left(seqs, span.first), bisect_right(seqs, span.last)
        if row is None or low == high:
            n = span.last - span.first + 1
            tx.account(Drop(storage_class, epoch.name, span.first, span.last, n, THINNED))
            continue
        kept = records[low:high]
        for fresh in packed(storage_class, epoch.index, epoch.name, row.boot, span, kept):
            tx.insert(storage_class, fresh)
    if not waited_for and epoch.index in tx.books.acked:
        acked.remove(head.first, head.last)
        if not acked:
            del tx.books.acked[epoch.index]
    return dropped


def _row(tx: Transaction, storage_class: StorageClass, head: Head) -> RawRow | None:
    found = tx.db.execute(
        f"SELECT id, first, last, n, epoch, boot, crc, body FROM {storage_class.value}"
        " WHERE id = ?",
        (head.id,),
    ).fetchone()
    row = RawRow._make(found) if found is not None and well_typed(found) else None
    return row if row is not None and intact(storage_class, row) else None


def _within(seqs: Sequence[int], spans: Iterable[Range]) -> int:
    """How many of some rising numbers lie in the spans."""
    return sum(bisect_right(seqs, last) - bisect_left(seqs, first) for first, last in spans)
