"""The last minute as it came: nothing is lost, changed or kept for too long."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.fms_j1939 import can_raw
from drivers.fms_j1939.frames import Frame
from drivers.fms_j1939.raw_ring import MAX_BYTES, RawRing

FULL_BUS = 1850

FRAMES = st.builds(
    lambda can_id, payload, extended: Frame(
        can_id & (0x1FFFFFFF if extended else 0x7FF), payload, extended, False
    ),
    st.integers(0, 0x1FFFFFFF),
    st.binary(max_size=8),
    st.booleans(),
)


def line(frame: Frame) -> bytes:
    head = b"T%08X" if frame.extended else b"t%03X"
    body = frame.payload.hex().encode()
    return head % frame.can_id + b"%d" % len(frame.payload) + body


def everything(ring: RawRing) -> list[tuple[int, Frame]]:
    return [one for chunk in ring.since(0)[1] for one in chunk.frames()]


@settings(deadline=None)
@given(st.lists(st.lists(FRAMES, min_size=1, max_size=5), max_size=10))
def test_what_goes_in_comes_out(reads: list[list[Frame]]) -> None:
    slcan, kernel = RawRing(), RawRing()
    want = []
    for n, frames in enumerate(reads):
        slcan.lines([line(frame) for frame in frames], 20 * n)
        kernel.can_frames([(can_raw.pack(frame), 20 * n + k) for k, frame in enumerate(frames)])
        want += [(20 * n + k, frame) for k, frame in enumerate(frames)]
    assert everything(kernel) == want
    assert [frame for _, frame in everything(slcan)] == [frame for _, frame in want]
    count = len(want)
    total = sum(len(frame.payload) for _, frame in want)
    assert (kernel.frames, kernel.payload_bytes) == (count, total)
    assert slcan.frames == count
    assert slcan.payload_bytes <= total


@pytest.mark.parametrize("frame", [Frame(0x123, b"\1\2", False, True), Frame(5, b"", True, True)])
def test_remote_requests(frame: Frame) -> None:
    assert can_raw.unpack(can_raw.pack(frame)) == frame._replace(payload=b"")


def test_an_adaptors_own_stamps_are_no_payload() -> None:
    ring = RawRing()
    ring.lines([b"T18FEF1008" + b"00" * 8 + b"1A2B"] * 3, 0)
    assert (ring.frames, ring.payload_bytes) == (3, 24)
    ring.lines([b"T18FEF1008" + b"00" * 8] * 3, 0)
    assert (ring.frames, ring.payload_bytes) == (6, 48)


def test_noise_is_kept_and_is_no_frame() -> None:
    ring = RawRing()
    ring.lines([b"x" * 64, b"T18FEF1002AABB", b"T18"], 7)
    assert everything(ring) == [(7, Frame(0x18FEF100, b"\xaa\xbb", True, False))]
    ring.lines([], 8)
    assert len(ring.since(0)[1]) == 1


def test_fd_frames_are_left_out() -> None:
    ring = RawRing()
    classic = can_raw.pack(Frame(1, b"a", True, False))
    ring.can_frames([(bytes(72), 1), (classic, 2), (bytes(72), 3)])
    ring.can_frames([(bytes(72), 4)])
    assert everything(ring) == [(2, Frame(1, b"a", True, False))]


def test_a_minute_and_no_more() -> None:
    ring = RawRing()
    for second in range(100):
        ring.lines([b"t%03X0" % second], second * 1000)
    kept = [frame.can_id for _, frame in everything(ring)]
    assert kept == list(range(39, 100))
    assert ring.begin(95_000) == 95
    assert ring.begin(95_001) == 96
    assert ring.begin(0) == 39
    assert ring.begin(10**9) == 100
    number, chunks = ring.since(98)
    assert (number, len(chunks)) == (100, 2)
    assert ring.since(number) == (100, [])
    assert len(ring.since(5)[1]) == 61  # what is gone is gone


@pytest.mark.parametrize("kind", ["lines", "can_frames"])
def test_memory_of_a_full_bus(kind: str) -> None:
    """Two minutes of a full bus, in reads as the drivers do them."""
    tracemalloc.start()
    ring = RawRing()
    for read in range(2 * 60 * 50):
        at_ms = read * 20
        frames = range(FULL_BUS // 50)
        if kind == "lines":
            ring.lines([b"T18FEF1008%016X" % (read + n) for n in frames], at_ms)
        else:
            head = b"\x00\xf1\xfe\x98\x08\0\0\0"
            ring.can_frames([(head + (read + n).to_bytes(8, "big"), at_ms) for n in frames])
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    kept = len(everything(ring))
    assert kept >= 60 * 50 * (FULL_BUS // 50)
    assert used < 5_000_000
    assert ring.cost == pytest.approx(used, rel=0.15)


def test_a_faster_bus_keeps_less_time() -> None:
    tracemalloc.start()
    ring = RawRing()
    for at_ms in range(60_000):
        ring.lines([b"T18FEF1008" + b"0" * 16] * 10, at_ms)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ring.cost <= MAX_BYTES
    assert used < MAX_BYTES * 1.15
    assert everything(ring)[-1][0] == 59_999


def test_noise_costs_no_more() -> None:
    ring = RawRing(max_bytes=10_000)
    for at_ms in range(1000):
        ring.lines([b"x"], at_ms)
    assert ring.cost <= 10_000
