"""DM1 (PGN 65226), the active trouble codes of one sender, as SAE J1939-73 lays them out. Pure."""

from __future__ import annotations

from typing import NamedTuple

DM1 = 65226

OC_UNKNOWN = 0x7F
"""The occurrence count of a sender that keeps none."""

LAMPS = ("protect", "amber", "red", "mil")
"""Protect, amber warning, red stop, malfunction: in the order of their bits in byte 1."""

_DTC_BYTES = 4
_NONE = (b"\0\0\0\0", b"\xff\xff\xff\xff")
_ON = 1
_OFF = 0
_SLOW, _FAST = 0, 1


class Dtc(NamedTuple):
    """One trouble code. `oc` is raw, OC_UNKNOWN where the sender keeps no count.

    `cm`: the bit that tells how `spn` is to be read. 0 is method 4, of all newer units; 1 is one of
    the methods 1 to 3, which cannot be told apart: `spn` is then what method 4 would make of it.
    """

    spn: int
    fmi: int
    oc: int
    cm: int


class Dm1Message(NamedTuple):
    """`lamps` by the names in LAMPS: "off", "on", "flashing", None where the sender says none."""

    lamps: dict[str, str | None]
    dtcs: tuple[Dtc, ...]


def decode(payload: bytes) -> Dm1Message:
    """Lamps and trouble codes of one DM1, of a frame or of several packets.

    Bytes 1 and 2 lamps; then 4 bytes a code: SPN 19 bits, FMI 5, CM 1, OC 7. All zero or all one is
    no code, nor are up to 3 bytes that are left over. Raises ValueError below 2 bytes.
    """
    if len(payload) < 2:
        raise ValueError(f"DM1 has 2 bytes of lamps, got {len(payload)}: {payload.hex()}")
    # `flash` has the order of `status`: two bits a lamp.
    status, flash = payload[0], payload[1]
    lamps = {name: _lamp(status >> 2 * n & 3, flash >> 2 * n & 3) for n, name in enumerate(LAMPS)}
    ends = range(2 + _DTC_BYTES, len(payload) + 1, _DTC_BYTES)
    parts = (payload[end - _DTC_BYTES : end] for end in ends)
    return Dm1Message(lamps, tuple(_dtc(part) for part in parts if part not in _NONE))


def _lamp(status: int, flash: int) -> str | None:
    if status == _OFF:
        return "off"
    if status != _ON:
        return None
    return "flashing" if flash in (_SLOW, _FAST) else "on"


def _dtc(part: bytes) -> Dtc:
    low, middle, high, last = part
    return Dtc(low | middle << 8 | high >> 5 << 16, high & 0x1F, last & 0x7F, last >> 7)
