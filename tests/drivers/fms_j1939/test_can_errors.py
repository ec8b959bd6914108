"""Error frames of a CAN controller."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.fms_j1939.can_errors import decode
from drivers.fms_j1939.can_raw import ERROR


def error(classes: int, details: str = "0000000000000000") -> bytes:
    return struct.pack("=IB3x8s", classes | ERROR, 8, bytes.fromhex(details))


@pytest.mark.parametrize(
    ("raw", "facts", "state"),
    [
        (error(0x040), ("bus-off",), "bus-off"),
        (error(0x100), ("restarted",), "error-active"),
        (error(0x004, "0001000000000000"), ("frames lost in the controller",), None),
        (error(0x004, "0004000000000000"), ("warning level of receive errors",), "error-warning"),
        (error(0x004, "0008000000000000"), ("warning level of transmit errors",), "error-warning"),
        (error(0x004, "0010000000000000"), ("passive by receive errors",), "error-passive"),
        (error(0x004, "0020000000000000"), ("passive by transmit errors",), "error-passive"),
        (error(0x004, "0040000000000000"), ("active again",), "error-active"),
        (error(0x004), (), None),
        (error(0x020), ("no acknowledgement",), None),
        (error(0x088, "0000040000000000"), ("bus error", "bit stuffing"), None),
        (error(0x008), ("protocol",), None),
        (error(0x008, "0000820000000000"), ("frame format", "in transmission"), None),
        (error(0x001), ("transmission timed out",), None),
        (error(0x002), ("arbitration lost",), None),
        (error(0x010), ("transceiver",), None),
        # A driver may report several things at once: the worst is what counts.
        (
            error(0x144, "0030000000000000"),
            ("bus-off", "restarted", "passive by receive errors", "passive by transmit errors"),
            "bus-off",
        ),
        # Bytes beyond the length are not of this frame.
        (struct.pack("=IB3x8s", 0x004 | ERROR, 1, b"\x00\x20"), (), None),
    ],
)
def test_what_an_error_frame_reports(raw: bytes, facts: tuple[str, ...], state: str | None) -> None:
    assert decode(raw) == (facts, state)


@given(st.binary(max_size=80))
def test_it_is_total(raw: bytes) -> None:
    try:
        said = decode(raw)
    except ValueError:
        assert len(raw) != 16
        return
    assert said.state in (None, "error-active", "error-warning", "error-passive", "bus-off")
