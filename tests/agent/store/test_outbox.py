"""Commits, acks, drops and the small tables; what is read back is what was given."""

from __future__ import annotations

import itertools
import re
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_samples import (
    BOOT,
    KIND,
    assert_balanced,
    delivered,
    heads,
    open_outbox,
    record,
    settle,
)

from agent.clock import OffsetRow, OffsetSource
from agent.record import Blob, Kind, Record, State, StorageClass
from agent.store import body
from agent.store.inspect import export_sqlite, query, verify
from agent.store.intervals import IntervalSet
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader
from agent.store.rows import Change, Drop, Mark, OutboxLocked, Range

TEXT = st.text(max_size=20)
PATH = st.text("abcAB.", min_size=1, max_size=8)
SCALAR = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
)
RECORD = st.builds(
    Record,
    TEXT,
    st.integers(0, 2**48),
    st.dictionaries(PATH, SCALAR, max_size=4),
    st.dictionaries(PATH, st.sampled_from(State), max_size=3),
    st.sampled_from(Kind),
    st.none() | st.builds(Blob, TEXT, TEXT, st.integers(0, 2**60), TEXT),
)


@given(st.lists(RECORD, min_size=1, max_size=20))
def test_records_come_back_as_they_were(records: list[Record]) -> None:
    content = [body.Unit(seq, item) for seq, item in enumerate(records, 7)]
    span = (7, 6 + len(records))
    rows = body.packed(StorageClass.HISTORY, 1, "e", BOOT, span, content)
    found = [unit.record for row in rows for unit in body.units(row)]
    assert found == records
    assert [list(map(type, item.values.values())) for item in found] == [
        list(map(type, item.values.values())) for item in records
    ]


LINES = st.sampled_from(
    [b"", b"[1,2]", b"[-5]", b'["a"]', b"[1e400]", b"{}", b'["a",1,"sample",{}]', b"\xff"]
)


@given(st.binary(max_size=200) | st.lists(LINES).map(b"\n".join), st.integers(1, 5))
def test_any_bytes_are_a_body_or_a_value_error(raw: bytes, n: int) -> None:
    for packed in (raw, zlib.compress(raw)):
        with suppress(ValueError):
            body.units(body.RawRow(1, 1, 4, n, "e", BOOT, 0, packed))


SPAN = st.tuples(st.booleans(), st.integers(0, 60), st.integers(0, 15))


@given(st.lists(SPAN, max_size=30))
def test_intervals_are_a_set(steps: list[tuple[bool, int, int]]) -> None:
    intervals, model = IntervalSet(), set[int]()
    for add, first, n in steps:
        span = range(first, first + n + 1)
        if add:
            intervals.add(first, first + n)
            model |= set(span)
        else:
            intervals.remove(first, first + n)
            model -= set(span)
        listed = list(intervals)
        assert [x for a, b in listed for x in range(a, b + 1)] == sorted(model)
        assert all(a.last + 1 < b.first for a, b in itertools.pairwise(listed))
        assert intervals.covers(first, first + n) is set(span).issubset(model)
        gaps = [x for a, b in intervals.gaps(first, first + n) for x in range(a, b + 1)]
        assert gaps == [x for x in span if x not in model]


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return open_outbox(tmp_path)


def test_one_row_a_class_with_consecutive_numbers(outbox: Outbox, tmp_path: Path) -> None:
    kinds = [Kind.FILE, Kind.SAMPLE, Kind.EVENT, Kind.SAMPLE, Kind.STATUS, Kind.REPLY]
    done = outbox.commit(Change([record(i, kind) for i, kind in enumerate(kinds)], BOOT))
    assert (done.first, done.last, done.n) == (1, 6, 6)
    reader = OutboxReader(tmp_path)
    rows = [(h.storage_class, h.first, h.last, h.boot) for h in heads(reader)]
    assert rows == [
        (StorageClass.ALARM, 1, 2, BOOT),
        (StorageClass.HISTORY, 3, 5, BOOT),
        (StorageClass.BULK, 6, 6, BOOT),
    ]
    reader.close()
    outbox.close()


def test_large_commits_are_split_into_rows_that_fit_a_message(
    outbox: Outbox, tmp_path: Path
) -> None:
    records = [record(i, pad="x" * 900) for i in range(1_000)]
    outbox.commit(Change(records, BOOT))
    reader = OutboxReader(tmp_path)
    rows = heads(reader)
    assert len(rows) > 3 and all(row.nbytes <= body.MAX_BODY_BYTES for row in rows)
    assert list(delivered(reader).values()) == records
    assert_balanced(reader)
    reader.close()
    outbox.close()


