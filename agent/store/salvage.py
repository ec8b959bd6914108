"""Verifies rows in the background and brings intact rows of damaged files back, in small steps.

The agent runs meanwhile on a fresh epoch. Rows keep their epoch and numbers. What cannot be read
again is accounted for as dropped, so that the books balance when all is done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from agent.record import StorageClass
from agent.store import accounts, aside, schema
from agent.store.engine import Engine
from agent.store.intervals import IntervalSet
from agent.store.rawrow import EPOCH_SHIFT, MASK, RawRow, sound
from agent.store.rows import OutboxFull, RowHead
from agent.store.scan import Findings, Scan, beyond, read
from agent.store.state import Aside, Epoch, Salvage, State, Tally
from agent.store.transaction import Transaction
from agent.store.weight import ROW_OVERHEAD_BYTES, weight


class Caretaker:
    """Owns the passes over the rows; one step is a few hundred rows."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        self._directory = directory
        self._scan: Scan | None = None
        self._source: tuple[int, sqlite3.Connection | None] | None = None

    def work_left(self) -> bool:
        """Whether there is anything to verify or to salvage."""
        state = self._engine.books.state
        return bool(state.salvage or self._engine.scan_wanted or self._scan)

    def step(self) -> bool:
        """Do a little; True while there is more. Raises OutboxFull."""
        salvage = self._engine.books.state.salvage
        if salvage is not None:
            self._salvage_some(salvage)
        elif self._engine.scan_wanted or self._scan is not None:
            self._verify_some()
        return self.work_left()

    # --- verifying the open file ---------------------------------------------------------------

    def _verify_some(self) -> None:
        if self._scan is None:
            self._scan = Scan()
            self._engine.follow = self._scan.follow
            self._engine.scan_wanted = False
            # What the file holds counts, not what the connection remembers of it.
            self._engine.ready().execute("PRAGMA shrink_memory")
        scan = self._scan
        db = self._engine.ready()
        if self._engine.books.state.salvage is not None:
            self._end_scan()
            return
        try:
            found = scan.step(db)
        except sqlite3.DatabaseError:
            self._end_scan()
            self._engine.replace()
            self._engine.ready()
            return
        try:
            if found is None:
                self._end_scan()
                self._engine.run(lambda tx: settle(tx, scan.findings))
            elif found[1]:
                storage_class, bad = found
                self._engine.run(lambda tx: drop_bad(tx, storage_class, bad))
        except OutboxFull:
            # What was found bad is still there: the pass has to be made again.
            self._end_scan()
            self._engine.scan_wanted = True
            raise

    def _end_scan(self) -> None:
        self._scan = None
        self._engine.follow = lambda _moved: None

    # --- salvaging files that were moved aside --------------------------------------------------

    def _salvage_some(self, salvage: Salvage) -> None:
        if not salvage.asides:
            self._engine.run(finish)
            return
        item = salvage.asides[0]
        db = self._open(item.number)
        table = next((c for c in StorageClass if c.value not in item.done or _open(item, c)), None)
        if db is None or table is None:
            self._engine.run(forget_first)
            self._close()
            aside.retire(self._directory, item.number)
            return
        after = item.done.get(table.value, 0)
        batch = read(db, table, after)
        last = batch.last
        if batch.broken:
            last = beyond(db, table, max(after, batch.rows[-1].id if batch.rows else after))
        rows, number = batch.rows, item.number
        self._engine.run(lambda tx: bring_back(tx, number, table, rows, last))

    def _open(self, number: int) -> sqlite3.Connection | None:
        if self._source is None or self._source[0] != number:
            self._close()
            try:
                db = aside.open_damaged(aside.path_of(self._directory, number))
            except (sqlite3.Error, OSError, schema.Damaged):
                db = None
            self._source = (number, db)
        return self._source[1]

    def _close(self) -> None:
        if self._source is not None and self._source[1] is not None:
            self._source[1].close()
        self._source = None


_THROUGH = 1 << 62


def _open(item: Aside, storage_class: StorageClass) -> bool:
    return item.done.get(storage_class.value, 0) < _THROUGH


def drop_bad(tx: Transaction, storage_class: StorageClass, keys: Iterable[int]) -> None:
    """Drop rows that are not what was written; one whose head is wrong too is just removed.

    What the removed ones held shows in the counters at the end of the pass.
    """
    for key in keys:
        found = tx.db.execute(
            f"SELECT first, last, n, length(body) FROM {storage_class.value} WHERE id = ?", (key,)
        ).fetchone()
        epoch = next((e for e in tx.state.epochs if e.index == key >> EPOCH_SHIFT), None)
        if found and epoch and sound(key, *found[:3]) and found[1] <= epoch.seq:
            head = RowHead(storage_class, epoch.name, found[0], found[1], "", found[3] or 0)
            tx.give_up(head, accounts.DAMAGED)
        else:
            tx.db.execute(f"DELETE FROM {storage_class.value} WHERE id = ?", (key,))
            if found and isinstance(found[3], int):
                tx.state.tally(storage_class).nbytes -= found[3] + ROW_OVERHEAD_BYTES
            tx.changed = True


