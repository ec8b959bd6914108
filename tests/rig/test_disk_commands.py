"""A drive that loses its cache under signed commands: no effect without its intent on the disk.

As test_disk_write_log.py: each write of the agent's disk in a log, replayed to every flush and to
moments between, with what had happened outside the vehicle by then.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Set
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.store import counter_mark, journal_file
from agent.store.journal import Journal
from tests.rig.image import extract
from tests.rig.ordered import Ordered
from tests.rig.owner import ISSUER
from tests.rig.rig import Rig
from tests.rig.test_disk_write_log import SETUP, Marked
from tests.rig.write_log import flushes, mark_before

ORDERS = 6
BETWEEN = 100
OVER = ("done", "failed", "unknown")


@dataclass(frozen=True)
class Known:
    """At a mark: the orders whose effect was made, and the answers that the far end had."""

    effected: Set[str]
    answered: Mapping[str, str]


class MarkedOrders(Marked):
    """Marks say what had become of the orders."""

    def __init__(self, rig: Rig) -> None:
        self.ordered = Ordered(rig, megabytes=8)
        super().__init__(rig, self.ordered.journey)
        self.known: list[Known] = []
        self.given: dict[str, int] = {}

    def mark(self) -> None:
        owner = self.ordered.owner
        effected = {cid for cid, seconds in self.given.items() if owner.dumped(seconds)}
        answered = {cid: said[0]["state"] for cid, said in owner.replies().items()}
        self.known.append(Known(effected, answered))
        super().mark()

    def order(self, seconds: int) -> None:
        """Give one; a mark at its effect, and one when the far end has its answer."""
        owner, machine = self.ordered.owner, self.journey.machine
        cid, message = owner.dump_of("fms", seconds)
        self.given[cid] = seconds
        owner.send(message)
        machine.until(lambda: owner.dumped(seconds), "its effect", also=lambda: self.journey.log)
        self.mark()
        machine.until(lambda: owner.final(cid), "its answer", also=lambda: self.journey.log)
        self.mark()

    def wrong(self, mark: str, state: Path) -> list[str]:
        """What the journal in a state directory does not know of what had happened at `mark`."""
        known = self.known[int(mark)] if mark else Known(set(), {})
        if not known.effected:
            return []
        if not (state / journal_file.FILE).exists():
            return ["there is no journal"]
        counted = counter_mark.read(state).get(ISSUER, 0)
        newest = max(map(int, known.effected))
        found = [] if counted >= newest else [f"the mark stands at {counted}, not {newest}"]
        with closing(Journal(state)) as journal:
            if journal.began_anew:
                return ["the journal began anew"]
            for cid in known.effected:
                entry = journal.entry(cid)
                if entry is None or entry.state not in ("intended", *OVER):
                    found.append(f"{cid} had its effect, the journal says {entry}")
            for cid, said in known.answered.items():
                entry = journal.entry(cid)
                if entry is None or entry.state != said:
                    found.append(f"{cid} was answered {said}, the journal says {entry}")
        return found


@pytest.mark.rig("A5-commands", "the drive's cache lost under commands: no effect without intent")
def test_every_flush_knows_what_was_done(rig: Rig) -> None:
    marked = MarkedOrders(rig)
    ordered, journey = marked.ordered, marked.journey
    ordered.boot(prepare=SETUP)
    for seconds in range(1, ORDERS + 1):
        marked.order(seconds)
    books, audit = journey.arrive()
    marked.end()
    replay, durable = marked.replay("durable")
    at_flush = flushes(replay.entries)
    chance = random.Random(journey.seed)
    between = sorted(chance.randrange(len(replay.entries)) for _ in range(BETWEEN))
    cuts = sorted([(cut, 0) for cut in at_flush] + [(cut, n) for n, cut in enumerate(between, 1)])
    image, extracted = rig.directory / "image", rig.directory / "extracted"
    told = 0
    for cut, seed in cuts:
        replay.flushed(cut)
        shutil.copy(durable, image)
        if seed:
            lives = random.Random(seed)
            replay.cached(cut, image, lambda _, lives=lives: lives.random() < 0.5)
        mark = mark_before(replay.entries, cut)
        told += bool(mark)
        wrong = marked.wrong(mark, extract(image, extracted))
        assert not wrong, f"cut {cut} of {len(replay.entries)}, seed {seed}: {wrong}"
    replay.close()
    assert told > 2 * ORDERS
    rig.note_books(books, runs=len(cuts))
    rig.note(flushes=len(at_flush), orders=ORDERS)
    assert (books.lost, books.invented) == (0, 0), (books, audit)
    # A drive that says it flushed and did not: the same check must see that.
    replay, durable = marked.replay("stale")
    replay.flushed(next(cut for cut in at_flush if mark_before(replay.entries, cut)))
    replay.close()
    assert marked.wrong(str(len(marked.known) - 1), extract(durable, extracted))
