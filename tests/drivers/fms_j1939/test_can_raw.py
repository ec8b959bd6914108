"""Frames, filters and control messages of CAN_RAW sockets."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.codecs.j1939 import TP_CM, TP_DT, split_id
from drivers.fms_j1939 import can_raw
from drivers.fms_j1939.can_raw import ERROR, EXTENDED, REMOTE, Drops, control, filters, unpack
from drivers.fms_j1939.table import PGNS

TABLE = filters(PGNS)


def passes(table: bytes, can_id: int) -> bool:
    """The kernel's rule: net/can/af_can.c, can_rcv_filter."""
    return any(can_id & mask == wanted & mask for wanted, mask in struct.iter_unpack("=II", table))


@given(st.integers(0, 0x1FFFFFFF))
@example(0x18FEF1EE)
@example(0x1CECFF00)
@example(0x18EB21F9)
@example(0x19FEF100)
def test_a_data_frame_passes_where_the_table_or_the_transport_wants_it(can_id: int) -> None:
    wanted = split_id(can_id).pgn in {*PGNS, TP_CM, TP_DT}
    assert passes(TABLE, can_id | EXTENDED) is wanted


@given(st.sampled_from(sorted({*PGNS, TP_CM, TP_DT})), st.integers(0, 7), st.integers(0, 255))
def test_of_a_wanted_message_every_priority_and_sender_passes(
    pgn: int, priority: int, sa: int
) -> None:
    can_id = priority << 26 | pgn << 8 | sa
    assert passes(TABLE, can_id | EXTENDED)
    assert not passes(TABLE, can_id | EXTENDED | REMOTE)
    assert not passes(TABLE, can_id)  # an 11-bit identifier with the same low bits


@given(st.integers(0, 0x7FF), st.booleans())
def test_no_11_bit_frame_passes(can_id: int, remote: bool) -> None:
    assert not passes(TABLE, can_id | (REMOTE if remote else 0))


def test_the_table_is_small_enough_for_the_kernel() -> None:
    assert len(TABLE) == 8 * len({*PGNS, TP_CM, TP_DT}) <= 8 * 512


def raw(word: int, payload: bytes = bytes(8), length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack("=IB3x8s", word, size, payload)


@pytest.mark.parametrize(
    ("given_raw", "frame"),
    [
        (raw(0x18FEF100 | EXTENDED, b"\1\2\3"), (0x18FEF100, b"\1\2\3", True, False)),
        (raw(0x18FEF100 | EXTENDED, b""), (0x18FEF100, b"", True, False)),
        (raw(0x123, b"\1"), (0x123, b"\1", False, False)),
        (raw(0x18EAFF00 | EXTENDED | REMOTE, length=8), (0x18EAFF00, b"", True, True)),
        (raw(0x18FEF100 | EXTENDED, bytes(8), 15), (0x18FEF100, bytes(8), True, False)),
    ],
)
def test_frames(given_raw: bytes, frame: tuple[object, ...]) -> None:
    assert unpack(given_raw) == frame
    assert not can_raw.is_error(given_raw)


@given(st.binary(max_size=80))
def test_unpack_is_total(data: bytes) -> None:
    try:
        frame = unpack(data)
    except ValueError:
        assert len(data) != 16 or can_raw.is_error(data)
        return
    assert frame.can_id <= (0x1FFFFFFF if frame.extended else 0x7FF)
    assert len(frame.payload) <= 8


def test_what_is_no_classic_frame() -> None:
    with pytest.raises(ValueError, match="16 bytes, got 72"):
        unpack(bytes(72))
    assert can_raw.is_error(raw(ERROR | 0x40))
    with pytest.raises(ValueError, match="an error frame"):
        unpack(raw(ERROR | 0x40))


def message(level: int, kind: int, body: bytes) -> bytes:
    size = 16 + len(body)
    return struct.pack("=Qii", size, level, kind) + body.ljust(-(-len(body) // 8) * 8, b"\0")


STAMP = message(socket.SOL_SOCKET, 35, struct.pack("=qq", 1_700_000_000, 5))
LOST = message(socket.SOL_SOCKET, 40, struct.pack("=I", 7))
AT_NS = 1_700_000_000_000_000_005


@pytest.mark.parametrize(
    ("data", "want"),
    [
        (b"", (None, None)),
        (STAMP, (AT_NS, None)),
        (LOST, (None, 7)),
        (STAMP + LOST, (AT_NS, 7)),
        (LOST[:20], (None, 7)),  # the kernel does not pad the last one
        (message(socket.SOL_SOCKET, 36, b"mark") + STAMP + LOST, (AT_NS, 7)),
        (message(1234, 35, bytes(16)) + LOST, (None, 7)),
        (STAMP[:-1], (None, None)),
        (struct.pack("=Qii", 0, 1, 35) + STAMP, (None, None)),
    ],
)
def test_control_messages(data: bytes, want: tuple[int | None, int | None]) -> None:
    assert control(data) == want


@given(st.binary(max_size=200))
def test_control_is_total(data: bytes) -> None:
    stamp_ns, lost = control(data)
    assert lost is None or 0 <= lost <= 0xFFFFFFFF
    assert stamp_ns is None or isinstance(stamp_ns, int)


@given(st.lists(st.integers(0, 1 << 31), max_size=20), st.integers(0, 0xFFFFFFFF))
def test_the_count_of_lost_frames_wraps(losses: list[int], start: int) -> None:
    drops = Drops()
    drops.see(start)
    count = start
    for lost in losses:
        count = (count + lost) & 0xFFFFFFFF
        drops.see(count)
    assert drops.total == start + sum(losses)


def test_a_new_socket_counts_from_0_and_nothing_is_forgotten() -> None:
    drops = Drops()
    drops.see(3)
    drops.see(3)
    drops.new_socket()
    drops.see(2)
    assert drops.total == 5
