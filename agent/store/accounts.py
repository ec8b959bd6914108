"""The drop accounts: which accepted records will never be delivered, until the far end knows."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from agent.record import StorageClass
from agent.store.intervals import IntervalSet
from agent.store.rows import Drop, Range

DAMAGED = "damaged"
"""Why a row is given up that is not what was written."""
MISSING = "missing"
"""Why numbers are in no row: nobody here knows any more. The far end knows which it never had."""

_SELECT = "SELECT id, class, epoch, first, last, count, reason FROM dropped ORDER BY id"


class Accounts:
    """The accounts in RAM, written through to their table within the caller's transaction."""

    def __init__(self, rows: Mapping[int, Drop]) -> None:
        self._rows = dict(rows)
        self._newest: dict[tuple[StorageClass, str, str], int] = {
            (drop.storage_class, drop.epoch, drop.reason): key for key, drop in self._rows.items()
        }
        self._next = max(self._rows, default=0) + 1

    def __iter__(self) -> Iterator[Drop]:
        return iter(self._rows.values())

    def owed(self) -> dict[str, int]:
        """The records that they count, by the name of their class."""
        found: dict[str, int] = {}
        for drop in self._rows.values():
            name = drop.storage_class.value
            found[name] = found.get(name, 0) + drop.count
        return found

    def damage(self) -> Counter[str]:
        """The records that were lost to damage and not to a rule, by reason."""
        found = Counter[str]()
        for drop in self._rows.values():
            if drop.reason in (DAMAGED, MISSING):
                found[drop.reason] += drop.count
        return found

    def copy(self) -> Accounts:
        """An independent copy."""
        other = Accounts({})
        other._rows = self._rows.copy()
        other._newest = self._newest.copy()
        other._next = self._next
        return other

    def add(
        self, db: sqlite3.Connection, drop: Drop, joinable: Callable[[Drop, Drop], bool]
    ) -> None:
        """Write `drop` down; it extends the account before it where `joinable(before, drop)`."""
        group = (drop.storage_class, drop.epoch, drop.reason)
        key = self._newest.get(group)
        before = None if key is None else self._rows[key]
        behind = before is not None and before.last < drop.first
        if key is not None and before is not None and behind and joinable(before, drop):
            self._rows[key] = Drop(
                drop.storage_class,
                drop.epoch,
                before.first,
                drop.last,
                before.count + drop.count,
                drop.reason,
            )
            db.execute(
                "UPDATE dropped SET last = ?, count = ? WHERE id = ?",
                (drop.last, before.count + drop.count, key),
            )
            return
        key = self._next
        self._next += 1
        self._rows[key] = drop
        self._newest[group] = key
        db.execute(
            "INSERT INTO dropped (id, class, epoch, first, last, count, reason)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                drop.storage_class.value,
                drop.epoch,
                drop.first,
                drop.last,
                drop.count,
                drop.reason,
            ),
        )

    def overlapping(self, epoch: str, span: Range) -> list[tuple[int, Drop]]:
        """The accounts of `epoch` that share a seq with `span`."""
        return [
            (key, drop)
            for key, drop in self._rows.items()
            if drop.epoch == epoch and drop.first <= span.last and drop.last >= span.first
        ]

    def settle(self, db: sqlite3.Connection, key: int) -> None:
        """Delete an account that the far end has."""
        drop = self._rows.pop(key)
        group = (drop.storage_class, drop.epoch, drop.reason)
        if self._newest.get(group) == key:
            del self._newest[group]
        db.execute("DELETE FROM dropped WHERE id = ?", (key,))


def load(db: sqlite3.Connection) -> dict[int, Drop]:
    """The table as it is on disk. Raises ValueError on a class that nobody wrote."""
    return {
        row[0]: Drop(StorageClass(row[1]), row[2], row[3], row[4], row[5], row[6])
        for row in db.execute(_SELECT)
    }


def allot(gaps: Iterable[tuple[str, Range]], lost: Mapping[StorageClass, int]) -> list[Drop]:
    """Accounts that cover all `gaps` (epoch, range) and together count what was `lost`.

    Nobody here knows any more which record of a gap was delivered and which was lost. The newest
    gaps get the counts first: what is delivered is mostly old. A gap without a count is accounted
    with 0, so that the far end does not wait for it. The far end counts what it never had.
    """
    rest = {storage_class: count for storage_class, count in lost.items() if count > 0}
    found: list[Drop] = []
    for epoch, gap in reversed(list(gaps)):
        room = gap.last - gap.first + 1
        before = len(found)
        for storage_class in list(rest):
            if room:
                count = min(room, rest[storage_class])
                room -= count
                rest[storage_class] -= count
                found.append(Drop(storage_class, epoch, gap.first, gap.last, count, MISSING))
                if not rest[storage_class]:
                    del rest[storage_class]
        if len(found) == before:
            found.append(Drop(StorageClass.HISTORY, epoch, gap.first, gap.last, 0, MISSING))
    return found[::-1]


def gaps(seq: int, live: IntervalSet, known: Iterable[Drop]) -> Iterator[Range]:
    """The parts of 1..`seq` that are in no row and in no account."""
    held = live.copy()
    for drop in known:
        held.add(drop.first, drop.last)
    return held.gaps(1, seq)
