"""Group commit: what is durable when, what rides along, and what happens when the disk refuses."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agent.clock import OffsetRow, OffsetSource
from agent.ingest import Arrival, Inbound, Joined, Left
from agent.pipeline import Pipeline
from agent.processors.arbitrate import Arbiter
from agent.processors.clock import ClockTable
from agent.processors.thin import Thin
from agent.record import Kind, Record, StorageClass
from agent.signals import CHANGE, Catalogue, Datatype, Group, Signal
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader
from agent.store.rows import Change, Done, Mark, OutboxFull, Range

QUOTA = dict.fromkeys(StorageClass, 1 << 24)
DOOR = "Vehicle.Bus.Doors.Position"
GROUP = Group("dc1", (Signal(DOOR, Datatype.UINT8, "", "Doors.", CHANGE, steps_per_unit=1),))


class Rig:
    """A pipeline on a real outbox; what it told the drivers and the uplink is kept."""

    def __init__(
        self, directory: Path, interval_s: float, offsets: Sequence[OffsetRow] = ()
    ) -> None:
        self.outbox = Outbox.open(directory, quota_bytes=QUOTA)
        self.inbox: queue.Queue[Inbound] = queue.Queue(64)
        self.durable: list[tuple[str, Mark, float]] = []
        self.commits = 0
        self.pipeline = Pipeline(
            self.outbox,
            "b" * 32,
            Thin(),
            ClockTable("b" * 32, offsets),
            Arbiter("brain", (), moving_kmh=5, standing_kmh=3),
            Catalogue(),
            self.inbox,
            commit_interval_s=interval_s,
            alarm_commit_s=0.03,
            durable=lambda s, m: self.durable.append((s, m, time.monotonic())),
            committed=self._committed,
            observe=lambda record: None,
            beat=lambda: None,
        )
        self.directory = directory

    def _committed(self) -> None:
        self.commits += 1

    def arrive(self, first: int, *values: int, kind: Kind = Kind.SAMPLE) -> None:
        records = tuple(Record("fms", 1000 + i, {DOOR: v}, kind=kind) for i, v in enumerate(values))
        self.inbox.put(Arrival("fms", "s" * 32, first + len(values) - 1, records))

    def until(self, fact: Callable[[], bool], within_s: float = 5) -> None:
        deadline = time.monotonic() + within_s
        pause = threading.Event()
        while not fact():
            assert time.monotonic() < deadline
            pause.wait(0.005)

    def rows(self) -> list[Record]:
        reader = OutboxReader(self.directory)
        try:
            return [
                record
                for storage_class in StorageClass
                for head in reader.oldest(storage_class, None, 100)
                for record in reader.load(head).records
            ]
        finally:
            reader.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(interval_s: float = 0.1) -> Rig:
        made.append(Rig(tmp_path / f"{len(made)}", interval_s))
        made[-1].pipeline.start()
        return made[-1]

    yield make
    for rig in made:
        rig.pipeline.stop(5)
        rig.outbox.close()


def joined() -> Joined:
    return Joined("fms", "fms_j1939", "1", "s" * 32, 1, (GROUP,), b"groups")


def test_durable_is_said_after_the_commit_and_marks_ride_along(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.arrive(1, 1, 2, 3)
    rig.until(lambda: bool(rig.durable))
    assert rig.durable[0][:2] == ("fms", Mark("s" * 32, 3))
    assert [r.values[DOOR] for r in rig.rows()] == [1, 2, 3]
    assert rig.outbox.marks() == {"fms": Mark("s" * 32, 3)}


def test_an_event_does_not_wait_for_the_interval(make: Callable[..., Rig]) -> None:
    rig = make(30.0)
    rig.arrive(1, 1)
    rig.arrive(2, 7, kind=Kind.EVENT)
    began = time.monotonic()
    rig.until(lambda: bool(rig.durable))
    assert time.monotonic() - began < 5
    assert len(rig.rows()) == 2


def test_what_is_thinned_is_durable_too(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.inbox.put(joined())
    rig.arrive(1, 4, 4, 4, 5)
    rig.until(lambda: bool(rig.durable))
    assert rig.durable[-1][1].upto == 4
    assert [r.values[DOOR] for r in rig.rows()] == [4, 5]


def test_acks_delete_rows_and_the_books_balance(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.arrive(1, 1, 2)
    rig.until(lambda: bool(rig.durable))
    rig.pipeline.acknowledge(rig.outbox.epoch, [Range(1, 2)])
    rig.until(lambda: rig.pipeline.counters[StorageClass.HISTORY].acknowledged == 2)
    counters = rig.pipeline.counters[StorageClass.HISTORY]
    assert (counters.accepted, counters.queued, counters.dropped) == (2, 0, 0)
    assert rig.rows() == []


def test_a_full_disk_holds_everything_back_and_loses_nothing(
    make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "brain.pipeline")
    rig = make()
    full = threading.Event()
    full.set()
    commit = rig.outbox.commit
    tried: list[Change] = []

    def refuse(change: Change) -> Done:
        tried.append(change)
        if full.is_set():
            raise OutboxFull("disk full: free some space", no_space=True)
        return commit(change)

    monkeypatch.setattr(rig.outbox, "commit", refuse)
    rig.arrive(1, 1, 2)
    rig.until(lambda: rig.pipeline.problem is not None)
    assert rig.durable == []
    # The rig's books of what was accepted are made of this line.
    assert "on flash" not in caplog.text
    rig.arrive(3, 3)
    full.clear()
    rig.until(lambda: bool(rig.durable) and rig.durable[-1][1].upto == 3)
    assert tried[0] is tried[1], "a retry must be the same change"
    assert f"on flash: epoch {rig.outbox.epoch} to 3" in caplog.text
    assert rig.pipeline.problem is None
    assert [r.values[DOOR] for r in rig.rows()] == [1, 2, 3]


def test_a_change_stays_what_it_is_until_it_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed try may have happened: what comes meanwhile, at the stop too, is another change."""
    rig = Rig(tmp_path, 0.05)
    commit = rig.outbox.commit
    tried: list[tuple[Change, int]] = []
    stopped = threading.Event()

    def refuse(change: Change) -> Done:
        tried.append((change, len(change.records)))
        if not stopped.is_set():
            raise OutboxFull("failed fsync")
        return commit(change)

    monkeypatch.setattr(rig.outbox, "commit", refuse)
    rig.pipeline.start()
    rig.arrive(1, 1, 2)
    rig.until(lambda: bool(tried))
    rig.arrive(3, 3)
    stopped.set()
    assert rig.pipeline.stop(5)
    assert [count for _, count in tried if count] == [2] * (len(tried) - 1) + [1]
    assert all(change is tried[0][0] for change, _ in tried[:-1])
    assert [r.values[DOOR] for r in rig.rows()] == [1, 2, 3]
    assert [mark.upto for _, mark, _ in rig.durable] == [2, 3]
    rig.outbox.close()


