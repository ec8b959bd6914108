"""Whatever a driver's process sends, the door answers with a record or a ValueError."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agent.ingest_check import (
    checked_hello,
    checked_record,
    checked_report,
    decode_groups,
    encode_groups,
)
from agent.protocol import Hello, Records, Report, WireGroup, WireSignal, declare, decode_upward
from agent.record import Record
from agent.signals import EVERY, Datatype, Group, Signal, sampled
from agent.values import checked

ALL = Group("all", tuple(Signal(f"Vehicle.X{i}", kind, "", "m") for i, kind in enumerate(Datatype)))

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers(-9, 9), inner, max_size=4)
    ),
    max_leaves=12,
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=8)
)
rows = st.tuples(
    st.integers(-1, 1),
    st.integers(-5, 1 << 62),
    st.lists(scalars, min_size=len(Datatype) - 1, max_size=len(Datatype) + 1),
    st.none() | st.dictionaries(st.integers(-1, 11), st.sampled_from(["error", "x"]), max_size=3),
    st.none() | st.sampled_from(["event", "file", "sample", "x"]),
    st.none() | st.tuples(st.text(max_size=5), st.text(max_size=5), st.integers(), st.text()),
)
signals = st.builds(
    WireSignal,
    st.sampled_from(["Vehicle.Speed", "Vehicle", "", "a b", "X" * 5_000]),
    st.sampled_from(["float", "uint8", "float16"]),
    st.text(max_size=5),
    st.text(max_size=5),
    st.sampled_from(["every", "change", "sampled", "never"]),
    st.floats(),
    st.floats(),
    st.none() | st.floats(),
    st.none() | st.floats(),
    st.integers(-5, 1 << 63),
    st.text(max_size=5),
)
hellos = st.builds(
    Hello,
    name=st.sampled_from(["gnss", "", "a/b"]),
    type=st.text(max_size=5),
    version=st.text(max_size=5),
    stream=st.sampled_from(["0" * 32, "x"]),
    groups=st.lists(
        st.builds(WireGroup, st.text(max_size=3), st.lists(signals, max_size=2)), max_size=3
    ),
    pid=st.integers(0, 1 << 31),
)


@given(st.binary(max_size=200) | plain.map(msgspec.msgpack.encode))
def test_any_datagram_decodes_or_is_a_value_error(datagram: bytes) -> None:
    try:
        message = decode_upward(datagram)
        if isinstance(message, Hello):
            checked_hello(message)
        if isinstance(message, Report):
            checked_report(message)
    except ValueError:
        pass


@given(rows)
def test_any_record_is_checked_or_is_a_value_error(row: object) -> None:
    datagram = (
        msgspec.msgpack.encode({"message": "records", "first": 1, "records": [row]})
        if (_fits(row))
        else b""
    )
    try:
        message = decode_upward(datagram)
        assert isinstance(message, Records)
        record = checked_record("s", (ALL,), message.records[0], 1_000)
    except ValueError:
        return
    assert isinstance(record, Record)
    assert 0 <= record.boottime_ms <= 2_000
    assert not record.values.keys() & record.states.keys()
    for path, value in record.values.items():
        datatype = ALL.signals[ALL.index[path]].datatype
        again = checked(datatype, value)
        assert again == value
        assert type(again) is type(value)


def _fits(row: object) -> bool:
    try:
        msgspec.msgpack.encode(row)
    except (OverflowError, ValueError):
        return False
    return True


@given(hellos)
def test_any_hello_is_checked_or_is_a_value_error(hello: Hello) -> None:
    try:
        groups = checked_hello(hello)
    except ValueError:
        return
    assert decode_groups(encode_groups(hello.groups)) == groups


def test_groups_survive_the_catalogue() -> None:
    group = Group(
        "fix",
        (
            Signal("Vehicle.Speed", Datatype.FLOAT, "km/h", "m", sampled(1, 0.5), 0, 250, 256, "x"),
            Signal("Vehicle.Heading", Datatype.DOUBLE, "degrees", "m", EVERY),
        ),
    )
    assert decode_groups(encode_groups([declare(group)])) == (group,)
