"""The classes of raw values, of SAE J1939-71: a value, or why it is none.

They are judged on the raw value, never on the scaled one: for two bytes or more the top byte
decides, so 0xFE00 is an error although its low byte is 0.
"""

from __future__ import annotations

from agent.sdk import State

LAST_VALID_BYTE = 0xFA
ERROR_BYTE = 0xFE
NOT_AVAILABLE_BYTE = 0xFF


def raw_state(raw: int, bits: int) -> State | None:
    """Why a raw value of `bits` bits is no value; None where it is one.

    Below 8 bits the two highest codes are error and not available. From 8 bits on the top byte
    decides: FF not available, FE error, FB to FD implausible (parameter specific and reserved).
    """
    if bits < 8:
        highest = (1 << bits) - 1
        if raw < highest - 1 or bits < 2:
            return None
        return State.NOT_AVAILABLE if raw == highest else State.ERROR
    top = raw >> bits - 8
    if top <= LAST_VALID_BYTE:
        return None
    if top == NOT_AVAILABLE_BYTE:
        return State.NOT_AVAILABLE
    return State.ERROR if top == ERROR_BYTE else State.IMPLAUSIBLE


def text_state(text: bytes) -> State | None:
    """Why ASCII is no text, by its first byte (00 error, FF not available); None where it is."""
    if not text or text[0] == NOT_AVAILABLE_BYTE:
        return State.NOT_AVAILABLE
    return State.ERROR if text[0] == 0 else None