@pytest.mark.parametrize(
    ("ranges", "left"),
    [
        ([Range(1, 4)], [5, 9]),
        ([Range(1, 3)], [1, 5, 9]),
        ([Range(3, 4), Range(1, 2)], [5, 9]),
        ([Range(2, 11)], [1, 9]),
        ([Range(-5, 10**9)], []),
        ([Range(0, 0), Range(13, 99), Range(8, 5)], [1, 5, 9]),
        ([Range(5, 8), Range(5, 8), Range(6, 7)], [1, 9]),
    ],
)
def test_acks(ranges: list[Range], left: list[int], outbox: Outbox, tmp_path: Path) -> None:
    for begin in (0, 4, 8):
        outbox.commit(Change([record(begin + i) for i in range(4)], BOOT))
    done = outbox.commit(Change(acked=[(outbox.epoch, ranges)]))
    reader = OutboxReader(tmp_path)
    assert [head.first for head in heads(reader)] == left
    assert done.acknowledged == 12 - 4 * len(left)
    assert_balanced(reader)
    reader.close()
    outbox.close()


def test_neighbouring_drops_are_one_account(outbox: Outbox, tmp_path: Path) -> None:
    for i in range(6):
        outbox.commit(Change([record(i)], BOOT))
    reader = OutboxReader(tmp_path)
    rows = heads(reader)
    for row in (rows[0], rows[1], rows[3], rows[4]):
        outbox.commit(Change(drops=[(row, "refused")]))
    history, epoch = StorageClass.HISTORY, outbox.epoch
    assert reader.drops() == [
        Drop(history, epoch, 1, 2, 2, "refused"),
        Drop(history, epoch, 4, 5, 2, "refused"),
    ]
    outbox.commit(Change(acked=[(epoch, [Range(1, 4)])]))
    assert [(d.first, d.last) for d in reader.drops()] == [(4, 5)]
    outbox.commit(Change(acked=[(epoch, [Range(5, 5)])]))
    assert reader.drops() == []
    reader.close()
    outbox.close()


def test_small_tables_survive(outbox: Outbox, tmp_path: Path) -> None:
    offsets = [OffsetRow(BOOT, 0, 5, OffsetSource.RTC), OffsetRow(BOOT, 9, 7, OffsetSource.GNSS)]
    outbox.commit(
        Change(
            marks={"fms": Mark("s", 9), "gnss": Mark("t", 3)},
            offsets=offsets,
            catalogue={"gnss": b"\xff\x00", "fms": b""},
        )
    )
    outbox.commit(Change(marks={"fms": Mark("s", 12)}))
    outbox.close()
    again = open_outbox(tmp_path)
    assert again.opened == "clean"
    assert again.marks() == {"fms": Mark("s", 12), "gnss": Mark("t", 3)}
    assert again.offsets() == offsets
    assert again.catalogue() == {"gnss": b"\xff\x00", "fms": b""}
    reader = OutboxReader(tmp_path)
    assert reader.offsets() == offsets
    reader.close()
    again.close()


def test_commit_of_nothing_writes_nothing(outbox: Outbox, tmp_path: Path) -> None:
    outbox.commit(Change([record(0)], BOOT))
    log = tmp_path / "outbox.db-wal"
    before = log.read_bytes()
    done = outbox.commit(Change(acked=[("0" * 32, [Range(1, 9)])]))
    assert (done.n, done.acknowledged, done.dropped) == (0, 0, 0)
    assert log.read_bytes() == before
    outbox.close()


def test_second_instance_is_refused(outbox: Outbox, tmp_path: Path) -> None:
    with pytest.raises(OutboxLocked, match=re.escape(str(tmp_path)) + r".*pid \d+"):
        open_outbox(tmp_path)
    outbox.close()
    open_outbox(tmp_path).close()


def test_an_open_outbox_has_nothing_to_verify(outbox: Outbox, tmp_path: Path) -> None:
    outbox.commit(Change([record(0)], BOOT))
    assert not outbox.work_left() and settle(outbox) == 1
    outbox.close()


def test_looking_in_from_the_command_line(outbox: Outbox, tmp_path: Path) -> None:
    outbox.commit(
        Change(
            [record(3), record(4, KIND[StorageClass.ALARM]), record(5, Kind.FILE)],
            BOOT,
            offsets=[OffsetRow(BOOT, 0, 1_000_000, OffsetSource.GNSS)],
        )
    )
    assert verify(tmp_path) == []
    columns, rows = query(tmp_path, "SELECT seq, class, utc_ms, kind, blob FROM record")
    assert columns == ["seq", "class", "utc_ms", "kind", "blob"]
    assert rows == [
        (1, "alarm", 1_001_004, "event", None),
        (2, "history", 1_001_003, "sample", None),
        (3, "bulk", 1_001_005, "file", "clips/5.mp4"),
    ]
    target = tmp_path / "export.sqlite"
    assert export_sqlite(tmp_path, target) == 3
    with pytest.raises(FileExistsError, match="give a new name"):
        export_sqlite(tmp_path, target)
    for sql in ("SELECT nonsense", "DELETE FROM record", "SELECT 1; SELECT 2"):
        with pytest.raises(ValueError, match="the table is record"):
            query(tmp_path, sql)
    with pytest.raises(FileNotFoundError, match="no outbox there"):
        verify(tmp_path / "nowhere")
    outbox.close()
