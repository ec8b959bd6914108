"""The payload: what is encoded comes back, byte for byte the same meaning."""

from __future__ import annotations

import json
import math
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import OffsetRow, OffsetSource
from agent.record import Blob, Kind, Record, Scalar, State, StorageClass
from agent.signals import Datatype, Group, Signal
from agent.store.rows import Drop
from agent.uplink import telemetry_pb2 as pb
from agent.uplink.codec import decode, encode
from agent.uplink.payload import Payload, Run, Undecodable, Unencodable

EPOCH = "0123456789abcdef0123456789abcdef"
BOOT = "a" * 32
OTHER_BOOT = "b" * 32
SPEED = "Vehicle.Speed"
RPM = "Vehicle.Powertrain.CombustionEngine.Speed"

CCVS1 = Group("ccvs1", (Signal(SPEED, Datatype.FLOAT, "km/h", "", steps_per_unit=256),))


def ccvs1(source: str, paths: object) -> Group | None:
    return CCVS1 if source == "fms" else None


def one_run(*records: Record, first: int = 1) -> Payload:
    return Payload("bus-1", EPOCH, [Run(first, BOOT, records)])


def flat(payload: Payload) -> list[tuple[int, str, Record]]:
    return [
        (seq, run.boot, record)
        for run in payload.runs
        for seq, record in enumerate(run.records, run.first)
    ]


def exact(value: Scalar) -> tuple[str, str]:
    """Tells 1 from 1.0 from True, and 0.0 from -0.0."""
    return type(value).__name__, repr(value)


def batch_of(data: bytes) -> pb.Batch:
    assert data[0] == 1
    return pb.Batch.FromString(zlib.decompress(data[1:]))


def speeds(*values: Scalar) -> Payload:
    return one_run(*(Record("fms", 10 * i, {SPEED: v}) for i, v in enumerate(values)))


@pytest.mark.parametrize(
    ("values", "steps", "field"),
    [
        ((0.0, 12.5, 250.99609375), 256, "delta"),  # declared resolution
        ((0.1, 12.3), 10, "delta"),  # not on the grid, but plain decimals
        ((1 / 3, 2.0), 0, "real"),
        ((0.1 + 0.2,), 0, "real"),
        ((-0.0,), 0, "real"),
        ((0.0, -0.0), 0, "real"),
        ((1e300,), 0, "real"),
        ((5e-324,), 0, "real"),
        ((2.0**53 + 2,), 0, "real"),
        ((5, -7, 2**62 - 1, -(2**62)), 1, "delta"),
        ((True, False), 0, "flag"),
        (("", "TWO_D", "Größe"), 0, "text"),
    ],
)
def test_column_of(values: tuple[Scalar, ...], steps: int, field: str) -> None:
    data = encode(speeds(*values), ccvs1)
    (group,) = batch_of(data).groups
    (column,) = group.columns
    assert (group.source, group.name, column.path, column.unit) == ("fms", "ccvs1", SPEED, "km/h")
    assert column.steps_per_unit == steps
    assert column.presence == b""
    assert [name.name for name, _ in column.ListFields() if name.is_repeated] == [field]
    back = [exact(record.values[SPEED]) for _, _, record in flat(decode(data))]
    assert back == [exact(value) for value in values]


