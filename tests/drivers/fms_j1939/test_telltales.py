"""Tell-tales: payloads of real vehicles, each nibble, each number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sdk import State
from drivers.fms_j1939.table import PGNS

FMS1 = PGNS[64893]


def said(payload: str) -> dict[str, object]:
    found = {}
    for reading in FMS1.read(bytes.fromhex(payload)):
        assert reading.path is not None
        if reading.state is not State.NOT_AVAILABLE:
            name = reading.path.removeprefix("Vehicle.Bus.Telltale.").removesuffix(".Status")
            found[name] = reading.value if reading.state is None else reading.state
    return found


@pytest.mark.parametrize(
    ("payload", "want"),
    [
        (
            "F0FFFFBFFF888FFF",
            {
                "ParkingBrake": "info", "FuelLevel": "off", "CoolantTemperature": "off",
                "EngineOil": "off",
            },
        ),
        ("F18FFFFFFFFFFFFF", {"Engine": "off"}),
        ("F2FFF8FFFF8FFFFF", {"EmissionFailure": "off", "AdBlueLevel": "off"}),
        ("F3FFFFFFFFFFFFFF", {}),
    ],
)  # fmt: skip
def test_payloads_of_real_vehicles(payload: str, want: dict[str, object]) -> None:
    assert said(payload) == want


def test_each_number_stands_where_the_standard_puts_it() -> None:
    names = [signal.path for signal in FMS1.group.signals]
    assert len(names) == 60
    for number in range(1, 61):
        block, place = divmod(number - 1, 15)
        # Status 1 is the high nibble of byte 1, then low and high nibble of the bytes behind it.
        nibbles = [block] + [15] * 15
        nibbles[place + 1] = 0b1010
        payload = bytes(nibbles[i] | nibbles[i + 1] << 4 for i in range(0, 16, 2))
        lit = [r.path for r in FMS1.read(payload) if r.value == "yellow"]
        assert lit == [names[number - 1]]
        assert FMS1.key(payload) == block
        assert FMS1.details(payload) == {"block": block}


@pytest.mark.parametrize("nibble", range(16))
def test_nibbles(nibble: int) -> None:
    (first, *_) = FMS1.read(bytes([nibble << 4]) + b"\xff" * 7)
    want = {8: "off", 9: "red", 10: "yellow", 11: "info"}.get(nibble)
    assert first.value == want
    if want is None:
        assert first.state is (State.NOT_AVAILABLE if nibble == 15 else State.IMPLAUSIBLE)


def test_there_are_four_blocks_and_short_messages_hold_less() -> None:
    assert FMS1.read(b"\xf4" + b"\x88" * 7) == []
    assert FMS1.read(b"") == []
    assert len(FMS1.read(b"\x80")) == 1
    assert len(FMS1.read(b"\x80\x88")) == 3


@given(st.binary(max_size=20))
def test_it_is_total(payload: bytes) -> None:
    assert len(FMS1.read(payload)) <= 15
