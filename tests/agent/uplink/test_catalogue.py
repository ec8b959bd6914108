"""The catalogue: what batches may refer to, from when on, and what heals a far end that lost it."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import secrets
import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uplink_rig import VEHICLE, Box, FarEnd, Message, embedded, until

from agent.clock import OffsetRow, OffsetSource
from agent.record import Kind, Record, State
from agent.signals import Catalogue, Datatype, Group, Signal
from agent.uplink import codec
from agent.uplink import telemetry_pb2 as pb
from agent.uplink.announcing import DOUBT_AGAIN_S, NEEDED_PAUSE_S, Announcing
from agent.uplink.catalogue import MAX_PAYLOAD_BYTES, Shapes, shapes_of
from agent.uplink.payload import Payload, Run, Undecodable

EPOCH, BOOT = "e" * 32, "b" * 32
SPEED, RPM = "Vehicle.Speed", "Vehicle.Engine.Speed"
CCVS1 = Group("ccvs1", (Signal(SPEED, Datatype.FLOAT, "km/h", "", steps_per_unit=256),))
EEC1 = Group("eec1", (Signal(RPM, Datatype.FLOAT, "rpm", "", steps_per_unit=8),))


def shapes(*declared: tuple[str, Group]) -> Shapes:
    found = shapes_of(declared)
    assert found is not None
    return found


KNOWN = shapes(("fms", CCVS1), ("fms", EEC1))


def group_of(source: str, paths: object) -> Group | None:
    if source != "fms":
        return None
    assert isinstance(paths, list)
    return CCVS1 if SPEED in paths else EEC1 if RPM in paths else None


def payload(*records: Record) -> Payload:
    return Payload("bus-1", EPOCH, [Run(1, BOOT, records)])


def batch_of(data: bytes) -> pb.Batch:
    return pb.Batch.FromString(zlib.decompress(data[1:]))


def test_a_declared_group_is_not_named() -> None:
    data = codec.encode(payload(Record("fms", 5, {SPEED: 12.5})), group_of, shapes=KNOWN)
    batch = batch_of(data)
    (group,) = batch.groups
    (column,) = group.columns
    assert batch.catalogue == KNOWN.hash == hashlib.sha256(KNOWN.payload).digest()[:16]
    assert (group.shape, group.source, group.name) == (1, "", "")
    assert (column.leaf, column.path, column.unit) == (1, "", "")
    assert SPEED not in zlib.decompress(data[1:]).decode("latin-1")


@pytest.mark.parametrize(
    "record",
    [
        Record("other", 5, {SPEED: 1.0}),  # a source that declared nothing
        Record("fms", 5, {"Vehicle.New": 1.0}),  # a signal of no group
    ],
)
def test_what_nobody_declared_names_itself(record: Record) -> None:
    data = codec.encode(payload(record), group_of, shapes=KNOWN)
    assert batch_of(data).catalogue == b""
    assert codec.decode(data).runs[0].records[0] == record


def test_a_group_that_was_declared_otherwise_since_names_itself() -> None:
    """Positions of another declaration would put values under the wrong signal."""
    swapped = Group("ccvs1", (*EEC1.signals, *CCVS1.signals))
    data = codec.encode(payload(Record("fms", 5, {SPEED: 1.0})), lambda *_: swapped, shapes=KNOWN)
    assert batch_of(data).groups[0].name == "ccvs1"
    assert batch_of(data).groups[0].columns[0].path == SPEED


def test_a_batch_needs_its_own_catalogue() -> None:
    data = codec.encode(payload(Record("fms", 5, {SPEED: 12.5})), group_of, shapes=KNOWN)
    for other in (None, shapes(("fms", EEC1))):
        with pytest.raises(Undecodable, match="is not known"):
            codec.decode(data, other)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            Record,
            st.sampled_from(["fms", "x"]),
            st.integers(0, 2**40),
            st.dictionaries(
                st.sampled_from([SPEED, RPM, "n"]),
                st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(0, 200), st.booleans()),
                max_size=3,
            ),
            st.dictionaries(st.just("s"), st.sampled_from(list(State)), max_size=1),
            st.sampled_from(list(Kind)),
        ).filter(lambda record: bool(record.values or record.states)),
        max_size=20,
    )
)
def test_referring_loses_nothing(records: list[Record]) -> None:
    whole = payload(*records)
    back = codec.decode(codec.encode(whole, group_of, shapes=KNOWN), KNOWN)
    named = codec.decode(codec.encode(whole, group_of))
    assert repr(back.runs) == repr(named.runs)
    assert list(back.groups) == list(named.groups)


def test_a_catalogue_that_no_message_holds_is_not_used() -> None:
    signals = [
        Signal(hashlib.sha256(bytes([i % 256, i // 256])).hexdigest(), Datatype.FLOAT, "", "")
        for i in range(MAX_PAYLOAD_BYTES // 32)
    ]
    assert shapes_of([("x", Group("g", tuple(signals)))]) is None
    assert shapes_of([]) is None


def test_the_17_field_record_takes_14_bytes_at_most() -> None:
    """At 100 a message, all in: epoch, boot, offsets, hash, zlib. Bytes are the same everywhere."""
    path = Path(__file__).parents[3] / "benchmarks" / "bus_record.py"
    spec = importlib.util.spec_from_file_location("bus_record", path)
    assert spec is not None and spec.loader is not None
    bus = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bus)
    records = list(itertools.islice(bus.drive(), 100))
    assert all(len(record.values) == 17 for record in records)
    boot, epoch = secrets.token_hex(16), secrets.token_hex(16)
    offsets = [OffsetRow(boot, 0, 1_800_000_000_123, OffsetSource.GNSS)]
    whole = Payload("bus-4021", epoch, [Run(1_234_567, boot, records)], offsets)
    known = shapes((bus.SOURCE, bus.GROUP))
    data = codec.encode(whole, bus.group_of, shapes=known)
    assert codec.decode(data, known).runs == whole.runs
    assert len(data) <= 14 * 100
    assert len(codec.encode(whole, bus.group_of)) > len(data) + 200


# --- when it is announced -----------------------------------------------------------------------


def announcing(*groups: Group) -> tuple[Announcing, Catalogue]:
    catalogue = Catalogue()
    catalogue.declare("fms", groups or (CCVS1, EEC1))
    return Announcing(catalogue), catalogue


def said(**lists: list[str]) -> bytes:
    return json.dumps(lists).encode()


def test_nothing_refers_to_it_before_the_far_end_has_it() -> None:
    one, _ = announcing()
    due = one.due(0.0)
    assert due is not None and due.hash == KNOWN.hash
    assert one.shapes is None
    assert one.heard(said(have=["0" * 32]))
    assert one.shapes is None
    assert one.heard(said(have=[due.name]))
    assert one.shapes == due
    assert one.due(10_000.0) is None


def test_a_far_end_that_never_answers_is_asked_ever_more_seldom() -> None:
    one, _ = announcing()
    asked = [second for second in range(86_400) if one.due(float(second))]
    assert asked[:4] == [0, 60, 180, 420]
    assert len(asked) < 32
    assert one.shapes is None


def test_a_flapping_line_does_not_make_it_ask_more_often() -> None:
    one, _ = announcing()
    asked = 0
    for second in range(3_600):
        one.connected()
        asked += one.due(float(second)) is not None
    assert asked <= 9


def test_one_that_is_missing_is_sent_again_but_not_in_a_flood() -> None:
    one, _ = announcing()
    due = one.due(0.0)
    assert due is not None
    one.heard(said(have=[due.name]))
    sent = []
    for tenth in range(200):
        one.heard(said(need=[due.name]))
        assert one.shapes is None
        if one.due(100 + tenth / 10):
            sent.append(tenth / 10)
    assert sent[0] == 0.0
    assert 3 <= len(sent) <= 20 / NEEDED_PAUSE_S + 1


def test_new_declarations_are_announced_and_named_until_then() -> None:
    one, catalogue = announcing(CCVS1)
    first = one.due(0.0)
    assert first is not None
    one.heard(said(have=[first.name]))
    catalogue.declare("gnss", (EEC1,))
    second = one.due(2.0)
    assert second is not None and second.hash != first.hash
    assert one.shapes is None
    one.heard(said(have=[first.name]))  # late
    assert one.shapes is None


def test_silence_makes_it_doubt_one_catalogue_once() -> None:
    one, catalogue = announcing()
    due = one.due(0.0)
    assert due is not None
    assert not one.doubtful([9], 0.0)  # named anyway
    one.heard(said(have=[due.name]))
    one.doubtful([1, 2], 1.0)
    assert one.shapes == due
    one.doubtful([3], 2.0)
    assert one.shapes is None
    one.heard(said(have=[due.name]))
    one.doubtful([3], 3.0)
    assert one.shapes == due, "it has it, so the silence is about something else"
    one.doubtful([3], 2.0 + DOUBT_AGAIN_S)
    assert one.shapes is None
    catalogue.declare("gnss", (EEC1,))
    other = one.due(2.0 + DOUBT_AGAIN_S)
    assert other is not None
    one.heard(said(have=[other.name]))
    one.doubtful([3], 3.0 + DOUBT_AGAIN_S)
    assert one.shapes is None, "another catalogue is another matter"


def test_what_was_declared_before_cannot_be_read_any_more() -> None:
    one, _ = announcing()
    one.due(0.0)
    one.heard(said(need=["0" * 32]))
    assert one.doubtful([], 1.0) and not one.doubtful([], 2.0)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_may_arrive(data: bytes) -> None:
    one, _ = announcing()
    one.due(0.0)
    one.heard(data)
    assert one.shapes is None


def test_acks_are_not_about_catalogues() -> None:
    one, _ = announcing()
    assert not one.heard(b'{"epoch": "00", "ranges": [[1, 2]]}')
    assert not one.heard(b"[]")


# --- through a broker ---------------------------------------------------------------------------


def test_batches_refer_once_the_far_end_has_it_and_name_again_when_it_cannot_read(
    tmp_path: Path,
) -> None:
    catalogue = Catalogue()
    catalogue.declare("fms", (CCVS1,))
    expected = shapes(("fms", CCVS1))

    def answers(message: Message) -> bool:
        return True

    with embedded(tmp_path) as broker:
        far = FarEnd(broker.port, answers, shapes=expected)
        far.start()
        box = Box(tmp_path, broker.port, catalogue=catalogue, group_of=group_of, ack_timeout_s=1.0)
        try:
            box.uplink.start()
            until(lambda: far.catalogues, "the catalogue arrives")
            box.commit(Record("fms", 1, {SPEED: 1.0}))
            box.until_empty()
            assert not batch_of(far.raw[-1]).catalogue
            far.say(said(have=[expected.name]))
            numbers = iter(range(2, 1_000))

            def referred() -> bool:
                box.commit(Record("fms", next(numbers), {SPEED: 2.0}))
                return bool(batch_of(far.raw[-1]).catalogue)

            box.until(referred, "batches refer to the catalogue")
            box.until_empty()
            # An older far end from now on: it acknowledges nothing that it cannot read.
            far.shapes = None
            box.commit(Record("fms", next(numbers), {SPEED: 3.0}))
            box.until_empty(within_s=30)
            assert not batch_of(far.raw[-1]).catalogue
        finally:
            box.close()
            far.stop()
    assert {record.values[SPEED] for record in far.records.values()} == {1.0, 2.0, 3.0}
    assert far.catalogues[0][0] == f"brain/v1/{VEHICLE}/up/catalogue/{expected.name}"


def test_the_real_far_end_takes_it_and_asks_for_it_when_it_lost_it(tmp_path: Path) -> None:
    """`python -m cloud` as a process; its catalogue is taken away while it is down."""
    ledger = tmp_path / "ledger.db"
    catalogue = Catalogue()
    catalogue.declare("fms", (CCVS1,))
    name = shapes(("fms", CCVS1)).name

    def start(port: int) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "cloud", "--port", str(port), "--ledger", str(ledger)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        return process

    def referring() -> bool:
        return box.uplink._despatch._loader.shapes is not None

    def speeds() -> list[float]:
        with closing(sqlite3.connect(ledger)) as db:
            rows = db.execute("SELECT vals FROM record ORDER BY seq").fetchall()
        return [json.loads(values)[SPEED] for (values,) in rows]

    with embedded(tmp_path) as broker:
        process = start(broker.port)
        box = Box(tmp_path, broker.port, catalogue=catalogue, group_of=group_of, ack_timeout_s=1.0)
        try:
            box.uplink.start()
            box.until(referring, "the far end has the catalogue")
            box.commit(Record("fms", 1, {SPEED: 1.0}))
            box.until_empty()
            process.kill()
            process.wait(5)
            with closing(sqlite3.connect(ledger)) as db, db:
                assert db.execute("SELECT hash FROM catalogue").fetchall() == [(name,)]
                db.execute("DELETE FROM catalogue")
            process = start(broker.port)
            box.commit(Record("fms", 2, {SPEED: 2.0}))
            box.until_empty(within_s=30)
            box.until(referring, "it has it again")
            with closing(sqlite3.connect(ledger)) as db:
                assert db.execute("SELECT hash FROM catalogue").fetchall() == [(name,)]
        finally:
            box.close()
            process.kill()
            process.wait(5)
    assert speeds() == [1.0, 2.0]
