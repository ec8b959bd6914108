"""History made coarser instead of dropped: of each interval every signal keeps its last value.

A thinned row keeps its numbers: those that went are holes in it, accounted for by the row itself
and told to the far end together with what is left, reason `thinned`. Rows that follow each other
become one, so that ten seconds do not cost ten heads. A day at 1 Hz keeps its shape at a tenth and
at a sixtieth of its records.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from agent.record import Record, StorageClass
from agent.store.body import Unit, packed, units
from agent.store.rawrow import EPOCH_SHIFT, RawRow, intact, well_typed
from agent.store.state import Epoch, State
from agent.store.weight import ROW_OVERHEAD_BYTES, Head, weight

REASON = "thinned"
STEP_ROWS = 96
STEP_BYTES = 512 << 10
"""A step is part of a commit: some ten milliseconds, and room in the log for what it rewrites."""
MAX_SPAN = 20_000
"""Numbers in one row at most, with its holes: it is acknowledged as a whole."""
_SELECT = "SELECT id, first, last, n, epoch, boot, crc, body FROM history"


class Thinning(Protocol):
    """The transaction that rows are thinned in."""

    db: sqlite3.Connection
    suspect: bool
    changed: bool

    @property
    def state(self) -> State: ...
    def delete(self, storage_class: StorageClass, head: Head) -> None: ...
    def insert(self, storage_class: StorageClass, row: RawRow) -> None: ...


class Stretch(NamedTuple):
    """Rows of one epoch and boot whose numbers follow each other."""

    rows: list[RawRow]
    units: list[Unit]


def kept(records: Sequence[Record], interval_ms: int) -> list[bool]:
    """Which of some records, in their order, stay at one value a signal in each interval.

    A record stays where it has the last value, or the last state, of one of its signals in its
    interval of boot time. One without values stays.
    """
    seen: set[tuple[str, str, str, int]] = set()
    stay = [False] * len(records)
    for at in range(len(records) - 1, -1, -1):
        record = records[at]
        interval = record.boottime_ms // interval_ms
        paths = [*record.values, *record.states]
        fresh = [
            key
            for path in paths
            if (key := (record.source, record.kind.value, path, interval)) not in seen
        ]
        stay[at] = bool(fresh) or not paths
        seen.update(fresh)
    return stay


def thin_some(tx: Thinning, interval_s: int, most_bytes: int) -> int | None:
    """Thin the oldest history that is not that coarse yet; the records that went.

    `most_bytes`: of stored rows at once. None where there is none, or none that can be read.
    """
    after = tx.state.thinned.get(str(interval_s), 0)
    found = tx.db.execute(f"{_SELECT} WHERE id > ? ORDER BY id LIMIT {STEP_ROWS}", (after,))
    most_bytes = min(most_bytes, STEP_BYTES)
    rows: list[RawRow] = []
    nbytes = 0
    last = after
    for item in found:
        row = RawRow._make(item) if well_typed(item) else None
        if row is None or row.id <= last or not intact(StorageClass.HISTORY, row):
            # Whoever looks everything through will account for it; what follows can wait.
            tx.suspect = True
            break
        if rows and nbytes + len(row.body) + ROW_OVERHEAD_BYTES > most_bytes:
            break
        rows.append(row)
        nbytes += len(row.body) + ROW_OVERHEAD_BYTES
        last = row.id
    if not rows:
        return None
    gone = sum(_rewrite(tx, stretch, interval_s) for stretch in _stretches(tx.state, rows))
    name = str(interval_s)
    tx.state.coarse[name] = tx.state.coarse.get(name, 0) + weight(tx.db, after, last)
    tx.state.thinned[name] = last
    tx.state.tally(StorageClass.HISTORY).dropped += gone
    tx.changed = True
    return gone


def _stretches(state: State, rows: Iterable[RawRow]) -> list[Stretch]:
    found: list[Stretch] = []
    epochs = {epoch.index: epoch for epoch in state.epochs}
    for row in rows:
        epoch: Epoch | None = epochs.get(row.id >> EPOCH_SHIFT)
        if epoch is None or epoch.name != row.epoch or row.last > epoch.seq:
            continue
        try:
            content = units(row)
        except ValueError:
            continue
        before = found[-1].rows[-1] if found else None
        if (
            before is not None
            and before.id >> EPOCH_SHIFT == row.id >> EPOCH_SHIFT
            and before.boot == row.boot
            and before.last + 1 == row.first
            and row.last - found[-1].rows[0].first < MAX_SPAN
        ):
            found[-1].rows.append(row)
            found[-1].units.extend(content)
        else:
            found.append(Stretch([row], list(content)))
    return found


def _rewrite(tx: Thinning, stretch: Stretch, interval_s: int) -> int:
    """Thin one stretch; the records that went, 0 where it is not worth it."""
    stay = kept([unit.record for unit in stretch.units], interval_s * 1000)
    left = [unit for unit, stays in zip(stretch.units, stay, strict=True) if stays]
    gone = len(stretch.units) - len(left)
    if not gone or not left:
        return 0
    table = StorageClass.HISTORY
    old_bytes = sum(len(row.body) + ROW_OVERHEAD_BYTES for row in stretch.rows)
    first, last = stretch.rows[0].first, stretch.rows[-1].last
    index = stretch.rows[0].id >> EPOCH_SHIFT
    fresh = packed(table, index, stretch.rows[0].epoch, stretch.rows[0].boot, (first, last), left)
    if sum(len(row.body) + ROW_OVERHEAD_BYTES for row in fresh) >= old_bytes:
        return 0
    for row in stretch.rows:
        tx.delete(table, Head(row.id, row.first, row.last, row.n, len(row.body)))
    for row in fresh:
        tx.insert(table, row)
    return gone
