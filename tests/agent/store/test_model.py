"""The outbox against a model: whatever is done in whatever order, the books balance."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from store_samples import BOOT, KIND, assert_balanced, delivered, heads, in_order, record

from agent.record import CLASS_OF, Kind, Record, StorageClass
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader
from agent.store.rows import Change, Loss, Mark, Range

KINDS = st.sampled_from([Kind.SAMPLE, Kind.SAMPLE, Kind.STATUS, Kind.EVENT, Kind.REPLY, Kind.FILE])
QUOTA = {StorageClass.ALARM: 4_000, StorageClass.HISTORY: 6_000, StorageClass.BULK: 3_000}
SPANS = st.lists(st.tuples(st.integers(-2, 400), st.integers(0, 60)), min_size=1, max_size=4)


class Books(RuleBasedStateMachine):
    """The model: records by seq, and which seqs the far end said that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="brain-store-"))
        self.life = 0
        self.directory = self.root / "0"
        self.outbox = Outbox.open(self.directory, quota_bytes=QUOTA)
        assert self.outbox.opened == "created"
        self.epoch = self.outbox.epoch
        self.reader = OutboxReader(self.directory)
        self.records: dict[int, Record] = {}
        self.acked: set[int] = set()
        self.told: set[int] = set()
        """What the outbox heard of in this life; parts of a row are forgotten in the next."""
        self.mark = 0

    def teardown(self) -> None:
        self.reader.close()
        self.outbox.close()
        shutil.rmtree(self.root)

    def queued(self) -> set[int]:
        return {seq for _, seq in delivered(self.reader)}

    @rule(kinds=st.lists(KINDS, max_size=12), pad=st.sampled_from([0, 0, 0, 300]))
    def commit(self, kinds: list[Kind], pad: int) -> None:
        begin = len(self.records)
        filler = random.Random(begin).randbytes(pad).hex()
        new = [record(begin + i, kind, filler) for i, kind in enumerate(kinds)]
        self.mark += 1
        done = self.outbox.commit(Change(new, BOOT, {"fms": Mark("s", self.mark)}))
        assert (done.n, done.first) == (len(new), begin + 1)
        assert done.last == begin + len(new)
        # Class by class, each in the order of its arrival.
        ordered = [r for c in StorageClass for r in new if CLASS_OF[r.kind] is c]
        self.records.update(enumerate(ordered, begin + 1))

    def acknowledge(self, epoch: str, spans: list[Range]) -> None:
        before = self.queued()
        done = self.outbox.commit(Change(acked=[(epoch, spans)]))
        gone = before - self.queued()
        assert done.acknowledged == len(gone)
        assert done.dropped == 0
        if epoch == self.epoch:
            heard = {s for first, last in spans for s in range(first, last + 1)}
            self.acked |= heard
            self.told |= {seq for seq in heard if 0 < seq <= len(self.records)}
        assert gone <= self.acked

    @rule(spans=SPANS)
    def ack_anything(self, spans: list[tuple[int, int]]) -> None:
        self.acknowledge(self.epoch, [Range(first, first + n) for first, n in spans])

    @rule(spans=SPANS)
    def ack_unknown_epoch(self, spans: list[tuple[int, int]]) -> None:
        before = self.queued()
        self.acknowledge("f" * 32, [Range(first, first + n) for first, n in spans])
        assert self.queued() == before

    @rule(data=st.data())
    def ack_rows(self, data: st.DataObject) -> None:
        rows = heads(self.reader)
        if rows:
            chosen = data.draw(st.lists(st.sampled_from(rows), max_size=4, unique=True))
            self.acknowledge(self.epoch, [Range(row.first, row.last) for row in chosen])
            assert not {(row.first) for row in chosen} & self.queued()

    @rule(data=st.data())
    def ack_row_in_pieces(self, data: st.DataObject) -> None:
        rows = [row for row in heads(self.reader) if row.n > 1]
        if not rows:
            return
        row = data.draw(st.sampled_from(rows))
        cut = data.draw(st.integers(row.first, row.last - 1))
        pieces = [Range(row.first, cut), Range(cut + 1, row.last)]
        if data.draw(st.booleans()):
            pieces.reverse()
        for piece in pieces:
            assert row.first in self.queued()
            self.acknowledge(self.epoch, [piece])
        assert row.first not in self.queued()

    @rule(data=st.data())
    def ack_drops(self, data: st.DataObject) -> None:
        drops = self.reader.drops()
        if drops:
            drop = data.draw(st.sampled_from(drops))
            self.acknowledge(self.epoch, [Range(drop.first, drop.last)])
            assert drop not in self.reader.drops()

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        rows = heads(self.reader)
        if rows:
            row = data.draw(st.sampled_from(rows))
            done = self.outbox.commit(Change(drops=[(row, "refused"), (row, "refused")]))
            assert done.dropped == row.n
            assert not set(range(row.first, row.last + 1)) & self.queued()

    @rule(data=st.data())
    def drop_some_of_a_row(self, data: st.DataObject) -> None:
        """What of it is acknowledged counts so, whether or not it is named; the rest stays."""
        rows = heads(self.reader)
        if not rows:
            return
        row = data.draw(st.sampled_from(rows))
        seqs = range(row.first, row.last + 1)
        if data.draw(st.booleans()) and row.n > 1:
            cut = data.draw(st.integers(row.first, row.last - 1))
            self.acknowledge(self.epoch, [Range(row.first, cut)])
        known = {seq for seq in seqs if seq in self.told}
        bad = data.draw(st.sets(st.sampled_from(seqs), min_size=1))
        before, queued = self.outbox.counters()[row.storage_class], self.queued()
        spans = tuple(Range(seq, seq) for seq in sorted(bad))
        done = self.outbox.commit(Change(drops=[Loss(row, "refused", spans)]))
        after = self.outbox.counters()[row.storage_class]
        assert done.dropped == after.dropped - before.dropped == len(bad - known)
        assert after.acknowledged - before.acknowledged == len(known)
        assert queued - self.queued() == bad | known
        named = {s for d in self.reader.drops() for s in range(d.first, d.last + 1)}
        assert bad - known <= named and not known & named
        self.told -= set(seqs)

    @rule(limit=st.integers(1, 3))
    def verify(self, limit: int) -> None:
        for _ in range(limit):
            self.outbox.salvage_step()

    @rule()
    def close_and_reopen(self) -> None:
        before = self.outbox.counters(), self.reader.drops(), self.outbox.marks()
        self.reader.close()
        self.outbox.close()
        self.told.clear()
        self.outbox = Outbox.open(self.directory, quota_bytes=QUOTA)
        self.reader = OutboxReader(self.directory)
        assert self.outbox.opened == "clean"
        assert (self.outbox.counters(), self.reader.drops(), self.outbox.marks()) == before

    @precondition(lambda self: self.life < 4)
    @rule()
    def kill(self) -> None:
        """What a killed process leaves: the files as they are."""
        before = self.outbox.counters(), self.reader.drops(), self.outbox.marks()
        self.life += 1
        copy = self.root / str(self.life)
        shutil.copytree(self.directory, copy)
        self.reader.close()
        self.outbox.close()
        self.directory = copy
        self.told.clear()
        self.outbox = Outbox.open(copy, quota_bytes=QUOTA)
        self.reader = OutboxReader(copy)
        assert self.outbox.opened in ("unclean", "clean")
        assert (self.outbox.counters(), self.reader.drops(), self.outbox.marks()) == before

    @invariant()
    def books_balance(self) -> None:
        summary = assert_balanced(self.reader)
        assert self.outbox.epoch == self.epoch
        assert summary["accepted"] == len(self.records)
        accepted = Counter(CLASS_OF[item.kind] for item in self.records.values())
        for storage_class, counters in self.outbox.counters().items():
            by_class = summary["by_class"][storage_class.value]
            assert by_class == {
                "accepted": counters.accepted,
                "acknowledged": counters.acknowledged,
                "queued": counters.queued,
                "dropped": counters.dropped,
            }
            assert counters.accepted == accepted[storage_class]
            assert counters.nbytes <= QUOTA[storage_class]

    @invariant()
    def records_are_what_was_given(self) -> None:
        queued = delivered(self.reader)
        for (epoch, seq), item in queued.items():
            assert epoch == self.epoch
            assert item == self.records[seq]
        for storage_class in KIND:
            order = in_order(self.reader, storage_class)
            assert order == sorted(order)
            newest = [head.first for head in self.reader.newest(storage_class, 100)]
            assert newest == sorted(newest, reverse=True)

    @invariant()
    def what_is_settled_is_told(self) -> None:
        """Up to there no record and no account waits; the next number does, or was never given."""
        waiting = self.queued() | {d.first for d in self.reader.drops()}
        assert self.reader.settled(self.epoch) == min(waiting, default=len(self.records) + 1) - 1
        assert self.reader.settled("f" * 32) == 0

    @invariant()
    def what_is_gone_is_acknowledged_or_accounted(self) -> None:
        queued = self.queued()
        named = {s for d in self.reader.drops() for s in range(d.first, d.last + 1)}
        # What was dropped and acknowledged has no account any more.
        assert set(self.records) - queued <= named | self.acked
        assert not named & queued
        for drop in self.reader.drops():
            assert 0 < drop.count <= drop.last - drop.first + 1


TestBooks = Books.TestCase
TestBooks.settings = settings(
    max_examples=int(os.environ.get("BRAIN_EXAMPLES", "30")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