def test_header_says_runs_boots_drops_and_blobs() -> None:
    blob = Blob("/v/clip.mp4", "video/mp4", 5, "ab" * 32)
    rows = [
        OffsetRow(BOOT, 0, 1_800_000_000_000, OffsetSource.RTC),
        OffsetRow(BOOT, 900, 1_800_000_000_500, OffsetSource.GNSS),
        OffsetRow("c" * 32, 0, 1, OffsetSource.NTP),  # a boot that this payload does not name
    ]
    drops = [Drop(StorageClass.HISTORY, EPOCH, 1, 9, 9, "quota")]
    payload = Payload(
        "bus-1",
        EPOCH,
        [
            Run(10, BOOT, [Record("a", 5, {"x": 1}), Record("a", 4, {"x": 2})]),
            Run(15, BOOT, [Record("a", 6, {"x": 3}, kind=Kind.FILE, blob=blob)]),
            Run(16, OTHER_BOOT, [Record("a", 1, {"x": 4})]),
        ],
        rows,
        drops,
        thinned=(Drop(StorageClass.HISTORY, EPOCH, 20, 90, 60, "thinned"),),
        settled=9,
    )
    data = encode(payload)
    batch = batch_of(data)
    assert list(batch.runs) == [10, 2, 3, 2]
    assert list(batch.boot_runs) == [0, 3, 1, 1]
    assert list(batch.boottime_delta_ms) == [5, -1, 2, -5]
    back = decode(data)
    assert flat(back) == flat(payload)
    assert list(back.drops) == drops
    assert back.thinned == payload.thinned
    assert decode(encode(payload, form="json")).thinned == payload.thinned
    assert back.settled == decode(encode(payload, form="json")).settled == 9
    assert list(back.offsets) == rows[:2]


def test_presence_has_two_bits_a_record() -> None:
    records = [
        Record("fms", 1, {SPEED: 1.0}),
        Record("fms", 2, {RPM: 2.0}),
        Record("fms", 3, {RPM: 2.0}, {SPEED: State.ERROR}),
        Record("fms", 4, {SPEED: 3.0, RPM: 1.0}),
        Record("fms", 5, {}, {SPEED: State.MISSING, RPM: State.IMPLAUSIBLE}),
    ]
    data = encode(one_run(*records), ccvs1)
    columns = {column.path: column for column in batch_of(data).groups[0].columns}
    assert columns[SPEED].presence == bytes([0b01_10_00_01, 0b10])
    assert list(columns[SPEED].states) == [2, 3]
    assert [record for _, _, record in flat(decode(data))] == records


def test_a_change_of_type_opens_a_second_table_of_the_same_group() -> None:
    data = encode(speeds(1, 1.5, 2, True, "x", 2.5), ccvs1)
    batch = batch_of(data)
    assert [group.name for group in batch.groups] == ["ccvs1"] * 4
    assert list(batch.order) == [0, 1, 0, 2, 3, 1]
    got = [exact(record.values[SPEED]) for _, _, record in flat(decode(data))]
    assert got == [exact(value) for value in (1, 1.5, 2, True, "x", 2.5)]


def test_differences_of_wide_integers_stay_in_64_bits() -> None:
    wide = (2**63 - 1, -(2**63), 0, 2**62, -(2**62) - 1, 2**63 - 1)
    got = [record.values[SPEED] for _, _, record in flat(decode(encode(speeds(*wide))))]
    assert got == list(wide)


@pytest.mark.parametrize(
    "record",
    [
        Record("a", 0, {"x": 2**63}),
        Record("a", 0, {"x": -(2**63) - 1}),
        Record("a", 0, {"x": "\ud800"}),
        Record("a", 0, {"x": None}),  # type: ignore[dict-item]
        Record("a", 0, {"x": 1}, {"x": State.ERROR}),
        Record("a", 2**63, {"x": 1}),
        Record("a", 0, {}, blob=Blob("p", "m", 1, "no hex")),
    ],
)
def test_what_the_wire_cannot_say_is_refused(record: Record) -> None:
    with pytest.raises(Unencodable):
        encode(one_run(record))


