"""What control units find wrong: trouble codes that come and go by the clock of the world. Pure.

SAE J1939-73: DM1 lists the active trouble codes of one control unit with its lamps.
"""

from __future__ import annotations

import random

from simulator.emission import Dtc

LAMPS_OFF, AMBER, RED, MIL = 0x00, 0x04, 0x10, 0x40
"""Byte 1 of DM1, two bits a lamp: protect, amber warning, red stop, malfunction indicator."""
NO_FLASH = 0xFF
CYCLE_MS = 120_000

_OIL, _COOLANT, _RAIL, _NOX = (
    Dtc(100, 1, 1, 0),
    Dtc(110, 0, 3, 0),
    Dtc(157, 18, 126, 0),
    Dtc(520_211, 31, None, 0),
)
_WHEEL = Dtc(789, 8, 7, 0)


class Diagnosis:
    """Faults of the drive (several at a time, then by transport) and of the brakes (one)."""

    def __init__(self, rng: random.Random) -> None:
        # Between two cycles all is well for longer than a reader may take to forget a fault.
        self._shift_ms = rng.randrange(0, 2_000)

    def drive(self, now_ms: int) -> tuple[int, tuple[Dtc, ...]]:
        """Lamps and trouble codes of the drive's control unit."""
        at_ms = (now_ms - self._shift_ms) % CYCLE_MS
        if 9_000 <= at_ms < 20_000:
            return AMBER, (_OIL,)
        if 32_000 <= at_ms < 52_000:
            return AMBER | MIL, (_COOLANT, _RAIL, _NOX)
        if 52_000 <= at_ms < 64_000:
            return AMBER, (_COOLANT,)
        return LAMPS_OFF, ()

    def brakes(self, now_ms: int) -> tuple[int, tuple[Dtc, ...]]:
        """Lamps and trouble codes of the brakes' control unit."""
        at_ms = (now_ms - self._shift_ms) % CYCLE_MS
        if 24_000 <= at_ms < 70_000:
            return RED, (_WHEEL,)
        return LAMPS_OFF, ()


def dm1(lamps: int, dtcs: tuple[Dtc, ...]) -> bytes:
    """The message: 8 bytes for one trouble code or none, 2 + 4 a code for several."""
    if not dtcs:
        return bytes((lamps, NO_FLASH, 0, 0, 0, 0, 0xFF, 0xFF))
    body = bytes((lamps, NO_FLASH))
    for dtc in dtcs:
        count = 0x7F if dtc.oc is None else dtc.oc
        high = dtc.spn >> 16 << 5 | dtc.fmi
        body += bytes((dtc.spn & 0xFF, dtc.spn >> 8 & 0xFF, high, dtc.cm << 7 | count))
    return body.ljust(8, b"\xff")
