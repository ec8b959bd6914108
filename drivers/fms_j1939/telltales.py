"""The tell-tales of FMS1: 60 lamps of the dashboard in four blocks, one block a message.

Byte 1: low nibble the block, high nibble its first status; bytes 2 to 8: low nibble, then high.
Number = block * 15 + place. The layout is checked on payloads of real vehicles; numbers and names
(telltales.toml) are not.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from agent.sdk import State
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.spn import Reading, Shape, Spn

_DATA = Path(__file__).with_name("telltales.toml")
_A_BLOCK = 15
_BLOCKS = 4
_STATUS = {0b1000: "off", 0b1001: "red", 0b1010: "yellow", 0b1011: "info"}
_NOT_AVAILABLE = 0b1111


class Telltales(Pgn):
    """The tell-tales that one message may tell of."""

    def __init__(self, number: int, name: str, *spns: Spn, **rest: Any) -> None:
        lamps = tuple(_lamps())
        super().__init__(number, name, *spns, *lamps, **rest)
        self._blocks = [lamps[at : at + _A_BLOCK] for at in range(0, len(lamps), _A_BLOCK)]

    def key(self, payload: bytes) -> int:
        """The block."""
        return payload[0] & 15 if payload else 0

    def details(self, payload: bytes) -> dict[str, int]:
        """`block`."""
        return {"block": payload[0] & 15} if payload else {}

    def read(self, payload: bytes) -> list[Reading]:
        """The tell-tales of the message's block; none where there is no such block."""
        block = self.key(payload)
        if not payload or block >= len(self._blocks):
            return []
        word = int.from_bytes(payload, "little")
        return [
            _reading(lamp, word >> lamp.first_bit & 15)
            for lamp in self._blocks[block]
            if lamp.first_bit + 4 <= len(payload) * 8
        ]


def _lamps() -> list[Spn]:
    listed = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    return [_lamp(number, *listed[str(number)]) for number in range(1, _BLOCKS * _A_BLOCK + 1)]


def _lamp(number: int, name: str, meaning: str) -> Spn:
    place = (number - 1) % _A_BLOCK + 1
    return Spn(
        0,
        f"Vehicle.Bus.Telltale.{name}.Status",
        place // 2 + 1,
        place % 2 * 4 + 1,
        4,
        Shape.TELLTALE,
        f"Tell-tale {meaning}: off, red, yellow or info",
        source=f"FMS-Standard tell-tale {number}",
    )


def _reading(lamp: Spn, nibble: int) -> Reading:
    status = _STATUS.get(nibble)
    if status is not None:
        return lamp.reading(status)
    missing = nibble == _NOT_AVAILABLE
    return lamp.reading(None, State.NOT_AVAILABLE if missing else State.IMPLAUSIBLE)