def test_json_is_as_documented() -> None:
    payload = Payload(
        "bus-1",
        EPOCH,
        [Run(7, BOOT, [Record("fms", 12, {SPEED: 1.5}, {RPM: State.ERROR})])],
        [OffsetRow(BOOT, 0, 99, OffsetSource.GNSS)],
        [Drop(StorageClass.BULK, EPOCH, 1, 6, 6, "damaged")],
    )
    data = encode(payload, ccvs1, "json")
    assert json.loads(data) == {
        "v": 1,
        "vehicle": "bus-1",
        "epoch": EPOCH,
        "boots": [{"boot": BOOT, "offsets": [[0, 99, "gnss"]]}],
        "drops": [["bulk", 1, 6, 6, "damaged"]],
        "records": [[7, "fms", "ccvs1", 0, 12, "sample", {SPEED: 1.5}, {RPM: "error"}, None]],
    }
    assert data[:1] == b"{"
    assert decode(data) == payload


def test_json_has_no_word_for_infinity() -> None:
    with pytest.raises(Unencodable):
        encode(speeds(math.inf), form="json")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x01", b"\x01nonsense", b"{", b"{}", b"[]", b'{"v":1,"records":[[]]}'],
)
def test_what_is_no_payload_is_refused(data: bytes) -> None:
    with pytest.raises(Undecodable):
        decode(data)


PATHS = st.sampled_from([SPEED, RPM, "a", "b"])
SCALARS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-300, 300),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**6), 10**6).map(lambda n: n / 256),
    st.sampled_from([0.1, -0.0, 0.0, 1e-308, 2.0**53, -0.3]),
    st.booleans(),
    st.text(max_size=5),
)
BLOBS = st.builds(
    Blob,
    st.text(max_size=8),
    st.just("video/mp4"),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    paths = draw(st.lists(PATHS, unique=True, max_size=4))
    stated = draw(st.integers(0, len(paths)))
    return Record(
        draw(st.sampled_from(["fms", "gnss", "other"])),
        draw(st.integers(0, 2**50)),
        {path: draw(SCALARS) for path in paths[stated:]},
        {path: draw(st.sampled_from(State)) for path in paths[:stated]},
        draw(st.sampled_from(Kind)),
        draw(st.none() | BLOBS),
    )


@st.composite
def payloads(draw: st.DrawFn) -> Payload:
    runs, after = [], 1
    for _ in range(draw(st.integers(0, 4))):
        first = after + draw(st.integers(0, 3) | st.integers(0, 2**40))
        members = draw(st.lists(records(), min_size=1, max_size=6))
        runs.append(Run(first, draw(st.sampled_from([BOOT, OTHER_BOOT])), members))
        after = first + len(members)
    drops = [
        Drop(draw(st.sampled_from(StorageClass)), EPOCH, first, first + n, n + 1, "quota")
        for first, n in draw(st.lists(st.tuples(st.integers(1, 2**60), st.integers(0, 99))))
    ]
    return Payload("bus-1", EPOCH, runs, (), drops)


@settings(max_examples=150, deadline=None)
@given(payloads(), st.sampled_from(["protobuf", "json"]))
def test_decoding_gives_back_what_was_encoded(payload: Payload, form: str) -> None:
    back = decode(encode(payload, ccvs1, form))  # type: ignore[arg-type]
    assert flat(back) == flat(payload)
    assert list(back.drops) == list(payload.drops)
    for (_, _, got), (_, _, want) in zip(flat(back), flat(payload), strict=True):
        for path, value in want.values.items():
            assert exact(got.values[path]) == exact(value)
    assert list(back.groups) == [
        "ccvs1" if record.source == "fms" else "" for _, _, record in flat(payload)
    ]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), payloads(), st.data())
def test_any_bytes_give_a_payload_or_undecodable(
    junk: bytes, payload: Payload, data: st.DataObject
) -> None:
    packed = bytearray(batch_bytes(payload) + junk)
    if packed:
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    for attempt in (junk, b"\x01" + junk, b"{" + junk, b"\x01" + zlib.compress(bytes(packed))):
        try:
            decode(attempt)
        except Undecodable:
            continue


def batch_bytes(payload: Payload) -> bytes:
    return zlib.decompress(encode(payload, ccvs1)[1:])
