"""What an SPN is, and how its raw value becomes a value, a state or neither.

The classes are those of SAE J1939-71 and are judged on the raw value, never on the scaled one: for
two bytes or more the top byte decides, so 0xFE00 is an error although its low byte is 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from agent.sdk import CHANGE, Datatype, Group, Scalar, Signal, State, Thinning

LAST_VALID_BYTE = 0xFA
ERROR_BYTE = 0xFE
NOT_AVAILABLE_BYTE = 0xFF

_VIN_LENGTH = 17
_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")


class Shape(StrEnum):
    """How a raw value is meant."""

    SWITCH = "switch"
    CODE = "code"
    NUMBER = "number"
    TEXT = "text"


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


class Reading(NamedTuple):
    """One SPN of one message: `value` is None exactly where `state` is set.

    `value` is in the unit of the standard, `stated` the same in the unit of the signal. `plausible`
    is False for a value beyond the limits of its signal, such as the -273 degC of a sender that
    fills what it does not support with zeros. `path`: the signal, None where the parameter is none.
    """

    spn: Spn
    value: Scalar | None
    state: State | None
    plausible: bool
    path: str | None
    stated: Scalar | None


@dataclass(frozen=True, slots=True)
class Spn:
    """One parameter: where it stands in its message and what it means.

    `byte` and `bit` count from 1 as in the standard; multi-byte values are little endian. A number
    is (raw * num) / den + offset in `unit`, rounded once. `minimum`, `maximum`: plausible limits.
    """

    number: int
    path: str
    byte: int
    bit: int
    bits: int
    shape: Shape
    meaning: str
    unit: str = ""
    thinning: Thinning = CHANGE
    num: int = 1
    den: int = 1
    offset: int = 0
    minimum: float | None = None
    maximum: float | None = None
    _by_raw: tuple[Reading, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # 8 bits or less have at most 256 readings: made once, looked up afterwards.
        known = range(1 << self.bits) if self.bits <= 8 else range(0)
        object.__setattr__(self, "_by_raw", tuple(self._judge(raw) for raw in known))

    @property
    def first_bit(self) -> int:
        """Position of the lowest bit, from 0."""
        return (self.byte - 1) * 8 + self.bit - 1

    @property
    def signal(self) -> Signal:
        """The declaration of this parameter."""
        number = self.shape is Shape.NUMBER
        return Signal(
            self.path,
            self._datatype(),
            self.unit,
            self.meaning,
            self.thinning,
            self.minimum,
            self.maximum,
            # value * den = raw * num + offset * den is an integer.
            self.den if number or self.shape is Shape.CODE else 0,
            f"SAE J1939-71 SPN {self.number}",
        )

    def _datatype(self) -> Datatype:
        if self.shape is Shape.TEXT:
            return Datatype.STRING
        if self.shape is Shape.SWITCH:
            return Datatype.BOOLEAN
        if self.shape is Shape.CODE:
            return Datatype.UINT8
        # 32 raw bits do not fit a float's 24.
        return Datatype.DOUBLE if self.bits > 16 else Datatype.FLOAT

    def read(self, raw: int) -> Reading:
        """The reading of a raw value of `bits` bits."""
        return self._by_raw[raw] if self._by_raw else self._judge(raw)

    def _judge(self, raw: int) -> Reading:
        state = raw_state(raw, self.bits)
        if state is not None:
            return self._reading(None, state)
        if self.shape is Shape.SWITCH:
            return self._reading(bool(raw))
        if self.shape is Shape.CODE:
            return self._reading(raw)
        value = (raw * self.num + self.offset * self.den) / self.den
        above = self.minimum is None or value >= self.minimum
        return self._reading(value, None, above and (self.maximum is None or value <= self.maximum))

    def _reading(
        self, value: Scalar | None, state: State | None = None, plausible: bool = True
    ) -> Reading:
        return Reading(self, value, state, plausible, self.path, value)

    def read_text(self, payload: bytes) -> Reading:
        """The reading of a vehicle identification: 17 characters, `*` ends it.

        Some senders append junk before the `*`. Text that is no VIN is a value, not plausible.
        """
        text = payload.partition(b"*")[0][:_VIN_LENGTH]
        if not text or text[0] == NOT_AVAILABLE_BYTE:
            return self._reading(None, State.NOT_AVAILABLE)
        if text[0] == 0:
            return self._reading(None, State.ERROR)
        vin = text.decode("latin-1")
        return self._reading(vin, None, _VIN.fullmatch(vin) is not None)


class Pgn:
    """One parameter group: its SPNs and the group of signals that it is emitted as.

    `prefer`: source addresses in order of trust, before all others. `silence_s`: how long the
    followed sender may be silent before another one is followed. `period_ms`: how often a sender
    says it, 0 where only on change.
    """

    def __init__(
        self,
        number: int,
        name: str,
        *spns: Spn,
        prefer: tuple[int, ...] = (),
        silence_s: float = 5.0,
        period_ms: int = 1000,
    ) -> None:
        self.number = number
        self.spns = spns
        self.prefer = prefer
        self.silence_s = silence_s
        self.period_ms = period_ms
        self.group = Group(name, tuple(spn.signal for spn in spns))
        # Flat tuples, because this is walked for each changed frame of the bus.
        self._layout = [
            (spn, spn.first_bit, spn.first_bit + spn.bits, (1 << spn.bits) - 1)
            for spn in spns
            if spn.shape is not Shape.TEXT
        ]

    def key(self, payload: bytes) -> int:
        """What tells messages of one sender apart that say different things: the multiplexer.

        0 where the parameter group has none. Only messages with the same key repeat each other.
        """
        return 0

    def read(self, payload: bytes) -> list[Reading]:
        """The readings of one message; parameters beyond the end of a short one are left out."""
        if not self._layout:
            return [spn.read_text(payload) for spn in self.spns]
        word = int.from_bytes(payload, "little")
        have = len(payload) * 8
        return [
            spn.read(word >> first & mask) for spn, first, end, mask in self._layout if end <= have
        ]
