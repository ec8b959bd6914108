"""J1939 parameters as a sender encodes them: raw bits from what the world states, value from bits.

The rules are SAE J1939-71's, written down here a second time on purpose: the simulator shares no
codec with the drivers that it tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from simulator.emission import Dtc, Scalar, Writing
from simulator.world import World

NOT_AVAILABLE: Final = None


class _Error:
    """The sender knows that its sensor is broken."""


ERROR: Final = _Error()


class Raw(NamedTuple):
    """Bits with a meaning of their own beyond the valid range, such as "park"; still a value."""

    bits: int


Stated = float | int | bool | str | None | _Error | Raw


@dataclass(frozen=True, slots=True)
class Field:
    """One SPN of a message, at byte.bit as the standard counts them, from 1.

    The value is (raw * `scale` + `offset`) * `factor` from 8 bits on, the raw number below; two
    bits are a switch unless `code` says that they are a number. `read` gives it before `factor`,
    which turns the standard's unit into the signal's. `path` None: the value is no signal of ours.
    `fallback`: another message says the signal better.
    """

    path: str | None
    at: str
    bits: int
    read: Callable[[World], Stated]
    scale: float = 1.0
    offset: float = 0.0
    code: bool = False
    factor: float = 1.0
    fallback: bool = False

    @property
    def shift(self) -> int:
        """Bits to the right of it in the eight bytes taken as one little-endian number."""
        byte, bit = self.at.split(".")
        return (int(byte) - 1) * 8 + int(bit) - 1

    @property
    def top(self) -> int:
        """The greatest raw value that is a value."""
        # SAE J1939-71, table 1: the top byte decides, 0xFB and up are no values.
        return {2: 1, 3: 5, 4: 13, 5: 29}.get(self.bits, (0xFB << max(0, self.bits - 8)) - 1)

    def raw(self, stated: Stated) -> int:
        """The bits for what the sender states."""
        if stated is NOT_AVAILABLE:
            return (1 << self.bits) - 1
        if isinstance(stated, _Error):
            return (1 << self.bits) - 2 if self.bits < 8 else 0xFE << (self.bits - 8)
        if isinstance(stated, Raw):
            return stated.bits
        return max(0, min(self.top, round((float(stated) - self.offset) / self.scale)))

    def value(self, raw: int) -> Scalar:
        """What the bits stand for."""
        if self.bits == 2 and not self.code:
            return raw == 1
        if self.bits < 8:
            return raw
        # Nine decimals: finer than any step, and rid of binary tails such as 0.4 * 3.
        return round(float((raw * self.scale + self.offset) * self.factor), 9)


class Encoded(NamedTuple):
    """The bytes of a message and what they say; `alternatives` are said better by another one.

    `dtcs`: the active trouble codes, None in messages other than DM1.
    """

    payload: bytes
    writings: tuple[Writing, ...] = ()
    alternatives: tuple[Writing, ...] = ()
    dtcs: tuple[Dtc, ...] | None = None


def encode(fields: Sequence[Field], world: World) -> Encoded:
    """Eight bytes and what they say. Bits without a field are 1, as reserved bits are."""
    frame = (1 << 64) - 1
    writings: list[Writing] = []
    alternatives: list[Writing] = []
    for field in fields:
        stated = field.read(world)
        raw = field.raw(stated)
        mask = (1 << field.bits) - 1
        frame = frame & ~(mask << field.shift) | raw << field.shift
        if field.path is not None and stated is not None and not isinstance(stated, _Error):
            said = alternatives if field.fallback else writings
            said.append((field.path, field.value(raw)))
    return Encoded(frame.to_bytes(8, "little"), tuple(writings), tuple(alternatives))


@dataclass(frozen=True, slots=True)
class Message:
    """A parameter group: who sends it, how often, and what is in it.

    `period_ms` 0: when it has changed, at most every 100 ms. `compose` makes the bytes where
    `fields` alone do not say it; what has more than eight bytes goes by transport protocol.
    """

    name: str
    pgn: int
    priority: int
    sender: int
    period_ms: int
    phase_ms: int
    fields: tuple[Field, ...] = ()
    compose: Callable[[World], Encoded] | None = None

    @property
    def can_id(self) -> int:
        """The 29-bit identifier; all of these are broadcasts (PDU2)."""
        return self.priority << 26 | self.pgn << 8 | self.sender

    def encode(self, world: World) -> Encoded:
        """The bytes of now and what they say."""
        return self.compose(world) if self.compose else encode(self.fields, world)
