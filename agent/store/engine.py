"""The connection that writes: runs transactions and stays right through every error of the disk.

Each commit writes a random token into the state row. Where an error leaves open whether a commit
happened (a failed fsync may or may not have), the file is opened again, everything is forced into
it, and the token says. Until that succeeds nothing else is written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar, cast

from agent.clock import OffsetRow
from agent.store import aside, opening, refusal, schema
from agent.store.doubt import Doubt, Doubts, Once
from agent.store.limits import Limits
from agent.store.opening import Memory, Opened
from agent.store.room import overgrown, read_only, sync_directory
from agent.store.rows import OutboxFull
from agent.store.transaction import Books, Moved, Transaction
from agent.store.water import WaterMark

T = TypeVar("T")
LOG_BYTES = 256 << 10
"""What the log keeps at least while the disk fills up: deleting rows needs some of it too."""


class Engine:
    """Owns the writing connection and what is known in RAM."""

    def __init__(
        self,
        directory: Path,
        limits: Limits,
        failpoint: Callable[[str], None],
        boottime_ms: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._path = directory / schema.FILE
        self._water = WaterMark(directory)
        self._limits = limits
        self._boottime_ms = boottime_ms
        self._failpoint = failpoint
        self._doubts = Doubts()
        self._unborn: tuple[int, Memory] | None = None
        self._marked = False
        self.log_bytes = 0
        """Of the log's file, free to be written again; 0 where that is not known."""
        self.scarce = False
        """Whether the last commit found little room on the disk."""
        self.follow: Callable[[list[Moved]], None] = lambda _moved: None
        """Told of the rows that each commit moved."""
        opened = self._first_opened()
        self._db: sqlite3.Connection | None = opened.db
        self.books: Books = opened.books
        # What an earlier life gave up is news as long as the far end has not heard of it: that
        # life may have ended before it could call.
        self.books.given_up = self.books.accounts.damage()
        self.how: str = opened.how
        self.scan_wanted: bool = opened.scan
        self._file = self._identity()
        self.offsets: list[OffsetRow] = list(opened.offsets)
        self.catalogue: dict[str, bytes] = dict(opened.catalogue)

    def _first_opened(self) -> Opened:
        try:
            return opening.open_outbox(self._directory, self._failpoint)
        except (sqlite3.Error, OSError) as error:
            raise refusal.refusal(self._directory, error) from error

    def run(self, work: Callable[[Transaction], T], key: object | None = None) -> T:
        """Do `work` in one transaction.

        `key` is the object that identifies it: where an earlier try with it turns out to have been
        committed after all, that result is returned and nothing is done twice.
        Raises OutboxFull where the disk refuses; nothing was applied then.
        """
        self._check_file()
        key = Once() if key is None else key
        for last_try in (False, True):
            try:
                settled = self._settle(key)
                return cast("T", settled.result) if settled else self._transact(work, key)
            except (sqlite3.Error, schema.Damaged) as error:
                if not schema.is_damage(error) or last_try:
                    raise refusal.refusal(self._directory, error) from error
                self.replace()
        raise AssertionError("unreachable")

    def _transact(self, work: Callable[[Transaction], T], key: object) -> T:
        db = self.db
        tx = Transaction(db, self.books, self._limits, self._boottime_ms(), self._path)
        try:
            db.execute("BEGIN IMMEDIATE")
            self._failpoint("begin")
            result = work(tx)
            writes = tx.finish()
            if writes and tx.scarce:
                self._refuse_overgrowth(db, tx)
            self._failpoint("before-commit")
            if writes:
                self._doubts.open = Doubt(key, tx, result)
            db.execute("COMMIT")
            if writes:
                self._check_writable()
        except sqlite3.Error as error:
            self._roll_back()
            if schema.is_damage(error):
                raise
            failed = schema.is_io(error) and not refusal.is_full(self._directory, error)
            if failed or schema.is_readonly(error) or schema.is_locking(error):
                # What the kernel shows from here on need not be what is on flash.
                self._abandon()
            settled = self._settle(key) if self._doubts.open else None
            if settled is None:
                raise
            return cast("T", settled.result)
        except BaseException:
            self._roll_back()
            raise
        self._doubts.open = None
        self._adopt(tx)
        self._mark_file()
        self.log_bytes, self.scarce = 0, tx.scarce
        if tx.scarce:
            self.empty_log()
        self._failpoint("after-commit")
        return result

    def ready(self) -> sqlite3.Connection:
        """The connection with nothing in doubt. Raises OutboxFull where the disk refuses."""
        self.run(lambda _tx: None)
        return self.db

    def _refuse_overgrowth(self, db: sqlite3.Connection, tx: Transaction) -> None:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        growth = max(0, max(tx.touched_bytes, LOG_BYTES) - self.log_bytes)
        if overgrown(self._path, pages * schema.PAGE_BYTES, growth):
            raise schema.NoRoom("database or disk is full")

    def empty_log(self) -> None:
        """Copy the log into the file as far as that goes: the next commit reuses its space."""
        self.log_bytes = 0
        if self._db is not None:
            with suppress(sqlite3.Error, OSError):
                _, in_log, copied = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if in_log == copied:
                    self.log_bytes = (self._directory / (schema.FILE + "-wal")).stat().st_size

    def _mark_file(self) -> None:
        """Bring "not closed cleanly" from the log into the file, once: the log could be lost."""
        if not self._marked:
            self._marked = True
            self.empty_log()

    @property
    def db(self) -> sqlite3.Connection:
        """The open connection; opens it again where an error closed it."""
        if self._db is None:
            self._reopen()
        assert self._db is not None
        return self._db

    def _settle(self, key: object) -> Doubt | None:
        """Find out what a failed commit did; an earlier try of `key`'s own where it happened."""
        if self._db is None:
            self._reopen()
        doubt = self._doubts.open
        if doubt is None:
            return self._doubts.asked(key)
        if schema.read_state(self.db).token != doubt.tx.state.token:
            self._doubts.open = None
            return self._doubts.asked(key)
        self._adopt(doubt.tx)
        return self._doubts.resolve(key) or self._doubts.asked(key)

    def _reopen(self) -> None:
        """Open the file again with all of it safely in the file itself.

        After a failed fsync the kernel holds pages as clean that never reached the disk. Copying
        the log into the file writes them again, and its fsync can be believed.
        """
        if self._unborn is not None:
            opened = opening.begin_anew(self._directory, *self._unborn)
            self._unborn = None
            opened.books.given_up.update(self.books.given_up)
            self._db, self.books = opened.db, opened.books
            self._file = self._identity()
            self.scan_wanted = False
            return
        self._check_writable()
        db = schema.connect(self._directory / schema.FILE)
        try:
            _, in_log, copied = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if in_log != copied:
                raise sqlite3.OperationalError("a reader holds the log, it could not be emptied")
            schema.check(db)
            state = schema.read_state(db)
        except BaseException:
            db.close()
            raise
        if state.token not in {self.books.state.token, self._doubts.expected()}:
            db.close()
            raise schema.Damaged("commits that were durable are gone")
        self._db = db
        self._file = self._identity()

    def _check_writable(self) -> None:
        if read_only(self._directory):
            raise schema.NotWritten("its file system is mounted read-only")

    def _adopt(self, tx: Transaction) -> None:
        self.books = tx.books
        if tx.framed:
            self._water.note(tx.framed)
        if tx.offsets is not None:
            self.offsets = tx.offsets
        if tx.catalogue is not None:
            self.catalogue = tx.catalogue
        if tx.moved:
            self.follow(tx.moved)
        if tx.suspect:
            self.scan_wanted = True

    def _roll_back(self) -> None:
        if self._db is not None and self._db.in_transaction:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def _abandon(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def replace(self) -> None:
        """The file is damaged: move it aside; the next use begins anew with what RAM knows.

        Raises OutboxFull where the disk does not let it.
        """
        self._abandon()
        self._doubts.open = None
        try:
            number = aside.move(self._directory)
        except OSError as error:
            raise refusal.refusal(self._directory, error) from error
        memory = opening.remember(self._directory, number)
        if memory.standing is None or memory.standing.serial >= self.books.state.serial:
            memory.standing = None
            memory.drops = list(self.books.accounts)
        memory.newest = self.books.state.copy()
        memory.offsets = self.offsets
        memory.catalogue = self.catalogue
        self._unborn = (number, memory)

    def _identity(self) -> tuple[tuple[int, int], ...]:
        """Which files the names stand for just now; an empty tuple where one is missing."""
        try:
            found = [(self._directory / (schema.FILE + suffix)).stat() for suffix in ("", "-wal")]
        except OSError:
            return ()
        return tuple((item.st_dev, item.st_ino) for item in found)

    def _check_file(self) -> None:
        """Notice that somebody deleted or replaced the files: write them anew from ours."""
        if self._db is None or self._identity() == self._file:
            return
        copy = self._directory / "outbox.rescued.db"
        try:
            copy.unlink(missing_ok=True)
            with closing(sqlite3.connect(copy, isolation_level=None)) as target:
                self._db.backup(target)
            self._abandon()
            for suffix in ("-wal", "-shm"):
                (self._directory / (schema.FILE + suffix)).unlink(missing_ok=True)
            copy.replace(self._directory / schema.FILE)
            sync_directory(self._directory)
        except (sqlite3.Error, OSError) as error:
            raise refusal.refusal(self._directory, error) from error

    def close(self, *, verified: bool) -> None:
        """Empty the log and close; `verified`: the rows are known to be in order."""
        state = self.books.state
        if not state.clean or state.unverified is verified:
            with suppress(OutboxFull):
                self.run(lambda tx: _close(tx, verified))
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._abandon()
        self._water.close()


def _close(tx: Transaction, verified: bool) -> None:
    tx.state.clean = True
    tx.state.unverified = not verified
    tx.write_state()
