"""The outbox: the one writer. Commits changes, keeps counters, salvages what is damaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from agent.clock import OffsetRow
from agent.record import StorageClass
from agent.store.engine import Engine
from agent.store.room import RESERVE_BYTES, Lock, Reserve, limited, room_left, take_suspicion
from agent.store.rows import Change, Counters, Done, Mark, OutboxFull
from agent.store.salvage import Caretaker

RESTORE_EVERY = 60
"""Commits between looks whether the reserve can be taken again."""


def ignore(failpoint: str) -> None:
    """The failpoint of the field: none."""


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
        self._squeezed = False
        self.opened = engine.how

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        quota_bytes: Mapping[StorageClass, int],
        failpoint: Callable[[str], None] = ignore,
    ) -> Outbox:
        """Open or create the outbox of `directory`.

        Raises OutboxLocked where another process holds it, OutboxTooNew where a newer version
        wrote it, OutboxFull where the disk does not let it.
        """
        directory.mkdir(parents=True, exist_ok=True)
        lock = Lock(directory)
        try:
            engine = Engine(directory, quota_bytes, failpoint)
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
        spare_bytes = _estimate(change) if self._squeezed and self._tight() else 0
        try:
            done = self._engine.run(lambda tx: tx.apply(change, spare_bytes), key=change)
        except OutboxFull as error:
            if error.no_space:
                self._squeezed = True
                self._reserve.release()
                self._engine.empty_log()
            raise
        self._squeezed = False
        self._commits += 1
        if self._commits % RESTORE_EVERY == 0:
            self._reserve.restore()
        if take_suspicion(self._directory):
            self._engine.scan_wanted = True
        return done

    def _tight(self) -> bool:
        """Whether there is still too little room: somebody may have made some meanwhile."""
        return room_left(self._directory) < 4 * RESERVE_BYTES or limited(self._directory)

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


def _estimate(change: Change) -> int:
    """Bytes that the records of a change may need, and the pages around them."""
    return 65_536 + 64 * len(change.records)
