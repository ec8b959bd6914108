"""One transaction of the outbox: acknowledge, drop, append, keep the quota, write the state row.

It works on copies of what the outbox knows in RAM; the engine adopts them after the commit.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from agent.clock import OffsetRow
from agent.record import CLASS_OF, Record, StorageClass
from agent.store import powered
from agent.store import state as states
from agent.store.accounts import DAMAGED, MISSING, Accounts
from agent.store.acknowledging import acknowledge
from agent.store.body import bodies
from agent.store.eviction import PAGE_BYTES, keep_limits, make_room
from agent.store.intervals import IntervalSet
from agent.store.limits import Limits
from agent.store.parting import part
from agent.store.rawrow import RawRow, checksum, row_id, sound
from agent.store.rows import Change, Done, Drop, Range, RowHead
from agent.store.schema import Damaged
from agent.store.shedding import fit
from agent.store.state import Epoch, State
from agent.store.weight import HEAD, ROW_OVERHEAD_BYTES, Head

PAGES_A_ROW = 3
FIXED_PAGES = 16
"""Pages of the log beside bodies: leaves of the tables, the state, the accounts, free pages."""


@dataclass(slots=True)
class Books:
    """What the outbox knows without asking the disk. `acked`: by epoch index, partial acks.

    `given_up`: records that accounts were written for in the life of this process, by reason.
    """

    state: State
    accounts: Accounts
    acked: dict[int, IntervalSet]
    given_up: Counter[str] = field(default_factory=Counter)

    def copy(self) -> Books:
        """An independent copy."""
        acked = {index: found.copy() for index, found in self.acked.items()}
        return Books(self.state.copy(), self.accounts.copy(), acked, self.given_up.copy())


class Moved(NamedTuple):
    """A row that came (`sign` 1) or went (-1)."""

    sign: int
    storage_class: StorageClass
    id: int
    first: int
    last: int
    n: int


class Transaction:
    """Between BEGIN and COMMIT; `books` is what will hold after it."""

    def __init__(
        self,
        db: sqlite3.Connection,
        books: Books,
        limits: Limits,
        boottime_ms: int = 0,
        file: Path | None = None,
    ) -> None:
        self.db = db
        self.books = books.copy()
        self.moved: list[Moved] = []
        self.offsets: list[OffsetRow] | None = None
        self.catalogue: dict[str, bytes] | None = None
        self.changed = False
        self.framed = b""
        """The state row as it was written; empty where nothing changed."""
        self.suspect = False
        """A row was met whose head cannot be right: everything must be looked through."""
        self.scarce = False
        """There is little room: the file must not need more than there is."""
        self.touched_bytes = FIXED_PAGES * PAGE_BYTES
        """What it writes into the log at most."""
        self.limits = limits
        self.file = file
        self._boottime_ms = boottime_ms
        self.accounts_changed = False

    @property
    def state(self) -> State:
        """The state that will hold."""
        return self.books.state

    def apply(self, change: Change, refusals: int = 0, log_bytes: int = 0) -> Done:
        """Do all of a change. `refusals`: so often the disk had no room for it; see `fit`."""
        acknowledged = sum(acknowledge(self, epoch, ranges) for epoch, ranges in change.acked)
        dropped = sum(self.give_up(*loss) for loss in change.drops)
        powered.elapse(self.state.powered, change.boot, self._boottime_ms)
        records: dict[StorageClass, list[Record]] = {}
        for record in change.records:
            records.setdefault(CLASS_OF[record.kind], []).append(record)
        fresh = {of: list(bodies(alike)) for of, alike in records.items()}
        nbytes = sum(len(body) + PAGE_BYTES for _, body in itertools.chain(*fresh.values()))
        dropped += make_room(self, nbytes, tight=refusals > 0)
        first = self.state.current.seq + 1
        if refusals and (shed := fit(self, records, refusals, log_bytes)):
            dropped += shed
            fresh = {of: list(bodies(alike)) for of, alike in records.items()}
        self._append(fresh, change.boot)
        dropped += keep_limits(self)
        for source, mark in change.marks.items():
            self.state.marks[source] = (mark.stream, mark.upto)
            self.changed = True
        if change.offsets is not None:
            self.write_offsets(change.offsets)
        if change.catalogue is not None:
            self.write_catalogue(change.catalogue)
        last = self.state.current.seq
        return Done(first, last, last - first + 1, acknowledged, dropped)

    def finish(self) -> bool:
        """Write the state row where anything changed; say whether.

        Raises Damaged where more went than ever came: a damaged page gives rows again and again.
        """
        if any(tally.queued < 0 for tally in self.state.tallies.values()):
            raise Damaged("rows that were deleted came back")
        if self.accounts_changed:
            self.state.sum_up("dropped", self.books.accounts)
            self.state.owed = self.books.accounts.owed()
        if self.changed:
            self.state.clean = False
            self.write_state()
        return self.changed

    def write_state(self) -> None:
        """Write the state row as that of a new commit."""
        self.state.stamp()
        self.framed = states.encode(self.state)
        self.db.execute("UPDATE state SET body = ? WHERE id = 1", (self.framed,))

    def write_offsets(self, offsets: Sequence[OffsetRow]) -> None:
        """Replace the table of UTC offsets."""
        self.offsets = list(offsets)
        self.state.sum_up("offset", self.offsets)
        self.db.execute("DELETE FROM offset")
        self.db.executemany(
            "INSERT INTO offset (boot, from_boottime_ms, utc_offset_ms, source)"
            " VALUES (?, ?, ?, ?)",
            [(o.boot, o.from_boottime_ms, o.utc_offset_ms, o.source.value) for o in offsets],
        )
        self.changed = True

    def write_catalogue(self, catalogue: Mapping[str, bytes]) -> None:
        """Replace what the drivers declared."""
        self.catalogue = dict(catalogue)
        self.state.sum_up("catalogue", sorted(catalogue.items()))
        self.db.execute("DELETE FROM catalogue")
        self.db.executemany(
            "INSERT INTO catalogue (source, groups) VALUES (?, ?)", list(catalogue.items())
        )
        self.changed = True

    def _append(self, fresh: Mapping[StorageClass, Sequence[tuple[int, bytes]]], boot: str) -> None:
        epoch = self.state.current
        for storage_class in StorageClass:
            for n, body in fresh.get(storage_class, ()):
                first, last = epoch.seq + 1, epoch.seq + n
                crc = checksum(storage_class, epoch.name, first, last, boot, body, n)
                key = row_id(epoch.index, first)
                self.insert(storage_class, RawRow(key, first, last, n, epoch.name, boot, crc, body))
                self.state.tally(storage_class).accepted += n
                epoch.seq = last

    def insert(self, storage_class: StorageClass, row: RawRow) -> None:
        """Add a row as it is; the caller accounts for its records."""
        self.touched_bytes += len(row.body) + PAGES_A_ROW * PAGE_BYTES
        self.db.execute(
            f"INSERT INTO {storage_class.value} (id, first, last, n, epoch, boot, crc, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        self._weigh(storage_class, row.id, len(row.body) + ROW_OVERHEAD_BYTES)
        if row.n < row.last - row.first + 1:
            self.state.holed = max(self.state.holed, row.id)
        self.moved.append(Moved(1, storage_class, row.id, row.first, row.last, row.n))
        self.changed = True

    def delete(self, storage_class: StorageClass, head: Head) -> None:
        """Delete a row; the caller accounts for its records."""
        self.touched_bytes += PAGES_A_ROW * PAGE_BYTES
        self.db.execute(f"DELETE FROM {storage_class.value} WHERE id = ?", (head.id,))
        self._weigh(storage_class, head.id, -head.nbytes - ROW_OVERHEAD_BYTES)
        self.moved.append(Moved(-1, storage_class, head.id, head.first, head.last, head.n))
        self.changed = True

    def _weigh(self, storage_class: StorageClass, key: int, nbytes: int) -> None:
        self.state.tally(storage_class).nbytes += nbytes
        if storage_class is StorageClass.HISTORY:
            for interval, reached in self.state.thinned.items():
                if key <= reached:
                    self.state.coarse[interval] = self.state.coarse.get(interval, 0) + nbytes

    def sound(self, head: Head, epoch: Epoch) -> bool:
        """Whether the head of a row can be right; else everything must be looked through."""
        if sound(head.id, head.first, head.last, head.n) and head.last <= epoch.seq:
            return True
        self.suspect = True
        return False

    def give_up(self, head: RowHead, reason: str, spans: Sequence[Range] = ()) -> int:
        """Drop a row, or the records `spans` of it; the records dropped, 0 where it is gone."""
        epoch = self.state.epoch(head.epoch)
        if epoch is None:
            return 0
        found = self.db.execute(
            f"{HEAD} {head.storage_class.value} WHERE id = ?", (row_id(epoch.index, head.first),)
        ).fetchone()
        if found is None or (found[2], found[4]) != (head.last, head.nbytes):
            return 0
        return self.drop(head.storage_class, epoch, Head._make(found), reason, spans)

    def drop(
        self,
        storage_class: StorageClass,
        epoch: Epoch,
        head: Head,
        reason: str,
        spans: Sequence[Range] = (),
    ) -> int:
        """Drop a row with an account; the records dropped, 0 where its head cannot be right.

        `spans`: only these records of it. What is acknowledged of it counts as acknowledged.
        """
        if not self.sound(head, epoch):
            return 0
        whole = Range(head.first, head.last)
        acked = self.books.acked.get(epoch.index)
        if spans or (acked and next(acked.gaps(*whole), None) != whole):
            dropped = part(self, storage_class, epoch, head, reason, spans or [whole])
            if dropped is not None:
                return dropped
            if spans:
                reason = DAMAGED
        self.delete(storage_class, head)
        self.state.tally(storage_class).dropped += head.n
        # Of what was thinned before, the far end has not heard either.
        count = head.last - head.first + 1
        self.account(Drop(storage_class, epoch.name, head.first, head.last, count, reason))
        return head.n

    def account(self, drop: Drop) -> None:
        """Write a drop account; the caller counts the records."""
        self.books.accounts.add(self.db, drop, self._joinable)
        self.books.given_up[drop.reason] += drop.count
        self.changed = self.accounts_changed = True

    def _joinable(self, before: Drop, after: Drop) -> bool:
        """Whether one account may span both: no queued record lies between them.

        Nor another account of the class: the far end takes what lies within another for told.
        """
        if after.reason == MISSING:
            return False  # a gap between rows of any class, as wide as it is
        if before.last + 1 == after.first:
            return True
        if after.reason == "refused":
            return False  # of one record: what was delivered between two is no part of it
        between = Range(before.last + 1, after.first - 1)
        told = self.books.accounts.overlapping(after.epoch, between)
        if any(drop.storage_class is after.storage_class for _, drop in told):
            return False
        epoch = self.state.epoch(after.epoch)
        if epoch is None or self.state.salvage is not None:
            return False
        low, high = row_id(epoch.index, before.last), row_id(epoch.index, after.first)
        return not any(
            self.db.execute(
                f"SELECT 1 FROM {table.value} WHERE id > ? AND id < ? LIMIT 1", (low, high)
            ).fetchone()
            for table in StorageClass
        )
