"""Batches from a real socket: one of UDP, which has the same control messages as CAN_RAW.

CAN sockets themselves are shown in tests/rig/test_can_*.py.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from drivers.fms_j1939 import can_raw
from drivers.fms_j1939.can_raw import SO_RXQ_OVFL, SO_TIMESTAMPNS
from drivers.fms_j1939.frame_socket import BATCH, FrameSocket


class Loopback(FrameSocket):
    """Reads what is sent to its own port on the loopback interface."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        self._prepare()

    def put(self, *frames: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            for frame in frames:
                other.sendto(frame, self._socket.getsockname())


@pytest.fixture
def link() -> Iterator[Loopback]:
    made = Loopback()
    yield made
    made.close()


def test_nothing_waits(link: Loopback) -> None:
    assert link.take() == []
    assert link.take() == []


def test_frames_come_whole_in_order_and_dated(link: Loopback) -> None:
    before_ns = time.time_ns()
    sent = [bytes([n]) * (16 if n % 3 else 72) for n in range(BATCH + 9)]
    link.put(*sent)
    after_ns = time.time_ns()
    first, second = link.take(), link.take()
    assert (len(first), len(second)) == (BATCH, 9)
    assert [raw for raw, _ in first + second] == sent
    stamps = [can_raw.control(data) for _, data in first + second]
    assert all(lost is None for _, lost in stamps)
    times = [stamp for stamp, _ in stamps]
    assert None not in times
    assert times == sorted(times, key=lambda stamp: stamp or 0)
    assert all(before_ns - 1_000_000 <= (stamp or 0) <= after_ns for stamp in times)
    # The room for control messages is given anew each time.
    link.put(b"x" * 16)
    ((raw, data),) = link.take()
    assert raw == b"x" * 16
    assert can_raw.control(data)[0] is not None


def test_what_found_no_room_is_counted(link: Loopback) -> None:
    link.put(*[b"x" * 16] * 2000)
    read = 0
    while batch := link.take():
        read += len(batch)
    link.put(b"y" * 16)
    ((raw, data),) = link.take()
    assert raw == b"y" * 16
    _, lost = can_raw.control(data)
    assert 0 < read < 2000
    assert lost == 2000 - read


def test_an_error_of_the_socket_is_raised(link: Loopback) -> None:
    link.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        link.take()
