"""Bits on the wire, and rates from counts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.fms_j1939.load import Meter, Traffic, wire_bits


def stuffed(bits: str) -> int:
    """Length after stuffing: after five equal bits, the stuff bit included, one of the other."""
    run, last, length = 0, "", 0
    for bit in bits:
        run = run + 1 if bit == last else 1
        last = bit
        length += 1
        if run == 5:
            length += 1
            last, run = ("0" if bit == "1" else "1"), 1
    return length


def crc(bits: str) -> str:
    """CRC-15 of CAN, bit by bit."""
    register = 0
    for bit in bits:
        flip = int(bit) ^ register >> 14
        register = register << 1 & 0x7FFF
        if flip:
            register ^= 0x4599
    return f"{register:015b}"


def on_wire(can_id: int, payload: bytes) -> int:
    """Bits of a data frame with a 29-bit identifier and the pause after it."""
    base, extension = can_id >> 18, can_id & 0x3FFFF
    head = f"0{base:011b}11{extension:018b}000{len(payload):04b}"
    bits = head + "".join(f"{byte:08b}" for byte in payload)
    return stuffed(bits + crc(bits)) + 1 + 2 + 7 + 3


@pytest.mark.parametrize("size", [0, 1, 3, 8])
def test_it_is_what_random_frames_take(size: int) -> None:
    dice = random.Random(size)
    real = sum(on_wire(dice.randrange(1 << 29), dice.randbytes(size)) for _ in range(4000))
    assert wire_bits(4000, 4000 * size) == pytest.approx(real, rel=0.015)


def test_frames_full_of_ff_take_up_to_a_tenth_more() -> None:
    real = on_wire(0x18FEF100, b"\xff" * 8)
    assert 1.0 < real / wire_bits(1, 8) < 1.1


def test_a_full_bus() -> None:
    assert 250_000 / wire_bits(1, 8) == pytest.approx(1850, abs=5)


def test_rates() -> None:
    meter = Meter(250_000)
    meter.see(None)
    assert (meter.frames_per_s, meter.load_percent, meter.counted) == (None, None, False)
    meter.see(Traffic(100, 800, 10_000))
    assert (meter.frames_per_s, meter.counted) == (None, True)
    meter.see(Traffic(600, 4800, 10_500))
    assert meter.frames_per_s is None  # half a second is no rate
    meter.see(Traffic(2060, 16_480, 12_000))
    assert (meter.frames_per_s, meter.load_percent) == (980, 52.8)
    meter.see(Traffic(2060, 16_480, 13_000))
    assert (meter.frames_per_s, meter.load_percent) == (0, 0.0)
    meter.see(Traffic(5, 40, 14_000))  # another interface of the name
    assert meter.frames_per_s == 0
    meter.see(Traffic(105, 40, 15_000))
    assert meter.frames_per_s == 100


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2**64), st.integers(0, 2**64), st.integers(-(2**62), 2**62)),
        max_size=20,
    )
)
def test_any_counts(counts: list[tuple[int, int, int]]) -> None:
    meter = Meter(250_000)
    for one in counts:
        meter.see(Traffic(*one))
        assert meter.frames_per_s is None or 0 <= meter.frames_per_s <= 0xFFFFFFFF
        assert meter.load_percent is None or meter.load_percent >= 0
