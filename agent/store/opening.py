"""Opening an outbox in whatever condition it is: new, clean, after a kill, damaged.

Nothing here reads rows: it takes a few ms with any backlog.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.clock import OffsetRow
from agent.record import StorageClass
from agent.store import accounts, aside, schema, tables, water
from agent.store import state as states
from agent.store.accounts import Accounts
from agent.store.limits import Limits
from agent.store.room import sync_directory
from agent.store.rows import Drop, Range
from agent.store.state import Aside, Epoch, Salvage, State
from agent.store.transaction import Books, Transaction


@dataclass(slots=True)
class Opened:
    """An open outbox. `how`: created, clean, unclean or salvaging; `scan`: verify its rows."""

    db: sqlite3.Connection
    books: Books
    how: str
    scan: bool
    offsets: Sequence[OffsetRow] = ()
    catalogue: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Memory:
    """What is known of a damaged file at the moment of replacing it, newest knowledge first.

    `newest` is the newest state known, `standing` the one that goes with its readable rows; None
    where unknown. The tables are None where they could not be read.
    """

    newest: State | None = None
    standing: State | None = None
    drops: Sequence[Drop] | None = None
    offsets: Sequence[OffsetRow] = ()
    catalogue: Mapping[str, bytes] = field(default_factory=dict)


def open_outbox(directory: Path, failpoint: Callable[[str], None] = schema.ignore) -> Opened:
    """Open or create `directory`/outbox.db.

    Raises OutboxTooNew, or sqlite3.Error where the disk does not let it (full, read-only).
    """
    path = directory / schema.FILE
    schema.refuse_newer(path)
    schema.mend_header(path)
    aside.finish_move(directory)
    traces = aside.traces(path)
    if not path.exists() or path.stat().st_size == 0:
        if traces.log or traces.water:
            return _replace(directory, traces)
        return _create(directory)
    try:
        lost = _recover(path, traces)
        db = schema.connect(path)
    except (sqlite3.Error, schema.Damaged) as error:
        if not schema.is_damage(error):
            raise
        return _replace(directory, traces)
    try:
        if schema.is_empty(db):
            db.close()
            return _create(directory)
        schema.check(db)
        schema.update(db, failpoint)
        state = schema.read_state(db)
        books = Books(state, Accounts(tables.drops(db, state)), {})
        offset_rows, declared = tables.offsets(db, state), tables.catalogue(db, state)
    except (sqlite3.Error, schema.Damaged, ValueError) as error:
        db.close()
        if isinstance(error, sqlite3.Error) and not schema.is_damage(error):
            raise
        return _replace(directory, traces)
    except BaseException:
        db.close()
        raise
    how = "salvaging" if state.salvage else "clean" if state.clean else "unclean"
    scan = state.unverified or not state.clean
    behind = water.lost(traces.water, state)
    if behind or (lost and not state.clean):
        books = _go_on_after(db, books, traces.newest_state())
    scan = scan or books.state.cut
    pending = {item.number for item in state.salvage.asides} if state.salvage else set()
    for number in set(aside.numbers(directory)) - pending:
        aside.retire(directory, number)
    return Opened(db, books, how, scan, offset_rows, declared)


def _recover(path: Path, traces: aside.Traces) -> bool:
    """Let SQLite recover the log; whether commits were lost. Raises Damaged, sqlite3.Error."""
    recovered = aside.recovered_frames(path) if traces.log else 0
    if not traces.lost_commits(recovered):
        return False
    if traces.log and not traces.log_needed():
        # All of it reached the file before: a damaged log must not lay old pages over new ones.
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return False
    if traces.backfilled > recovered:
        raise schema.Damaged("its log is damaged where the file already went further")
    return True


def _create(directory: Path) -> Opened:
    """A new outbox; where a crash came right after a damaged one was moved aside, its successor."""
    moved = aside.numbers(directory)
    if moved:
        return _succeed(directory, moved[-1], aside.traces(aside.path_of(directory, moved[-1])))
    state = states.fresh()
    db = schema.connect(directory / schema.FILE)
    try:
        schema.create(db, state)
    except BaseException:
        db.close()
        raise
    sync_directory(directory)
    return Opened(db, Books(state, Accounts({}), {}), "created", scan=False)


def _replace(directory: Path, traces: aside.Traces) -> Opened:
    """Move what is damaged aside and begin anew, with all that is still known of it."""
    return _succeed(directory, aside.move(directory), traces)


def _succeed(directory: Path, number: int, traces: aside.Traces) -> Opened:
    carved = traces.newest_state()
    memory = remember(directory, number, carved)
    if carved and (memory.newest is None or carved.serial > memory.newest.serial):
        memory.newest = carved
    return begin_anew(directory, number, memory)


def remember(directory: Path, number: int, known: State | None = None) -> Memory:
    """What SQL still reads of the small tables of a damaged file.

    Where its state row is gone, `known` vouches for them: a state from elsewhere.
    """
    memory = Memory()
    try:
        db = aside.open_damaged(aside.path_of(directory, number))
    except (sqlite3.Error, schema.Damaged, OSError):
        return memory
    with closing(db):
        try:
            state = memory.newest = memory.standing = schema.read_state(db)
        except (sqlite3.Error, schema.Damaged):
            if known is None:
                return memory
            state = memory.newest = known
        with suppress(sqlite3.Error, schema.Damaged):
            memory.drops = list(tables.drops(db, state).values())
        with suppress(sqlite3.Error, schema.Damaged):
            memory.offsets = tables.offsets(db, state)
        with suppress(sqlite3.Error, schema.Damaged):
            memory.catalogue = tables.catalogue(db, state)
    return memory


def begin_anew(directory: Path, number: int, memory: Memory) -> Opened:
    """A new file with a new epoch that goes on where the damaged one, `number`, stood."""
    state = states.fresh()
    tail: list[Drop] = []
    newest = memory.newest
    salvage = newest.salvage if newest else None
    salvage = salvage or Salvage([], {})
    salvage.asides.append(Aside(number, newest is not None, {}))
    if newest is not None and memory.drops is None:
        for name, count in newest.owed.items():
            salvage.owed[name] = salvage.owed.get(name, 0) + count
    if newest is None:
        # Above all indexes that a file whose state is lost can hold.
        state.epochs[0].index = 1024 + 64 * number
    else:
        standing = memory.standing or newest
        tail = merge(newest, standing)
        newest.epochs.append(_next_epoch(newest))
        state = newest
        salvage.expected = {name: max(0, tally.queued) for name, tally in state.tallies.items()}
    for tally in state.tallies.values():
        tally.nbytes = 0
    state.coarse = {}
    state.salvage = salvage
    state.clean = state.cut = False
    state.sums = {}
    db = schema.connect(directory / schema.FILE)
    tx = Transaction(db, Books(state, Accounts({}), {}), Limits({}))

    def fill() -> None:
        for drop in memory.drops or ():
            tx.account(drop)
        tx.books.given_up.clear()  # these were given up before
        for drop in tail:
            tx.account(drop)
        tx.write_offsets(memory.offsets)
        tx.write_catalogue(memory.catalogue)
        tx.finish()

    try:
        # One transaction: counters without their accounts would look whole.
        schema.create(db, state, fill=fill)
    except BaseException:
        db.close()
        raise
    return Opened(
        db, tx.books, "salvaging", scan=False, offsets=memory.offsets, catalogue=memory.catalogue
    )


def merge(newest: State, standing: State) -> list[Drop]:
    """Bring the counters of `newest` in line with rows that stand where `standing` says.

    What was accepted in between is lost. What was acknowledged in between comes back and will be
    acknowledged again: the far end knows its seq. Returns the accounts of the loss.
    """
    lost: dict[StorageClass, int] = {}
    for storage_class in StorageClass:
        new, old = newest.tally(storage_class), standing.tally(storage_class)
        lost[storage_class] = new.accepted - old.accepted
        new.acknowledged = old.acknowledged
        new.dropped = old.dropped + lost[storage_class]
        new.nbytes = old.nbytes
    tails = []
    for epoch in newest.epochs:
        before = standing.epoch(epoch.name)
        reached = before.seq if before else 0
        if epoch.seq > reached:
            tails.append((epoch.name, Range(reached + 1, epoch.seq)))
    return accounts.allot(tails, lost)


def _go_on_after(db: sqlite3.Connection, books: Books, newest: State | None) -> Books:
    """Commits vanished with the end of the log: account for them, number on in a new epoch.

    In the old epoch new records could get numbers that the far end has already seen.
    """
    tx = Transaction(db, books, Limits({}))
    db.execute("BEGIN IMMEDIATE")
    try:
        if newest is not None and newest.serial > books.state.serial:
            standing = tx.state
            tail = merge(newest, standing)
            tx.books.state = newest
            newest.salvage, newest.sums = standing.salvage, standing.sums
            for drop in tail:
                tx.account(drop)
        tx.state.epochs.append(_next_epoch(tx.state))
        tx.state.cut = tx.changed = True
        tx.finish()
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return tx.books


def _next_epoch(state: State) -> Epoch:
    return Epoch(max(epoch.index for epoch in state.epochs) + 1, secrets.token_hex(16))