def settle(tx: Transaction, findings: Findings) -> None:
    """The pass is through: what the counters claim beyond the rows found is accounted as lost.

    Where a log was cut, pages may be newer than the counters, or older: rows may be there that were
    given up with the end of the log, and as many others may be gone.
    """
    lost = {
        storage_class: tx.state.tally(storage_class).queued - findings.count[storage_class]
        for storage_class in StorageClass
    }
    for storage_class, count in lost.items():
        if count < 0:
            _return(tx.state.tally(storage_class), -count)
            tx.changed = True
    if tx.state.cut or any(count > 0 for count in lost.values()):
        _account(tx, lost, findings.live, tx.state.epochs)
        tx.state.cut = False
    if findings.bad:
        for storage_class in StorageClass:
            count, nbytes = tx.db.execute(
                f"SELECT count(*), coalesce(sum(length(body)), 0) FROM {storage_class.value}"
            ).fetchone()
            tx.state.tally(storage_class).nbytes = nbytes + count * ROW_OVERHEAD_BYTES
        for interval, reached in tx.state.thinned.items():
            tx.state.coarse[interval] = weight(tx.db, 0, reached)
        tx.changed = True


def bring_back(
    tx: Transaction, number: int, table: StorageClass, rows: Iterable[RawRow], last: int | None
) -> None:
    """Put intact rows of the damaged file back; `last`: where to go on, None at the end."""
    salvage = tx.state.salvage
    if salvage is None or not salvage.asides or salvage.asides[0].number != number:
        return
    item = salvage.asides[0]
    current = tx.state.current
    for row in rows:
        index = row.id >> EPOCH_SHIFT
        epoch = next((e for e in tx.state.epochs if e.name == row.epoch), None)
        if epoch is None:
            if item.known or any(e.index == index for e in tx.state.epochs):
                continue
            epoch = Epoch(index, row.epoch, 0)
            tx.state.epochs.insert(0, epoch)
        if epoch is current or epoch.index != index or _holds(tx, table, row.id):
            continue
        if not item.known:
            tx.state.tally(table).accepted += row.n
            epoch.seq = max(epoch.seq, row.last)
        elif row.last > epoch.seq:
            continue
        else:
            left = salvage.expected.get(table.value, 0) - row.n
            if not _return(tx.state.tally(table), max(0, -left)):
                continue
            salvage.expected[table.value] = max(0, left)
        tx.insert(table, row)
    item.done[table.value] = _THROUGH if last is None else last
    tx.changed = True


def _return(tally: Tally, n: int) -> bool:
    """Count `n` records as queued that the counters knew of as gone; False where they did not.

    They were given up and were there all the same, or were acknowledged, came back, and will be
    once more.
    """
    if n > tally.dropped + tally.acknowledged:
        return False
    given_up = min(n, tally.dropped)
    tally.dropped -= given_up
    tally.acknowledged -= n - given_up
    return True


def _holds(tx: Transaction, table: StorageClass, key: int) -> bool:
    found = tx.db.execute(f"SELECT 1 FROM {table.value} WHERE id = ?", (key,)).fetchone()
    return found is not None


def forget_first(tx: Transaction) -> None:
    """The first damaged file has given all it has."""
    if tx.state.salvage is not None and tx.state.salvage.asides:
        tx.state.salvage.asides.pop(0)
        tx.changed = True


def finish(tx: Transaction) -> None:
    """All files are through: what was expected and not found is accounted as dropped."""
    salvage = tx.state.salvage
    if salvage is None:
        return
    tx.state.salvage = None
    tx.changed = True
    lost = {c: salvage.expected.get(c.value, 0) for c in StorageClass}
    # Also where as many were found as were expected: some of them had been accounted for.
    live: dict[int, IntervalSet] = {}
    for storage_class in StorageClass:
        for key, last in tx.db.execute(f"SELECT id, last FROM {storage_class.value}"):
            live.setdefault(key >> EPOCH_SHIFT, IntervalSet()).add(key & MASK, last)
    _account(tx, lost, live, tx.state.epochs[:-1], salvage.owed)


def _account(
    tx: Transaction,
    lost: dict[StorageClass, int],
    live: dict[int, IntervalSet],
    epochs: Iterable[Epoch],
    owed: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Account for what is `lost`, and anew for what accounts that are lost too had counted."""
    known = list(tx.books.accounts)
    gaps = [
        (epoch.name, gap)
        for epoch in epochs
        for gap in accounts.gaps(
            epoch.seq,
            live.get(epoch.index, IntervalSet()),
            [drop for drop in known if drop.epoch == epoch.name],
        )
    ]
    counts = {c: max(0, count) + owed.get(c.value, 0) for c, count in lost.items()}
    for drop in accounts.allot(gaps, counts):
        tx.account(drop)
    for storage_class, count in lost.items():
        if count > 0:
            tx.state.tally(storage_class).dropped += count
    tx.changed = True


def unsalvaged(state: State) -> int:
    """Records that the counters hold as queued and that are still in damaged files."""
    return sum(state.salvage.expected.values()) if state.salvage else 0
