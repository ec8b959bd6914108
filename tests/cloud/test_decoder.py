"""The decoder: what each field means, what is refused, and that no bytes can break it."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from cloud_payloads import (
    BOOT,
    EPOCH,
    SPEED,
    VEHICLE,
    as_json,
    document,
    message,
    packed,
    telemetry,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud import telemetry_pb2 as pb
from cloud.batch import Batch, Blob, Drop, Offset, Record
from cloud.decoder import MAX_BODY, decode
from cloud.intervals import Range


def test_a_batch_of_everything() -> None:
    """Two groups in turn, holes in seq, two boots, states, every type of value, a blob, a drop."""
    fix = pb.Group(
        source="gnss",
        name="fix",
        kind="sample",
        columns=[
            # Presence: value, state, no news.
            pb.Column(path="Lat", presence=bytes([0b00_10_01]), real=[48.25], states=[1]),
            pb.Column(path="Sats", delta=[7, 1, -2], integer=True, steps_per_unit=1),
            pb.Column(path="Alt", delta=[-25, 5, 0], steps_per_unit=10),
        ],
    )
    door = pb.Group(
        source="fms",
        name="dc1",
        kind="event",
        columns=[
            pb.Column(path="Open", flag=[True, False]),
            pb.Column(path="Text", text=["", "zwölf"]),
            pb.Column(path="Gone", presence=bytes([0b10_10]), states=[2, 4]),
        ],
    )
    other = "ef" * 16
    payload = packed(
        pb.Batch(
            vehicle=VEHICLE,
            epoch=bytes.fromhex(EPOCH),
            runs=[5, 2, 0, 1, 10, 2],
            boots=[
                pb.Boot(boot=bytes.fromhex(BOOT)),
                pb.Boot(
                    boot=bytes.fromhex(other),
                    offsets=[pb.Offset(from_boottime_ms=9, utc_offset_ms=-1, source=3)],
                ),
            ],
            drops=[pb.Drop(storage_class=2, first=1, last=4, count=4, reason="quota")],
            groups=[fix, door],
            order=[0, 1, 0, 0, 1],
            boottime_delta_ms=[100, -5, 0, 10, 1],
            boot_runs=[1, 2, 0, 3],
            blobs=[pb.Blob(record=1, path="p", media_type="m", size=8, sha256=bytes(32))],
        )
    )
    assert decode(payload) == Batch(
        vehicle=VEHICLE,
        epoch=EPOCH,
        boots={BOOT: [], other: [Offset(9, -1, "gnss")]},
        drops=[Drop("bulk", 1, 4, 4, "quota")],
        records=[
            Record(
                5,
                "gnss",
                "fix",
                "sample",
                other,
                100,
                {"Lat": 48.25, "Sats": 7, "Alt": -2.5},
                {},
                None,
            ),
            Record(
                6,
                "fms",
                "dc1",
                "event",
                other,
                95,
                {"Open": True, "Text": ""},
                {"Gone": "error"},
                Blob("p", "m", 8, "00" * 32),
            ),
            Record(
                7,
                "gnss",
                "fix",
                "sample",
                BOOT,
                95,
                {"Sats": 8, "Alt": -2.0},
                {"Lat": "not_available"},
                None,
            ),
            Record(18, "gnss", "fix", "sample", BOOT, 105, {"Sats": 6, "Alt": -2.0}, {}, None),
            Record(
                19,
                "fms",
                "dc1",
                "event",
                BOOT,
                106,
                {"Open": False, "Text": "zwölf"},
                {"Gone": "implausible"},
                None,
            ),
        ],
        runs=[Range(5, 7), Range(18, 19)],
    )


def test_a_batch_of_drops_alone() -> None:
    found = decode(telemetry([], drops=[(1, 3, 9, 7, "quota")]))
    assert found.records == []
    assert found.drops == [Drop("history", 3, 9, 7, "quota")]


def test_the_json_format() -> None:
    found = decode(as_json())
    assert found.boots == {BOOT: [Offset(0, 1_800_000_000_000, "gnss")]}
    assert found.drops == [Drop("history", 3, 4, 2, "quota")]
    assert found.records == [
        Record(1, "gnss", "fix", "sample", BOOT, 5, {"a": 1.5, "b": True}, {"c": "error"}, None),
        Record(
            2,
            "cam",
            "clip",
            "file",
            BOOT,
            9,
            {"n": 3, "t": "x"},
            {},
            Blob("a.mp4", "video/mp4", 7, "0" * 64),
        ),
    ]
    assert [type(v) for v in found.records[0].values.values()] == [float, bool]
    assert found.runs == [Range(1, 2)]


def test_a_blob_in_json_is_an_array_or_an_object() -> None:
    row = [1, "cam", "", 0, 9, "file", {}, {}, ["a.mp4", "video/mp4", 7, "0" * 64]]
    (found,) = decode(as_json(records=[row])).records
    assert (found.group, found.blob) == ("", Blob("a.mp4", "video/mp4", 7, "0" * 64))


def _with_column(**more: Any) -> Callable[[pb.Batch], None]:
    def change(batch: pb.Batch) -> None:
        del batch.groups[0].columns[:]
        batch.groups[0].columns.append(pb.Column(path="x", **more))

    return change


def _set(name: str, value: Any) -> Callable[[pb.Batch], None]:
    def change(batch: pb.Batch) -> None:
        batch.ClearField(name)
        if isinstance(value, list):
            getattr(batch, name).extend(value)
        else:
            setattr(batch, name, value)

    return change


DAMAGES: list[tuple[Callable[[pb.Batch], None], str]] = [
    (_set("vehicle", ""), "vehicle"),
    (_set("vehicle", "a/b"), "vehicle"),
    (_set("vehicle", "a\n"), "vehicle"),
    (_set("epoch", b"short"), "epoch"),
    (_set("runs", [1, 2, 3]), "runs"),
    (_set("runs", [1, 2]), "runs: 2 numbers for 3"),
    (_set("runs", [0, 3]), "runs: 0..2"),
    (_set("runs", [1, 3, 0, 0]), "runs"),
    (_set("runs", [2**64 - 1, 3]), "runs"),
    (_set("runs", [1, 2**64 - 1]), "runs"),
    (_set("order", [0, 0]), "runs"),
    (_set("order", [0, 0, 1]), "order: group 1 of 1"),
    (_set("boot_runs", [0, 2]), "boot_runs: 2 places"),
    (_set("boot_runs", [1, 3]), "boot_runs: boot 1 of 1"),
    (_set("boot_runs", [0]), "boot_runs"),
    (_set("boottime_delta_ms", [1, 2]), "boottime_delta_ms"),
    (_set("boottime_delta_ms", [1, 2, -9]), "boottime_ms: -6"),
    (_set("boottime_delta_ms", [2**53, 1, 1]), "boottime_ms"),
    (_set("boots", [pb.Boot(boot=b"x")]), "boot"),
    (_set("boots", [pb.Boot(boot=bytes(16)), pb.Boot(boot=bytes(16))]), "twice"),
    (_set("boots", [pb.Boot(boot=bytes(16), offsets=[pb.Offset(source=5)])]), "source 5"),
    (
        _set("boots", [pb.Boot(boot=bytes(16), offsets=[pb.Offset(utc_offset_ms=-(2**60))])]),
        "utc_offset_ms",
    ),
    (_set("drops", [pb.Drop(first=1, last=1, storage_class=3)]), "class 3"),
    (_set("drops", [pb.Drop(first=2, last=1)]), "drops: 2..1"),
    (_set("drops", [pb.Drop(first=0, last=1)]), "drops: 0..1"),
    (_set("drops", [pb.Drop(first=1, last=2**63)]), "drops"),
    (_set("drops", [pb.Drop(first=1, last=2, count=3)]), "3 records in 1..2"),
    (_set("drops", [pb.Drop(first=1, last=2, reason="x" * 5_000)]), "reason"),
    (_set("blobs", [pb.Blob(record=3, sha256=bytes(32))]), "record 3 of 3"),
    (_set("blobs", [pb.Blob(sha256=bytes(32))] * 2), "twice"),
    (_set("blobs", [pb.Blob(sha256=bytes(31))]), "sha256"),
    (_set("groups", [pb.Group(name="g", kind="sample")]), "source"),
    (_set("groups", [pb.Group(source="s", name="g" * 600, kind="sample")]), "group"),
    (_set("groups", [pb.Group(source="s", name="g", kind="sampel")]), "kind: 'sampel'"),
    (_with_column(delta=[1, 2], steps_per_unit=1), "2 values for 3"),
    (_with_column(delta=[1, 2, 3]), "0 steps"),
    (_with_column(delta=[1, 2, 3], integer=True, steps_per_unit=10), "10 steps"),
    (_with_column(delta=[2**62] * 3, integer=True, steps_per_unit=1), "64 bits"),
    (_with_column(real=[1, math.nan, 1]), "finite"),
    (_with_column(real=[1, 1, -math.inf]), "finite"),
    (_with_column(real=[1, 2, 3], flag=[True] * 3), "more than one list"),
    (_with_column(text=["x" * 70_000] * 3), "text"),
    (_with_column(presence=b"\x15\x00", flag=[True] * 3), "presence of 2 bytes"),
    (_with_column(presence=b"\x55", flag=[True] * 3), "presence"),
    (_with_column(presence=b"\x03"), "presence"),
    (_with_column(presence=b"\x02"), "0 states for 1"),
    (_with_column(presence=b"\x02", states=[5]), "state 5"),
    (_with_column(presence=b"\x02", states=[0]), "state 0"),
    (_with_column(flag=[True] * 3, states=[1]), "1 states for 0"),
]


@pytest.mark.parametrize(("change", "text"), DAMAGES)
def test_what_does_not_add_up_is_refused(change: Callable[[pb.Batch], None], text: str) -> None:
    batch = message([1, 2, 3])
    change(batch)
    with pytest.raises(ValueError, match=text):
        decode(packed(batch))


def test_a_path_stands_once_in_a_group() -> None:
    batch = message([1])
    batch.groups[0].columns.append(batch.groups[0].columns[0])
    with pytest.raises(ValueError, match="twice"):
        decode(packed(batch))


RECORD = [1, "s", "g", 0, 5, "sample", {}, {}, None]
BAD_JSON: list[tuple[dict[str, Any], str]] = [
    ({"v": 2}, "v"),
    ({"vehicle": "a b"}, "vehicle"),
    ({"epoch": EPOCH.upper()}, "epoch"),
    ({"boots": [], "drops": []}, "boot 0 of 0"),
    ({"boots": [{"boot": BOOT, "offsets": [[0, 0, "sundial"]]}]}, "sundial"),
    ({"boots": [{"boot": BOOT}, {"boot": BOOT}]}, "twice"),
    ({"drops": [["hostory", 1, 2, 2, ""]]}, "hostory"),
    ({"records": [RECORD, RECORD]}, "seq 1 is stated twice"),
    ({"records": [[0, *RECORD[1:]]]}, "0 is not a seq"),
    ({"records": [[2**63, *RECORD[1:]]]}, "not a seq"),
    ({"records": [[True, *RECORD[1:]]]}, "int"),
    ({"records": [[1, "s", "g", 0, 5, "sample", {"a": 2**70}, {}, None]]}, "64 bits"),
    ({"records": [[1, "s", "g", 0, 5, "sample", {"a": None}, {}, None]]}, "null"),
    ({"records": [[1, "s", "g", 0, 5, "sample", {"a": 1}, {"a": "error"}, None]]}, "both"),
    ({"records": [[1, "s", "g", 0, 5, "sample", {}, {"a": "lost"}, None]]}, "lost"),
    ({"records": [[1, "s", "g", 0, -5, "sample", {}, {}, None]]}, "boottime_ms"),
    ({"records": [[1, "s", "g", 0, 5, "x", {}, {}, None]]}, "kind"),
]


@pytest.mark.parametrize(("change", "text"), BAD_JSON)
def test_json_that_does_not_add_up_is_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        decode(as_json(**change))


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "empty"),
        (b"\x02abc", "0x02"),
        (b"\x01abc", "zlib"),
        (b"\x01", "cut short"),
        (telemetry([1])[:-3], "cut short"),
        (telemetry([1]) + b"x", "after the zlib stream"),
        (b"\x01" + zlib.compress(b"\x0a\x05ab"), "protobuf"),
        (b"\x01" + zlib.compress(b"\x0a\x01\xff"), "protobuf"),
        (b"{" + b'"a":' * 3, "JSON"),
        (b'{"v":' + b"[" * 200_000, "JSON|nested"),
        (b'{"v":1,"vehicle":"\xff"}', "JSON"),
        (b'{"v":1,"vehicle":"\\ud800"}', "JSON"),
    ],
)
def test_what_is_no_message_is_refused(payload: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        decode(payload)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"\0" * (MAX_BODY + 1), "more than 16777216 bytes"),
        (b"\x32\x00" * (4 << 20), "nested messages"),  # groups
        (b"\x52\x00" * (4 << 20), "nested messages"),  # blobs
        (b"\x32\x80\x80\x80\x04" + b"\x22\x00" * (4 << 20), "nested messages"),  # columns
        (b"\x3a\x80\x80\x80\x04" + b"\0" * (8 << 20), "records in one message"),  # order
    ],
)
def test_a_bomb_is_refused_before_it_takes_memory(body: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        decode(b"\x01" + zlib.compress(body))


def test_values_are_bounded_before_they_are_spread() -> None:
    """150,000 records that name a hundred columns without a byte for any value."""
    n = 150_000
    batch = message(range(1, n + 1))
    del batch.groups[0].columns[:]
    batch.groups[0].columns.extend(
        pb.Column(path=f"p{i}", presence=bytes((n + 3) // 4)) for i in range(100)
    )
    with pytest.raises(ValueError, match="values in one message"):
        decode(packed(batch))


def _total(payload: bytes) -> Batch | None:
    try:
        return decode(payload)
    except ValueError as error:
        assert str(error)
        return None


@given(st.binary(max_size=400))
def test_any_bytes_give_a_batch_or_a_text(data: bytes) -> None:
    for payload in (data, b"\x01" + data, b"\x01" + zlib.compress(data), b"{" + data):
        _total(payload)


@st.composite
def _mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        change = draw(st.sampled_from(["set", "cut", "insert"]))
        if change == "set" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif change == "cut":
            del data[at : at + draw(st.integers(1, 8))]
        else:
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data)


WHOLE = message([3, 4, 9], offsets=[(0, 5, 1)], drops=[(1, 1, 2, 2, "quota")]).SerializeToString()


@settings(max_examples=300)
@given(_mutated(WHOLE))
def test_a_damaged_protobuf_gives_a_batch_or_a_text(body: bytes) -> None:
    found = _total(b"\x01" + zlib.compress(body))
    if found is not None:
        assert sum(run.last - run.first + 1 for run in found.runs) == len(found.records)


@settings(max_examples=200)
@given(_mutated(as_json()))
def test_a_damaged_json_gives_a_batch_or_a_text(payload: bytes) -> None:
    _total(payload)


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.sampled_from(sorted(document())), _anything)
def test_any_json_value_anywhere_gives_a_batch_or_a_text(key: str, value: Any) -> None:
    _total(json.dumps({**document(), key: value}).encode())
    _total(json.dumps(document(records=[[*RECORD[:6], {SPEED: value}, {}, value]])).encode())


@given(
    st.lists(st.integers(1, 60), unique=True, min_size=1),
    st.lists(st.integers(-(2**40), 2**40), min_size=60, max_size=60),
    st.sampled_from([1, 3, 10, 256]),
    st.lists(st.sampled_from([0, 1, 2]), min_size=60, max_size=60),
)
def test_what_was_written_is_read(
    seqs: list[int], entries: list[int], steps: int, codes: list[int]
) -> None:
    seqs.sort()
    codes = codes[: len(seqs)]
    batch = message(seqs)
    kept = [entries[at] for at, code in enumerate(codes) if code == 1]
    column = batch.groups[0].columns[0]
    column.ClearField("delta")
    column.delta.extend(b - a for a, b in zip([0, *kept], kept, strict=False))
    column.steps_per_unit = steps
    column.states.extend(1 for code in codes if code == 2)
    bits = sum(code << (2 * at) for at, code in enumerate(codes))
    column.presence = bits.to_bytes((len(seqs) + 3) // 4, "little")
    found = decode(packed(batch))
    assert [record.seq for record in found.records] == seqs
    assert [record.boottime_ms for record in found.records] == [1_000 + 100 * s for s in seqs]
    for at, (record, code) in enumerate(zip(found.records, codes, strict=True)):
        assert record.values == ({SPEED: entries[at] / steps} if code == 1 else {})
        assert record.states == ({SPEED: "not_available"} if code == 2 else {})
