"""A drive that loses its cache: every write of the agent's disk in a log, replayed to each flush.

The guest's page cache is lost in every power cut of the rig; here the drive's own is too. Each
image goes through ext4's journal recovery and is opened by the agent's own store.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.store.intervals import IntervalSet
from agent.store.rows import Range
from tests.books import accepted_in, booked, uncovered
from tests.rig.image import Found, extract, look
from tests.rig.journey import Journey
from tests.rig.rig import Rig
from tests.rig.write_log import Replay, flushes, mark_before

SETUP = """
modprobe dm-log-writes
size=$(blockdev --getsz /dev/ubdc)
echo "0 $size log-writes /dev/ubdc /dev/ubdd" | dmsetup create --noudevsync written
dmsetup mknodes
mount -t ext4 /dev/mapper/written /data
"""
TAKE_DOWN = "umount /data; dmsetup remove --noudevsync written"
BETWEEN = 100
"""Random cuts between flushes, on top of one at each flush."""


@dataclass(frozen=True)
class Moment:
    """What was known when a mark was put into the log: on flash by number, booked by the cloud."""

    on_flash: Mapping[str, int]
    booked: Mapping[str, IntervalSet]


class Marked:
    """A journey whose writes are logged, with marks of what the agent had said by then."""

    def __init__(self, rig: Rig, journey: Journey | None = None) -> None:
        self.journey = journey or Journey(rig, megabytes=8)
        self.disk = rig.disk("written", 32)
        self.log = rig.disk("log", 512, formatted=False)
        self.before = rig.directory / "before"
        shutil.copy(self.disk, self.before)
        self.journey.disks += [self.disk, self.log]
        self.moments: list[Moment] = []

    def mark(self) -> None:
        """Put a mark into the log; what it stands for was said before."""
        journey = self.journey
        self.moments.append(Moment(accepted_in([journey.log]), booked(journey.world.ledger)))
        journey.machine.shell(f"dmsetup message written 0 mark {len(self.moments) - 1}")

    def end(self) -> None:
        """Stop the agent and close the log; what is booked then is known of the last marks too."""
        self.journey.switch_off(TAKE_DOWN)
        self.moments.append(Moment({}, booked(self.journey.world.ledger)))

    def drive(self, records: int) -> None:
        """Mark by mark until that many more are on flash."""
        target = self.journey.accepted() + records
        while self.journey.accepted() < target:
            self.journey.accepts(1)
            self.mark()

    def lost_at(self, mark: str, found: Found) -> list[tuple[str, Range]]:
        """What had been said to be on flash at `mark` and is neither on the disk nor booked."""
        if not mark:
            return []
        # What is booked was asked for before each mark: two later it holds all of this one's time.
        number = int(mark)
        later = self.moments[min(number + 2, len(self.moments) - 1)].booked
        return uncovered(self.moments[number].on_flash, found.held, later)

    def replay(self, name: str) -> tuple[Replay, Path]:
        """A replay from the beginning, and the image that it works on."""
        image = self.before.with_name(name)
        shutil.copy(self.before, image)
        return Replay(self.log, image), image


@pytest.mark.rig("A5", "power cut with the drive's cache lost: replayed to every flush and between")
def test_every_flush_keeps_what_was_accepted(rig: Rig) -> None:
    marked = Marked(rig)
    journey = marked.journey
    journey.boot(link=False, prepare=SETUP)
    journey.hears()
    marked.drive(60)
    before_the_link = len(marked.moments) - 4
    journey.link("up")
    journey.machine.until(lambda: booked(journey.world.ledger), "the cloud end books")
    marked.drive(30)
    marked.end()
    replay, durable = marked.replay("durable")
    at_flush = flushes(replay.entries)
    chance = random.Random(journey.seed)
    between = sorted(chance.randrange(len(replay.entries)) for _ in range(BETWEEN))
    cuts = sorted([(cut, 0) for cut in at_flush] + [(cut, n) for n, cut in enumerate(between, 1)])
    image, told, last = rig.directory / "image", 0, Found()
    gone: dict[str, IntervalSet] = {}
    for cut, seed in cuts:
        replay.flushed(cut)
        shutil.copy(durable, image)
        if seed:
            lives = random.Random(seed)
            replay.cached(cut, image, lambda _, lives=lives: lives.random() < 0.5)
        found = look(extract(image, rig.directory / "extracted"))
        where = f"cut {cut} of {len(replay.entries)}, seed {seed}"
        mark = mark_before(replay.entries, cut)
        told += bool(mark)
        assert not found.wrong and found.opened != "salvaging", f"{where}: {found}"
        assert not marked.lost_at(mark, found), f"{where}: {marked.lost_at(mark, found)} lost"
        if not seed:
            stays_gone(gone, found, where)
            last = found
    replay.close()
    assert len(at_flush) > 60 and told > len(cuts) / 2
    # At the end of the log: what the far end has, what waits in the image, and nothing else.
    books = journey.books()
    nowhere = uncovered(accepted_in(journey.logs), last.held, booked(journey.world.ledger))
    assert not nowhere and books.invented == 0, (nowhere, books)
    books.lost = sum(span.last - span.first + 1 for _, span in nowhere)
    rig.note_books(books, runs=len(cuts))
    rig.note(flushes=len(at_flush), queued=last.queued)
    # A drive that says it flushed and did not: the same check must see that.
    replay, durable = marked.replay("stale")
    replay.flushed(next(cut for cut in at_flush if mark_before(replay.entries, cut)))
    replay.close()
    assert marked.lost_at(str(before_the_link), look(extract(durable, rig.directory / "extracted")))


def stays_gone(gone: dict[str, IntervalSet], found: Found, where: str) -> None:
    """What was acknowledged and deleted durably must not be queued again; `gone` is kept."""
    for epoch, held in found.held.items():
        known = gone.setdefault(epoch, IntervalSet())
        for span in known:
            assert list(held.gaps(*span)) == [span], f"{where}: some of {span} came back"
        for gap in held.gaps(1, max(span.last for span in held)):
            known.add(*gap)
