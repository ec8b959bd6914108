"""What is kept: bytes, records and hours of each class; history is thinned before it goes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import BOOT, QUOTA, assert_balanced, heads, record, settle

from agent.record import Kind, Record, State, StorageClass
from agent.store import body
from agent.store.inspect import query, verify
from agent.store.limits import HOUR_MS, Limits
from agent.store.outbox import Outbox
from agent.store.rawrow import intact, row_id
from agent.store.reader import OutboxReader
from agent.store.rows import Change, Loss, Range, RowHead
from agent.store.schema import STATE_PAGE
from agent.store.thinning import kept
from agent.uplink.flight import Cargo, Slice
from agent.uplink.loading import Loader
from agent.uplink.payload import Payload, nobody_declared
from agent.uplink.plan import Priority

HISTORY = StorageClass.HISTORY


def small(history: int) -> Mapping[StorageClass, int]:
    return {**QUOTA, HISTORY: history}


def open_limited(directory: Path, quota: Mapping[StorageClass, int] = QUOTA, **limits: Any) -> Any:
    now = limits.pop("boottime_ms", lambda: 0)
    return Outbox.open(directory, quota_bytes=quota, limits=Limits({}, **limits), boottime_ms=now)


def drive(outbox: Outbox, seconds: int, begin: int = 0, *, alarms: bool = False) -> None:
    """A row a second: a speed that changes, a level that seldom does, an event now and then."""
    rng = random.Random(begin)
    for second in range(begin, begin + seconds):
        at = 1_000 * second
        records = [
            Record("fms", at, {"Vehicle.Speed": rng.randrange(9_000) / 100}),
            Record("gnss", at + 1, {"Latitude": rng.random(), "Longitude": rng.random()}),
        ]
        if second % 25 == 3:
            records.append(Record("fms", at + 2, {"Level": second}))
        if alarms and second % 40 == 7:
            records.append(Record("fms", at + 3, {"Alarm": second}, kind=Kind.EVENT))
        outbox.commit(Change(records, BOOT))


def sent(reader: OutboxReader) -> list[Payload]:
    """What an uplink would send of each row, its accounts included; through the real loader."""
    payloads: list[Payload] = []

    class Spy(Loader):
        def load(self, cargo: Cargo, source: Any) -> Any:
            return super().load(cargo, source)

    from agent.uplink import codec

    for head in heads(reader):
        cargo = Cargo(Priority.HISTORY, head.epoch, (Slice.whole(head),))
        loaded = Spy("bus-1", "protobuf", nobody_declared).load(cargo, reader)
        assert loaded.payload is not None
        payloads.append(codec.decode(loaded.payload))
    return payloads


def covered(reader: OutboxReader) -> set[int]:
    """Every number that the far end would hear of: as a record or in an account."""
    numbers: list[int] = []
    for payload in sent(reader):
        for run in payload.runs:
            numbers += range(run.range.first, run.range.last + 1)
        for drop in payload.drops:
            assert drop.count == drop.last - drop.first + 1 and drop.reason == "thinned"
            numbers += range(drop.first, drop.last + 1)
    for drop in reader.drops():
        numbers += range(drop.first, drop.last + 1)
    assert len(numbers) == len(set(numbers)), "a number is told of twice"
    return set(numbers)


# --- which records stay --------------------------------------------------------------------------


def at(ms: int, **values: Any) -> Record:
    return Record("fms", ms, values)


@pytest.mark.parametrize(
    ("records", "want"),
    [
        ([], []),
        ([at(0, speed=1), at(9_999, speed=2), at(10_000, speed=3)], [False, True, True]),
        # A signal that was not said again keeps the record that has its last value.
        ([at(0, speed=1, level=5), at(1, speed=2), at(2, speed=3)], [True, False, True]),
        ([at(0, speed=1), Record("fms", 1, {}, {"speed": State.ERROR})], [False, True]),
        ([at(0, speed=1), Record("gnss", 1, {"speed": 2})], [True, True]),
        ([at(0, speed=1), Record("fms", 1, {"speed": 2}, kind=Kind.STATUS)], [True, True]),
        ([at(0), at(1)], [True, True]),
    ],
)
def test_kept(records: list[Record], want: list[bool]) -> None:
    assert kept(records, 10_000) == want


RECORDS = st.lists(
    st.builds(
        Record,
        st.sampled_from(["fms", "gnss"]),
        st.integers(0, 120_000),
        st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), min_size=1),
    ),
    max_size=40,
).map(lambda found: sorted(found, key=lambda item: item.boottime_ms))


@given(RECORDS)
def test_each_signal_keeps_the_last_value_of_each_interval(records: list[Record]) -> None:
    def last(of: list[Record]) -> dict[tuple[str, str, int], object]:
        return {
            (item.source, path, item.boottime_ms // 10_000): value
            for item in of
            for path, value in item.values.items()
        }

    stay = [item for item, stays in zip(records, kept(records, 10_000), strict=True) if stays]
    assert last(stay) == last(records)
    twice = kept(stay, 10_000)
    assert all(twice), "thinning again at the same interval changes nothing"


# --- rows with holes -----------------------------------------------------------------------------


@given(st.sets(st.integers(3, 400), min_size=1, max_size=60), st.integers(0, 20))
@settings(max_examples=60)
def test_packed_rows_stand_for_all_numbers(seqs: set[int], behind: int) -> None:
    content = [body.Unit(seq, record(seq)) for seq in sorted(seqs)]
    span = (3, max(seqs) + behind)
    rows = body.packed(HISTORY, 1, "e", BOOT, span, content)
    assert [unit for row in rows for unit in body.units(row)] == content
    assert all(intact(HISTORY, row) for row in rows)
    reached = span[0] - 1
    for row in rows:
        assert row.first == reached + 1
        reached = row.last
    assert reached == span[1]


@given(st.sets(st.integers(1, 60), min_size=1, max_size=30), st.data())
@settings(max_examples=60)
def test_parts_of_a_thinned_row(seqs: set[int], data: st.DataObject) -> None:
    from agent.store.rows import Row

    last = max(seqs)
    content = {seq: record(seq) for seq in sorted(seqs)}
    head = RowHead(HISTORY, "e", 1, last, BOOT, 9, last - len(content))
    row = Row(head, tuple(content.values()), list(content))
    low = data.draw(st.integers(1, last))
    high = data.draw(st.integers(low, last))
    found = {first + i: r for first, run in row.within(low, high) for i, r in enumerate(run)}
    assert found == {seq: r for seq, r in content.items() if low <= seq <= high}
    gone = {s for drop in row.holes(low, high) for s in range(drop.first, drop.last + 1)}
    assert gone == set(range(low, high + 1)) - content.keys()


# --- thinned before dropped ----------------------------------------------------------------------


@pytest.mark.parametrize("alarms", [False, True])
def test_history_is_thinned_before_it_is_dropped(alarms: bool, tmp_path: Path) -> None:
    plain = open_limited(tmp_path / "plain", small(30_000))
    outbox = open_limited(tmp_path / "thin", small(30_000), thin_s=(10, 60))
    for each in (plain, outbox):
        drive(each, 800, alarms=alarms)
    reader = OutboxReader(tmp_path / "thin")
    summary = assert_balanced(reader)
    history = outbox.counters()[HISTORY]
    assert history.nbytes <= 30_000 and history.dropped > 0
    assert covered(reader) == set(range(1, summary["accepted"] + 1))

    def reach(of: Path) -> list[int]:
        look = OutboxReader(of)
        rows = [look.load(head) for head in heads(look) if head.storage_class is HISTORY]
        look.close()
        return sorted({r.boottime_ms // 1000 for row in rows for r in row.records})

    without, with_thinning = reach(tmp_path / "plain"), reach(tmp_path / "thin")
    assert min(with_thinning) < min(without) - 150, "the trip keeps its shape further back"
    newest = [second for second in with_thinning if second >= 750]
    assert newest == list(range(750, 800)), "what is new is as it was"
    gaps = [b - a for a, b in itertools.pairwise(with_thinning)]
    assert max(gaps) <= 120
    assert verify(tmp_path / "thin") == []
    settle(outbox)
    assert_balanced(reader)
    reader.close()
    outbox.close()
    plain.close()


def test_thinned_rows_are_acknowledged_as_a_whole(tmp_path: Path) -> None:
    outbox = open_limited(tmp_path, small(12_000), thin_s=(10, 60))
    drive(outbox, 250)
    reader = OutboxReader(tmp_path)
    head = next(head for head in heads(reader) if head.thinned)
    queued = outbox.counters()[HISTORY].queued
    kept_seqs = reader.load(head).seqs
    half = Range(head.first, kept_seqs[len(kept_seqs) // 2])
    assert outbox.commit(Change(acked=[(outbox.epoch, [half])])).acknowledged == 0
    rest = Range(half.last + 1, head.last)
    assert outbox.commit(Change(acked=[(outbox.epoch, [rest])])).acknowledged == head.n
    assert outbox.counters()[HISTORY].queued == queued - head.n
    assert_balanced(reader)
    # The row that began there is gone; one that begins there anew would be another.
    with pytest.raises(KeyError):
        reader.load(head)
    reader.close()
    outbox.close()


def test_a_thinned_row_that_is_dropped_is_accounted_with_its_holes(tmp_path: Path) -> None:
    outbox = open_limited(tmp_path, small(12_000), thin_s=(10,))
    drive(outbox, 250)
    reader = OutboxReader(tmp_path)
    head = next(head for head in heads(reader) if head.thinned)
    before = outbox.counters()[HISTORY].dropped
    stale = RowHead(HISTORY, head.epoch, head.first, head.last - 1, head.boot, head.nbytes)
    assert outbox.commit(Change(drops=[(stale, "refused")])).dropped == 0, "another row by now"
    assert outbox.commit(Change(drops=[(head, "refused")])).dropped == head.n
    assert outbox.counters()[HISTORY].dropped == before + head.n
    (drop,) = [drop for drop in reader.drops() if drop.reason == "refused"]
    assert (drop.first, drop.last) == (head.first, head.last)
    assert drop.count == head.last - head.first + 1
    assert_balanced(reader)
    reader.close()
    outbox.close()


def test_thinned_rows_survive_a_restart_a_query_and_a_salvage(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    outbox = open_limited(directory, small(12_000), thin_s=(10, 60))
    drive(outbox, 250)
    reader = OutboxReader(directory)
    before = {head: reader.load(head) for head in heads(reader)}
    reader.close()
    outbox.close()
    _, rows = query(directory, "SELECT seq FROM record ORDER BY seq")
    assert [seq for (seq,) in rows] == sorted(
        seq
        for head, row in before.items()
        for seq in (row.seqs or range(head.first, head.last + 1))
    )
    with (directory / "outbox.db").open("r+b") as file:
        file.write(b"no database any more")
    outbox = open_limited(directory, small(12_000), thin_s=(10, 60))
    assert outbox.opened == "salvaging"
    settle(outbox)
    reader = OutboxReader(directory)
    assert {head: reader.load(head) for head in heads(reader)} == before
    assert_balanced(reader)
    reader.close()
    outbox.close()


def test_rows_are_looked_through_for_holes_only_where_there_are_some(tmp_path: Path) -> None:
    outbox = open_limited(tmp_path, small(12_000), thin_s=(10, 60))
    reader = OutboxReader(tmp_path)
    drive(outbox, 20)
    state = outbox._engine.books.state
    assert (state.holed, reader.thinned(outbox.epoch)) == (0, [])
    drive(outbox, 250, 20)
    thinned = [head for head in heads(reader) if head.thinned]
    state = outbox._engine.books.state
    assert state.holed == row_id(state.current.index, thinned[-1].first)
    (told,) = reader.thinned(outbox.epoch)
    assert (told.first, told.last) == (thinned[0].first, thinned[-1].last)
    assert told.count == sum(head.thinned for head in thinned)
    assert reader.thinned("0" * 32) == []
    reader.close()
    outbox.close()


@pytest.mark.parametrize("known", [False, True])
def test_holes_are_told_of_after_a_salvage(known: bool, tmp_path: Path) -> None:
    """Whether or not the state, which says how far there are any, outlived the damage."""
    outbox = open_limited(tmp_path, small(12_000), thin_s=(10, 60))
    drive(outbox, 250)
    reader = OutboxReader(tmp_path)
    epoch, before = outbox.epoch, reader.thinned(outbox.epoch)
    reader.close()
    outbox.close()
    with (tmp_path / "outbox.db").open("r+b") as file:
        file.write(b"no database any more")
        if not known:
            file.seek(4096 * (STATE_PAGE - 1))
            file.write(bytes(4096))
    if not known:
        (tmp_path / "outbox.water").unlink()
    outbox = open_limited(tmp_path, small(12_000), thin_s=(10, 60))
    settle(outbox)
    reader = OutboxReader(tmp_path)
    assert before and reader.thinned(epoch) == before
    reader.close()
    outbox.close()


# --- records and hours ---------------------------------------------------------------------------


def test_records_of_a_class_are_limited(tmp_path: Path) -> None:
    outbox = open_limited(tmp_path, records={HISTORY: 100})
    drive(outbox, 300, alarms=True)
    counters = outbox.counters()
    assert counters[HISTORY].queued <= 100 and counters[HISTORY].dropped > 400
    assert counters[StorageClass.ALARM].dropped == 0
    reader = OutboxReader(tmp_path)
    assert_balanced(reader)
    assert {drop.reason for drop in reader.drops()} == {"quota"}
    reader.close()
    outbox.close()


def test_age_is_powered_on_time_over_boots(tmp_path: Path) -> None:
    """A month in the depot with the ignition off ages nothing; neither does a clock."""
    now = [0]
    outbox = open_limited(tmp_path, hours={HISTORY: 10}, boottime_ms=lambda: now[0])

    def commit(boot: str, hour: float, number: int) -> int:
        now[0] = int(hour * HOUR_MS)
        return int(outbox.commit(Change([record(number)], boot)).dropped)

    assert commit("a" * 32, 1, 0) == 0
    for number in range(1, 9):
        assert commit("a" * 32, 1 + number, number) == 0  # 9 hours on
    assert commit("b" * 32, 0.5, 9) == 0  # another boot: 9.5 hours on
    assert commit("b" * 32, 3.5, 10) == 1 + 1  # 12.5: what was written before hour 2.5
    assert commit("b" * 32, 3.6, 11) == 0
    reader = OutboxReader(tmp_path)
    (drop,) = reader.drops()
    assert (drop.first, drop.last, drop.count, drop.reason) == (1, 2, 2, "age")
    assert_balanced(reader)
    reader.close()
    outbox.close()


def test_marks_of_powered_on_time_stay_few(tmp_path: Path) -> None:
    now = [0]
    outbox = open_limited(tmp_path, hours={HISTORY: 700}, boottime_ms=lambda: now[0])
    dropped = 0
    for hour in range(0, 3_000, 6):
        now[0] = hour * HOUR_MS
        dropped += outbox.commit(Change([record(hour)], BOOT)).dropped
        assert len(outbox._engine.books.state.powered.marks) <= 49
    left = outbox.counters()[HISTORY].queued
    assert left + dropped == 500
    assert 116 <= left <= 117 * 1.1, "an hour's row lives 700 hours, and a little longer"
    outbox.close()


@pytest.mark.parametrize("chosen", ["first", "last", "all_but_one"])
def test_of_a_thinned_row_single_records_go_and_its_holes_stay_told(
    tmp_path: Path, chosen: str
) -> None:
    outbox = open_limited(tmp_path, small(12_000), thin_s=(10,))
    drive(outbox, 250)
    reader = OutboxReader(tmp_path)
    head = next(head for head in heads(reader) if head.thinned)
    seqs = list(reader.load(head).seqs)
    bad = {"first": seqs[:1], "last": seqs[-1:], "all_but_one": seqs[:2] + seqs[3:]}[chosen]
    before = outbox.counters()[HISTORY]
    loss = Loss(head, "refused", tuple(Range(seq, seq) for seq in bad))
    assert outbox.commit(Change(drops=[loss])).dropped == len(bad)
    after = outbox.counters()[HISTORY]
    assert (after.acknowledged, after.queued) == (before.acknowledged, before.queued - len(bad))
    left = [row for row in heads(reader) if head.first <= row.first <= head.last]
    kept = [seq for row in left for seq in reader.load(row).seqs or range(row.first, row.last + 1)]
    assert kept == [seq for seq in seqs if seq not in bad]
    covered = sorted(
        [(row.first, row.last) for row in left]
        + [(d.first, d.last) for d in reader.drops() if head.first <= d.first <= head.last]
    )
    numbers = [seq for first, last in covered for seq in range(first, last + 1)]
    assert numbers == list(range(head.first, head.last + 1)), "each number once"
    assert_balanced(reader)
    reader.close()
    outbox.close()
