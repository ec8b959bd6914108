"""The last bytes of a disk: the outbox lives on in what it has, and alarms are never given up."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.record import Blob, Kind, Record, StorageClass
from agent.store.inspect import verify
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader
from agent.store.rows import Change, Done, Mark, OutboxFull, Range
from tests.faults.injection import small_disk
from tests.faults.world import World

BOOT = "b" * 32
SOMEBODY = "somebody else takes the last byte while the outbox is small"
ROOMY = dict.fromkeys(StorageClass, 400 << 20)
TRIES = 6


def take_all(directory: Path) -> Path:
    """Somebody else's file that leaves nothing."""
    path = directory / "somebody"
    with path.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    return path


def dropped_classes(ledger: Path) -> set[str]:
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        return {name for (name,) in db.execute("SELECT DISTINCT class FROM dropped")}


class Writer:
    """Commits numbered records; each tenth is an event, all have `pad` random bytes."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self.outbox = Outbox.open(directory, quota_bytes=ROOMY)
        self.reader = OutboxReader(directory)
        self.number = self.events = self.refusals = 0
        self.rng = random.Random(seed)

    def change(self, n: int, pad: int, *, events: int = 10) -> Change:
        records = []
        for _ in range(n):
            self.number += 1
            event = self.number % events == 0
            self.events += event
            values = {"Number": self.number, "Pad": self.rng.randbytes(pad // 2).hex()}
            kind = Kind.EVENT if event else Kind.SAMPLE
            records.append(Record("count", self.number, values, {}, kind))
        return Change(records, BOOT, {"count": Mark("s", self.number)})

    def files(self, n: int, pad: int) -> Change:
        """Announcements of files, which are bulk."""
        records = []
        for _ in range(n):
            self.number += 1
            values = {"Number": self.number, "Pad": self.rng.randbytes(pad // 2).hex()}
            blob = Blob(f"{self.number}.ddd", "a/b", 9, f"{self.number:064x}")
            records.append(Record("tacho", self.number, values, {}, Kind.FILE, blob))
        return Change(records, BOOT, {"count": Mark("s", self.number)})

    def commit(self, change: Change) -> Done:
        """As the pipeline does it: the same change again until the disk takes it."""
        for _ in range(TRIES):
            try:
                return self.outbox.commit(change)
            except OutboxFull as error:
                assert error.no_space
                self.refusals += 1
        raise AssertionError(f"refused {TRIES} times: {self.outbox.counters()}")

    def balanced(self, figures: dict[str, Any]) -> None:
        """The books agree, each event is there, each drop is an account with its reason."""
        summary: Any = self.reader.summary()
        assert summary["balanced"] and not summary["gaps"]
        assert summary["accepted"] == self.number
        assert summary["by_class"]["alarm"]["dropped"] == 0
        assert sum(drop["count"] for drop in summary["drops"]) == summary["dropped"]
        assert {drop["reason"] for drop in summary["drops"]} <= {"disk_full"}
        assert verify(self.outbox_dir) == []
        for name, value in {"accepted": self.number, "dropped": summary["dropped"]}.items():
            figures[name] = figures.get(name, 0) + value
        figures["delivered"] = figures["accepted"] - figures["dropped"]
        figures["lost"] = figures["invented"] = 0

    @property
    def outbox_dir(self) -> Path:
        return self._directory

    def close(self) -> None:
        self.reader.close()
        self.outbox.close()


@pytest.mark.fault("B5", SOMEBODY, slice=True)
@pytest.mark.parametrize("before", [3, 12, 40])
def test_the_last_byte_is_taken(before: int, tmp_path: Path, figures: dict[str, Any]) -> None:
    """What is in the log must find room in the file, or neither takes anything any more."""
    with small_disk(tmp_path / "state", "size=16m") as directory:
        writer = Writer(directory, before)
        for _ in range(before):
            writer.commit(writer.change(6, 2_000))
        take_all(directory)
        for _ in range(400):
            writer.commit(writer.change(writer.rng.randint(1, 12), 2_000))
        assert writer.refusals <= 2, "the reserve is enough, and the log comes back for more"
        writer.balanced(figures)
        writer.close()


@pytest.mark.fault("B4.order", "a full disk: bulk goes before history, alarms never", slice=True)
def test_the_least_important_goes_first(tmp_path: Path, figures: dict[str, Any]) -> None:
    with small_disk(tmp_path / "state", "size=16m") as directory:
        writer = Writer(directory, 4)
        for _ in range(40):
            writer.commit(writer.change(6, 2_000))
            writer.commit(writer.files(4, 2_000))
        take_all(directory)
        last: dict[StorageClass, int] = {}
        for _ in range(150):
            writer.commit(writer.change(6, 2_000))
            counters = writer.outbox.counters()
            if last and counters[StorageClass.HISTORY].dropped > last[StorageClass.HISTORY]:
                assert counters[StorageClass.BULK].queued == 0, "history went before bulk"
            last = {name: of_class.dropped for name, of_class in counters.items()}
        assert last[StorageClass.BULK] == 160 and last[StorageClass.HISTORY] > 0
        writer.balanced(figures)
        writer.close()


@pytest.mark.fault("B5", SOMEBODY, slice=True)
def test_more_at_once_than_there_is_room_for(tmp_path: Path, figures: dict[str, Any]) -> None:
    """After a stall a commit has all that waited: its samples must not keep its events out."""
    with small_disk(tmp_path / "state", "size=16m") as directory:
        writer = Writer(directory, 1)
        for _ in range(5):
            writer.commit(writer.change(6, 2_000))
        take_all(directory)
        done = writer.commit(writer.change(2_000, 4_000, events=100))
        assert done.n == 2_000 and 1_000 < done.dropped < 2_000
        # Of the samples the newest are kept.
        newest = writer.reader.newest(StorageClass.HISTORY, 1)
        assert writer.reader.load(newest[0]).records[-1].values["Number"] == 2_030
        for _ in range(30):
            writer.commit(writer.change(6, 2_000))
        writer.balanced(figures)
        writer.close()


@pytest.mark.fault("B5", SOMEBODY, slice=True)
def test_acknowledgements_make_room(tmp_path: Path, figures: dict[str, Any]) -> None:
    """Only alarms are left and nothing more fits: what the far end has goes, the rest follows."""
    with small_disk(tmp_path / "state", "size=16m") as directory:
        writer = Writer(directory, 2)
        writer.commit(writer.change(6, 2_000))
        take_all(directory)
        change = Change()
        with pytest.raises(AssertionError, match="refused"):
            for _ in range(400):
                change = writer.change(6, 2_000, events=1)
                writer.commit(change)
        epoch = writer.outbox.epoch
        waiting = writer.reader.oldest(StorageClass.ALARM, None, 1_000)
        spans = [Range(head.first, head.last) for head in waiting]
        writer.outbox.settle(Change(acked=[(epoch, spans)]))
        writer.commit(change)
        for _ in range(50):
            writer.commit(writer.change(6, 2_000))
        writer.balanced(figures)
        writer.close()


@pytest.mark.fault("B5", SOMEBODY)
def test_a_disk_full_of_alarms_drains_once_online(world: World) -> None:
    """Nobody frees anything: what the far end acknowledges makes room for what waits."""
    with small_disk(world.state_dir, "size=16m"):
        world.dial()
        world.start()
        feeder = world.feed()
        world.accepts(20)
        world.offline()
        feeder.tell("events 1")
        feeder.tell("pad 2000")
        world.accepts(20)
        take_all(world.state_dir)
        mark = world.mark()
        refused = "nothing can be written"
        world.until(lambda: world.alarms(refused, mark), "the alarm", 90)
        said, since = world.accepted(), time.monotonic()

        def stands_still() -> bool:
            nonlocal said, since
            if world.accepted() > said:
                said, since = world.accepted(), time.monotonic()
            return time.monotonic() - since > 8

        world.until(stands_still, "there is no room for another alarm", 120)
        feeder.tell("pad 0")
        healed_at = time.monotonic()
        world.dial()
        world.until(lambda: world.accepted() > said + 200, "it goes on", 60)
        world.settle(healed_at=healed_at)
        assert dropped_classes(world.ledger) <= {"history"}, "alarms are not given up"
        assert len(world.alarms(refused, mark)) <= 1, (
            "it fills up again while it drains: one trouble"
        )
        world.stop()
