"""Network interfaces as rtnetlink tells of them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.fms_j1939.link_state import Link, ask, error_number, parse

CAN, ETHERNET = 280, 1
UP, LISTEN_ONLY = 1, 2


def attribute(kind: int, body: bytes) -> bytes:
    size = 4 + len(body)
    return (struct.pack("=HH", size, kind) + body).ljust(-(-size // 4) * 4, b"\0")


def link(hardware: int = CAN, flags: int = UP, *attributes: bytes, kind: int = 16) -> bytes:
    body = struct.pack("=BxHiII", 0, hardware, 7, flags, 0) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def info(kind: bytes, *details: bytes) -> bytes:
    nested = attribute(0x8000 | 2, b"".join(details)) if details else b""
    return attribute(18, attribute(1, kind + b"\0") + nested)


def can(bitrate: int = 250_000, state: int = 0, mode: int = LISTEN_ONLY) -> bytes:
    timing = struct.pack("=8I", bitrate, 875, 500, 1, 2, 3, 1, 1)
    return info(
        b"can",
        attribute(1, timing),
        attribute(4, struct.pack("=I", state)),
        attribute(5, struct.pack("=II", 0, mode)),
    )


COUNTS = attribute(23, struct.pack("=24Q", 4711, 3, 99, *range(21)))


@pytest.mark.parametrize(
    ("message", "want"),
    [
        (
            link(CAN, UP, COUNTS, can()),
            Link(7, True, True, False, 250_000, "error-active", True, 4711, 99),
        ),
        (
            link(CAN, UP, can(500_000, 3, 0)),
            Link(7, True, True, False, 500_000, "bus-off", False, None),
        ),
        (link(CAN, 0, can(0, 4, 0)), Link(7, True, False, False, None, "stopped", False, None)),
        (link(CAN, UP, can(state=99)), Link(7, True, True, False, 250_000, None, True, None)),
        (
            link(CAN, UP, info(b"vcan"), COUNTS),
            Link(7, True, True, True, received=4711, received_bytes=99),
        ),
        (link(CAN, UP, info(b"vxcan")), Link(7, True, True, True)),
        (link(CAN, UP), Link(7, True, True, False)),  # a driver of the time before rtnetlink
        (link(ETHERNET, UP), Link(7, False, True, False)),
        (link(CAN, UP, info(b"can", attribute(5, b"\1"))), Link(7, True, True, False)),
        (link(kind=2), None),
        (link()[:20], None),
        (b"", None),
    ],
)
def test_links(message: bytes, want: Link | None) -> None:
    assert parse(message) == want


@given(st.binary(max_size=300))
def test_parse_is_total(data: bytes) -> None:
    parse(data)
    assert isinstance(error_number(data), int)


@given(st.data())
def test_a_damaged_answer_is_survived(data: st.DataObject) -> None:
    whole = bytearray(link(CAN, UP, COUNTS, can()))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    parse(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


def test_errors() -> None:
    assert error_number(struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -19) + bytes(16)) == 19
    assert error_number(link()) == 0


def test_the_loopback_of_this_machine() -> None:
    found = ask("lo")
    assert found is not None
    assert not found.is_can
    assert not found.virtual
    assert found.index == 1
    assert ask("nocan0") is None
    assert ask("x" * 300) is None
