"""The outbox: the one writer. Commits changes, keeps counters, salvages what is damaged."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from agent import clock
from agent.clock import OffsetRow
from agent.record import StorageClass
from agent.store import schema
from agent.store.body import MAX_BODY_BYTES
from agent.store.engine import Engine
from agent.store.limits import Limits
from agent.store.room import RESERVE_BYTES, Lock, Reserve, limited, room_left, take_suspicion
from agent.store.rows import Change, Counters, Done, Mark, OutboxFull, Range
from agent.store.salvage import Caretaker

RESTORE_EVERY = 60
"""Commits between looks whether the reserve can be taken again."""


class Outbox:
    """Used from one thread. `epoch` numbers new records; `opened` says how the file was found:

    created, clean, unclean (it was not closed), or salvaging (a damaged one was moved aside).
    """

    def __init__(self, engine: Engine, lock: Lock, reserve: Reserve, directory: Path) -> None:
        self._engine = engine
        self._lock = lock
        self._reserve = reserve
        self._directory = directory
        self._caretaker = Caretaker(engine, directory)
        self._commits = 0
        self._refusals = 0
        self.opened = engine.how

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        quota_bytes: Mapping[StorageClass, int],
        limits: Limits | None = None,
        failpoint: Callable[[str], None] = schema.ignore,
        boottime_ms: Callable[[], int] = clock.boottime_ms,
    ) -> Outbox:
        """Open or create the outbox of `directory`; `limits` are those beside the bytes.

        Raises OutboxLocked where another process holds it, OutboxTooNew where a newer version
        wrote it, OutboxFull where the disk does not let it.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = Lock(directory)
        except OSError as error:
            raise OutboxFull(
                f"{directory}: the outbox cannot be opened ({error.strerror or error}); check that "
                "disk (mounted read-only, failing?) and its permissions"
            ) from error
        try:
            whole = replace(limits or Limits({}), nbytes=_within_limit(quota_bytes))
            engine = Engine(directory, whole, failpoint, boottime_ms)
        except BaseException:
            lock.release()
            raise
        reserve = Reserve(directory)
        reserve.restore()
        return cls(engine, lock, reserve, directory)

    @property
    def epoch(self) -> str:
        """The epoch that numbers new records, 32 hex digits."""
        return self._engine.books.state.current.name

    def commit(self, change: Change) -> Done:
        """Do all of `change` in one transaction, or nothing.

        Raises OutboxFull where the disk refuses; retry with the same Change. An earlier try that
        turns out to have been committed after all is not done twice.
        """
        # The far end knows only what it was told: room is made by eviction, with an account.
        refusals = self._refusals if self._refusals and self._tight() else 0
        log_bytes = self._engine.log_bytes
        try:
            done = self._engine.run(lambda tx: tx.apply(change, refusals, log_bytes), key=change)
        except OutboxFull as error:
            if error.no_space:
                self._refusals += 1
                self._reserve.release()
                self._engine.empty_log()
            raise
        self._refusals = 0
        self._commits += 1
        if self._commits % RESTORE_EVERY == 0:
            self._reserve.restore()
        if take_suspicion(self._directory):
            self._engine.scan_wanted = True
        return done

    @property
    def scarce(self) -> bool:
        """Whether there is so little room that commits should be small."""
        return self._refusals > 0 or self._engine.scarce

    def settle(self, change: Change) -> None:
        """Do what `change` acknowledges and drops, and nothing else: that makes room.

        All of it may be done again with the change itself. Raises OutboxFull.
        """
        for epoch, ranges in change.acked:
            for span in ranges:
                self._acknowledge(epoch, span)
        # What stays of a row that goes in part is written anew: the less the better.
        for drop in change.drops:
            self._alone(Change(drops=[drop]))

    def _acknowledge(self, epoch: str, span: Range) -> None:
        """In halves where even the deletion of so many rows finds no room in the log."""
        try:
            self._alone(Change(acked=[(epoch, [span])]))
        except OutboxFull as error:
            if not error.no_space or span.first == span.last:
                raise
            middle = (span.first + span.last) // 2
            self._acknowledge(epoch, Range(span.first, middle))
            self._acknowledge(epoch, Range(middle + 1, span.last))

    def _alone(self, change: Change) -> None:
        self._engine.run(lambda tx: tx.apply(change))

    def _tight(self) -> bool:
        """Whether there is still too little room: somebody may have made some meanwhile."""
        left = room_left(self._directory)
        return left is None or left < 4 * RESERVE_BYTES or limited(self._directory)

    def marks(self) -> dict[str, Mark]:
        """How far each driver's records are durable."""
        return self._engine.books.state.driver_marks()

    def offsets(self) -> list[OffsetRow]:
        """The table of UTC offsets."""
        return list(self._engine.offsets)

    def catalogue(self) -> dict[str, bytes]:
        """What the drivers declared, as they encoded it."""
        return dict(self._engine.catalogue)

    def counters(self) -> dict[StorageClass, Counters]:
        """Totals per class; costs no query."""
        return self._engine.books.state.counters()

    def given_up(self) -> Mapping[str, int]:
        """Records that will never be delivered, since the outbox was opened, by reason."""
        return self._engine.books.given_up

    def salvaging(self) -> bool:
        """Whether rows of damaged files are still to be brought back."""
        return self._engine.books.state.salvage is not None

    def work_left(self) -> bool:
        """Whether `salvage_step` has something to do."""
        return self._caretaker.work_left()

    def salvage_step(self) -> bool:
        """Verify or salvage a little; True while there is more. Raises OutboxFull."""
        return self._caretaker.step()

    def close(self) -> None:
        """Close cleanly and let go of the directory."""
        verified = not self._caretaker.work_left()
        self._engine.close(verified=verified)
        self._lock.release()


def _within_limit(quota_bytes: Mapping[StorageClass, int]) -> Mapping[StorageClass, int]:
    """The quota where a limit of file size (`ulimit -f`) leaves less.

    A file that is at the limit can take nothing out of its log any more, and the log nothing in.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit == resource.RLIM_INFINITY:
        return quota_bytes
    # Pages are half full in the worst case.
    share = max(limit // (2 * len(StorageClass)), 2 * MAX_BODY_BYTES)
    return {storage_class: min(share, nbytes) for storage_class, nbytes in quota_bytes.items()}