def test_stop_commits_what_is_pending(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 30.0)
    rig.pipeline.start()
    rig.arrive(1, 1, 2, 3)
    assert rig.pipeline.stop(5)
    assert len(rig.rows()) == 3
    rig.outbox.close()


def test_a_driver_that_leaves_is_shown_so(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.inbox.put(joined())
    rig.until(lambda: rig.pipeline.drivers.get("fms") is not None)
    rig.until(lambda: rig.pipeline.drivers["fms"].connected)
    rig.inbox.put(Left("fms", "closed"))
    rig.until(lambda: not rig.pipeline.drivers["fms"].connected)


def test_what_the_system_clock_said_at_the_start_is_written(tmp_path: Path) -> None:
    """No receiver ever speaks: the far end still learns how to date the records."""
    row = OffsetRow("b" * 32, 0, 1_800_000_000_000, OffsetSource.RTC)
    rig = Rig(tmp_path, 0.05, [row])
    rig.pipeline.start()
    rig.arrive(1, 1)
    rig.until(lambda: rig.durable)
    rig.pipeline.stop(5)
    assert list(rig.outbox.offsets()) == [row]
    rig.outbox.close()


def test_each_file_has_a_row_of_its_own(make: Callable[..., Rig]) -> None:
    """The agent's files too: a row is acknowledged, or given up, as a whole."""
    rig = make(interval_s=60.0)
    for number in range(3):
        rig.pipeline.state(Record("brain", number, {"n": number}, kind=Kind.FILE))
        rig.pipeline.state(Record("brain", number, {"n": number}, kind=Kind.SAMPLE))
    rig.until(lambda: rig.pipeline.counters[StorageClass.BULK].accepted == 3)
    reader = OutboxReader(rig.directory)
    heads = reader.oldest(StorageClass.BULK, None, 100)
    reader.close()
    assert [head.first == head.last for head in heads] == [True] * 3
