"""Ingest, processors, store, sinks: one thread that turns arrivals into committed rows.

    inbox --> clock, arbitrate, thin --> pending --(group commit)--> outbox --> durable{upto} to the
                                                                            driver; wake the uplink

Group commit: samples wait at most `commit_interval_s` for company, an EVENT, REPLY or FILE at most
`alarm_commit_s`. Acknowledgements and marks ride along; alone they wait a little longer, since each
commit costs about 20 kB of flash. Where the disk refuses, the change is kept and retried, nothing
more is taken from the inbox, and the back-pressure reaches the drivers' rings.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from agent.asides import Asides
from agent.clock import OffsetRow, boottime_ms
from agent.driver_views import DriverViews
from agent.ingest import Arrival, Inbound, Joined
from agent.losses import Losses
from agent.processors.arbitrate import Arbiter
from agent.processors.clock import ClockTable
from agent.processors.thin import Thin
from agent.record import CLASS_OF, Kind, Record, StorageClass
from agent.refusing import Refusing
from agent.signals import Catalogue
from agent.store.outbox import Outbox
from agent.store.rows import Change, Counters, Loss, Mark, OutboxFull, Range

log = logging.getLogger("brain.pipeline")

MAX_PENDING = 2_000
"""Records that one commit holds at most ..."""
LEAST_PENDING = 50
"""... and where the disk has little room: what does not fit as a whole may fit in parts."""
ACKS_ALONE_S = 1.0
MARKS_ALONE_S = 5.0
"""How long acknowledgements and marks wait for records to ride with."""
RETRY_S = 1.0


class Pipeline:
    """Owns the outbox and its thread `pipeline`."""

    def __init__(
        self,
        outbox: Outbox,
        boot: str,
        thin: Thin,
        clock: ClockTable,
        arbiter: Arbiter,
        catalogue: Catalogue,
        inbox: queue.Queue[Inbound],
        *,
        commit_interval_s: float,
        alarm_commit_s: float,
        durable: Callable[[str, Mark], None],
        committed: Callable[[], None],
        observe: Callable[[Record], None],
        beat: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._boot = boot
        self._thin = thin
        self._clock = clock
        self._arbiter = arbiter
        self._catalogue = catalogue
        self._inbox = inbox
        self._commit_interval_s = commit_interval_s
        self._alarm_commit_s = alarm_commit_s
        self._durable = durable
        self._committed = committed
        self._observe = observe
        self._beat = beat
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pipeline")
        self._pending: list[Record] = []
        self._marks: dict[str, Mark] = {}
        self._acked: dict[str, list[Range]] = {}
        self._refused: list[Loss] = []
        self._asides = Asides()
        self._due: float | None = None
        self._change: Change | None = None  # what is being committed
        # What the system clock said at the start is news too: without it nothing is ever dated
        # where no receiver speaks.
        known = list(outbox.offsets()) == list(clock.rows)
        self._offsets_written: Sequence[OffsetRow] = clock.rows if known else ()
        self._encoded: dict[str, bytes] = dict(outbox.catalogue())
        self._catalogue_changed = False
        self._salvaging = outbox.work_left()
        self.drivers = DriverViews()
        self.counters: Mapping[StorageClass, Counters] = outbox.counters()
        self._refusal = Refusing()
        self.losses = Losses(outbox)
        self.problem: str | None = None
        """Why commits fail just now, None where they work."""
        self.failure: BaseException | None = None
        self.written: Callable[[Sequence[Record]], None] = lambda records: None
        """Told of the records of each commit; set it before the start. Must not block."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Commit what is pending and end; False where that took longer than `timeout_s`."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def pace(self, commit_interval_s: float, alarm_commit_s: float) -> None:
        """How long records wait for a commit from now on. From any thread."""
        self._commit_interval_s = commit_interval_s
        self._alarm_commit_s = alarm_commit_s

    def acknowledge(self, epoch: str, ranges: Sequence[Range]) -> None:
        """The cloud application has these on its own disk. From any thread; never blocks."""
        self._asides.acknowledge(epoch, ranges)

    def refuse(self, loss: Loss) -> None:
        """This will never be delivered: drop it with an account. From any thread."""
        self._asides.refuse(loss)

    def state(self, record: Record) -> None:
        """A record of the agent itself; it has no stream. From any thread."""
        self._asides.state(record)

    def _hear_others(self) -> None:
        said = self._asides.fetch()
        for epoch, ranges in said.acked:
            self._acked.setdefault(epoch, []).extend(ranges)
        self._refused += said.refused
        for at, record in enumerate(said.own, 1):
            self._accept(record)
            if self._ends_row() and not self._stop.is_set():
                self._asides.put_back(said.own[at:])
                break
        if said.acked or said.refused:
            self._due_within(ACKS_ALONE_S)

    def _settle_others(self, change: Change) -> None:
        """Acknowledgements make room: they do not wait behind a change that finds none."""
        self._hear_others()
        acked = [*change.acked, *self._acked.items()]
        drops = [*change.drops, *self._refused]
        if acked or drops:
            with contextlib.suppress(OutboxFull):
                self._outbox.settle(Change(acked=acked, drops=drops))
                self._acked, self._refused = {}, []
                self.counters = self._outbox.counters()

    def _run(self) -> None:
        try:
            self.losses.look()
            while not self._stop.is_set():
                self._beat()
                self._hear_others()
                self._take()
                if self._due is not None and time.monotonic() >= self._due:
                    self._commit()
                elif self._salvaging and self._due is None:
                    self._salvage_some()
            self._hear_others()
            self._take_rest()
            if self._change is not None:
                self._commit()
            waiting = self._pending or self._marks or self._acked or self._refused
            if self._change is None and (waiting or self._catalogue_changed):
                self._commit()
            self.losses.end()
        except BaseException as error:
            # The main thread sees it, says so and ends the process: PID 1 restarts it.
            self.failure = error
            log.debug("pipeline failed", exc_info=True)

    def _salvage_some(self) -> None:
        """Verify or salvage a little while nothing else is to be done."""
        try:
            self._outbox.salvage_step()
        except OutboxFull as error:
            self.problem = str(error)
            self._stop.wait(RETRY_S)
        self._count()
        self._committed()

    def _take(self) -> None:
        now = time.monotonic()
        if self._ends_row():
            self._due = now
            return
        idle_s = 0.01 if self._salvaging else 0.5
        wait_s = idle_s if self._due is None else min(idle_s, max(0.0, self._due - now))
        try:
            self._apply(self._inbox.get(timeout=wait_s) if wait_s else self._inbox.get_nowait())
            most = LEAST_PENDING if self._outbox.scarce else MAX_PENDING
            while len(self._pending) < most:
                if self._ends_row():
                    break
                self._apply(self._inbox.get_nowait())
            self._due = now
        except queue.Empty:
            # Only then: what waits in the inbox was said before now.
            self._keep(self._arbiter.at(boottime_ms()))

    def _ends_row(self) -> bool:
        """Whether the next commit is due: a file's record is acknowledged, or given up, alone."""
        return bool(self._pending) and self._pending[-1].kind is Kind.FILE

    def _take_rest(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._apply(self._inbox.get_nowait())

    def _apply(self, item: Inbound) -> None:
        self.drivers.note(item)
        if isinstance(item, Arrival):
            for record in item.records:
                self._accept(record)
            self._marks[item.source] = Mark(item.stream, item.upto)
            self._due_within(MARKS_ALONE_S)
        elif isinstance(item, Joined):
            self._join(item)

    def _join(self, item: Joined) -> None:
        self._catalogue.declare(item.source, item.groups)
        self._thin.declare(item.source, item.groups)
        if self._encoded.get(item.source) != item.encoded:
            self._encoded[item.source] = item.encoded
            self._catalogue_changed = True
            self._due_within(MARKS_ALONE_S)

    def _accept(self, record: Record) -> None:
        for timed in self._clock.step(record):
            self._keep(self._arbiter.step(timed))

    def _keep(self, records: Sequence[Record]) -> None:
        for record in records:
            self._observe(record)
            for kept in self._thin.step(record):
                self._pending.append(kept)
                samples = CLASS_OF[kept.kind] is StorageClass.HISTORY
                self._due_within(self._commit_interval_s if samples else self._alarm_commit_s)

    def _due_within(self, seconds: float) -> None:
        due = time.monotonic() + seconds
        self._due = due if self._due is None else min(self._due, due)

    def _commit(self) -> None:
        change = self._change or self._gather()
        self._change = change
        while not self._committed_durably(change):
            if self._stop.is_set():
                return
        self._change, self._due = None, None
        self._count()
        for source, mark in change.marks.items():
            self._durable(source, mark)
        self.written(change.records)
        self._committed()

    def _count(self) -> None:
        self.counters, self._salvaging = self._outbox.counters(), self._outbox.work_left()
        self.losses.look()

    def _gather(self) -> Change:
        """All that waits as one change; whether a try happened is known of this object alone."""
        rows = self._clock.rows
        change = Change(
            records=self._pending,
            boot=self._boot,
            marks=self._marks,
            acked=list(self._acked.items()),
            drops=self._refused,
            offsets=None if rows is self._offsets_written else list(rows),
            catalogue=dict(self._encoded) if self._catalogue_changed else None,
        )
        self._pending, self._marks, self._acked, self._refused = [], {}, {}, []
        self._offsets_written, self._catalogue_changed = rows, False
        return change

    def _committed_durably(self, change: Change) -> bool:
        """Try once; on refusal wait a little. Nothing is taken meanwhile: rings hold it."""
        try:
            done = self._outbox.commit(change)
        except OutboxFull as error:
            self._refusal.told(error)
            self.problem = str(error)
            deadline = time.monotonic() + RETRY_S
            while not self._stop.is_set() and time.monotonic() < deadline:
                self._beat()
                self._stop.wait(0.2)
            if error.no_space:
                self._settle_others(change)
            return False
        if self.problem is not None:
            self._refusal.over()
        self.problem = None
        if done.n:
            log.debug("on flash: epoch %s to %d", self._outbox.epoch, done.last)
        return True
