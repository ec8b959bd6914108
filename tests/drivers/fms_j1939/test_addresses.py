"""Two units with one address: claims, and messages that contradict each other."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.codecs import candump
from drivers.codecs.j1939 import split_id
from drivers.fms_j1939.addresses import AddressConflicts, Name, contradict, name
from drivers.fms_j1939.table import PGNS
from tests.drivers.fms_j1939.recordings import FOLDER, needs_recordings

CCVS1 = PGNS[65265]
DC1 = PGNS[65102]
ONE, OTHER = bytes.fromhex("0102030405060780"), bytes.fromhex("1102030405060780")


def test_name() -> None:
    bits = 0x1ABCDE | 0x3A5 << 21 | 5 << 32 | 17 << 35 | 130 << 40 | 45 << 49 | 9 << 56 | 3 << 60
    want = Name(False, 3, 9, 45, 130, 17, 5, 0x3A5, 0x1ABCDE)
    assert name(bits.to_bytes(8, "little")) == want
    assert name((bits | 1 << 63).to_bytes(8, "little")).arbitrary_address
    with pytest.raises(ValueError, match="8 bytes"):
        name(bytes(7))


@pytest.mark.parametrize(
    ("claims", "count", "why"),
    [
        ([(0, ONE), (0, ONE), (3, OTHER)], 0, "each its own"),
        ([(0, ONE), (0, OTHER)], 1, "two on one address"),
        ([(0, ONE), (0, OTHER), (0, ONE), (0, ONE)], 2, "they go on"),
        ([(0, ONE), (3, ONE)], 0, "it moved"),
        ([(0xFE, ONE), (0xFE, ONE)], 1, "no address, said twice"),
        ([(0xFE, ONE), (0xFE, OTHER)], 2, "two without"),
        ([(0xFE, ONE), (5, ONE), (0xFE, ONE)], 2, "found one and lost it"),
        ([(0xFF, ONE), (0xFF, OTHER)], 0, "nobody has the global address"),
        ([(0, ONE), (0, b""), (0, OTHER[:7])], 0, "no NAME"),
    ],
)
def test_claims(claims: list[tuple[int, bytes]], count: int, why: str) -> None:
    conflicts = AddressConflicts()
    for sa, payload in claims:
        conflicts.claim(sa, payload)
    assert conflicts.count == count, why


def speed(kmh: float, switches: int = 0xF3) -> bytes:
    return bytes([switches]) + int(kmh * 256).to_bytes(2, "little") + b"\xc0\x00\xff\x1f\xff"


def listen(*senders: tuple[int, list[bytes]], seconds: int = 31) -> int:
    """Signs of conflict when each says its payloads in turn, every so many ms."""
    conflicts = AddressConflicts()
    for at_ms in range(0, seconds * 1000, 10):
        for n, (period_ms, payloads) in enumerate(senders):
            turn, rest = divmod(at_ms - 10 * n, period_ms)
            if rest == 0:
                conflicts.hear(CCVS1, 0, 0, payloads[turn % len(payloads)], at_ms)
    return conflicts.count


DRIVING = [speed(50 + n / 100) for n in range(400)]
STANDING = [speed(0)]
JUMPY = [speed(25 * n) for n in range(9)]
DITHER = [speed(50), speed(50 + 1 / 256)]


@pytest.mark.parametrize(
    ("senders", "count", "why"),
    [
        ([(100, DRIVING)], 0, "one"),
        ([(20, DRIVING)], 0, "one, at five times the rate"),
        ([(20, JUMPY)], 0, "one that jumps about, at five times the rate"),
        ([(10, DITHER)], 0, "one that cannot decide about the last bit, at ten times the rate"),
        ([(100, [speed(50), speed(50, 0xF7)])], 0, "a switch that flickers at the nominal rate"),
        ([(100, DRIVING), (100, DRIVING)], 0, "a gateway that says all twice"),
        ([(100, DRIVING), (100, STANDING)], 6, "one that says it stands while the other drives"),
        ([(100, DRIVING), (20, STANDING)], 6, "it shouts"),
        ([(100, STANDING), (100, [speed(0, 0xF7)])], 6, "a switch"),
        ([(100, DRIVING), (500, STANDING)], 0, "too seldom to be told"),
    ],
)
def test_messages(senders: list[tuple[int, list[bytes]]], count: int, why: str) -> None:
    assert listen(*senders) == count, why


@pytest.mark.parametrize(
    ("one", "other", "want"),
    [
        (speed(50), speed(52), False),
        (speed(50), speed(80), True),
        (speed(50), speed(50, 0xF7), True),
        (speed(50), b"\xff" * 8, False),  # not available says nothing
        (speed(50), b"", False),
    ],
)
def test_contradictions(one: bytes, other: bytes, want: bool) -> None:
    assert contradict(CCVS1, one, other) is want


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=9)), max_size=50))
def test_any_claims(claims: list[tuple[int, bytes]]) -> None:
    conflicts = AddressConflicts()
    for sa, payload in claims:
        conflicts.claim(sa, payload)
        conflicts.hear(CCVS1, sa, 0, payload, sa * 1000)
    assert 0 <= conflicts.count <= 2 * len(claims)


def test_memory_is_bounded() -> None:
    dice = random.Random(3)
    conflicts = AddressConflicts()
    tracemalloc.start()
    for n in range(50_000):
        conflicts.claim(0xFE, dice.randbytes(8))
        conflicts.hear(CCVS1, n & 255, n >> 8, dice.randbytes(8), n)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@needs_recordings
@pytest.mark.parametrize("recording", ["css-bus-2023", "css-truck-2021", "css-j1939tp-2021"])
def test_no_conflict_on_real_buses(recording: str) -> None:
    assert FOLDER is not None
    conflicts = AddressConflicts()
    heard = 0
    for frame in candump.read(FOLDER / f"{recording}.log.gz"):
        identifier = split_id(frame.can_id)
        pgn = PGNS.get(identifier.pgn)
        if identifier.pgn == 0xEE00:
            conflicts.claim(identifier.sa, frame.payload)
        elif pgn is not None:
            heard += 1
            key = pgn.key(frame.payload)
            conflicts.hear(pgn, identifier.sa, key, frame.payload, int(frame.t * 1000))
    assert heard > 100
    assert conflicts.count == 0
