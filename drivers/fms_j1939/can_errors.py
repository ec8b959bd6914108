"""Error frames: what a CAN controller reports about itself and the bus. Pure.

linux/can/error.h: the identifier holds classes as bits, the payload the details of each.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

ERROR_ACTIVE, ERROR_WARNING = "error-active", "error-warning"
ERROR_PASSIVE, BUS_OFF = "error-passive", "bus-off"

_CONTROLLER, _PROTOCOL = 0x004, 0x008
_BUS_OFF, _RESTARTED = 0x040, 0x100

_CLASSES = {
    0x001: "transmission timed out",
    0x002: "arbitration lost",
    0x010: "transceiver",
    0x020: "no acknowledgement",
    _BUS_OFF: "bus-off",
    0x080: "bus error",
    _RESTARTED: "restarted",
}

# Byte 1 where the class is "controller".
_CONTROLLER_FACTS = {
    0x01: "frames lost in the controller",
    0x02: "transmission buffer full",
    0x04: "warning level of receive errors",
    0x08: "warning level of transmit errors",
    0x10: "passive by receive errors",
    0x20: "passive by transmit errors",
    0x40: "active again",
}
_PASSIVE_BITS, _WARNING_BITS, _ACTIVE_BIT = 0x30, 0x0C, 0x40

# Byte 2 where the class is "protocol".
_PROTOCOL_FACTS = {
    0x01: "single bit",
    0x02: "frame format",
    0x04: "bit stuffing",
    0x08: "cannot send a dominant bit",
    0x10: "cannot send a recessive bit",
    0x20: "overload",
    0x40: "active error announcement",
    0x80: "in transmission",
}

_HEAD = struct.Struct("=IB3x8s")
_CLASS_BITS = 0x1FFFFFFF


class ErrorFrame(NamedTuple):
    """`facts` in words, in the order of the standard's bits; `state` None where it tells none."""

    facts: tuple[str, ...]
    state: str | None


def decode(raw: bytes) -> ErrorFrame:
    """What an error frame, a can_frame of 16 bytes, reports. Raises ValueError where it is none."""
    if len(raw) != _HEAD.size:
        raise ValueError(f"a can_frame has {_HEAD.size} bytes, got {len(raw)}")
    word, length, body = _HEAD.unpack(raw)
    details = body[:length].ljust(8, b"\0")
    classes = word & _CLASS_BITS
    facts = [text for bit, text in _CLASSES.items() if classes & bit]
    state = None
    if classes & _CONTROLLER:
        said = details[1]
        facts += [text for bit, text in _CONTROLLER_FACTS.items() if said & bit]
        if said & _PASSIVE_BITS:
            state = ERROR_PASSIVE
        elif said & _WARNING_BITS:
            state = ERROR_WARNING
        elif said & _ACTIVE_BIT:
            state = ERROR_ACTIVE
    if classes & _PROTOCOL:
        facts += [text for bit, text in _PROTOCOL_FACTS.items() if details[2] & bit] or ["protocol"]
    if classes & _RESTARTED:
        state = ERROR_ACTIVE
    if classes & _BUS_OFF:
        state = BUS_OFF
    return ErrorFrame(tuple(facts), state)
