"""What an SPN is, and how its raw value becomes a reading."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from agent.sdk import CHANGE, Datatype, Scalar, Signal, State, Thinning
from drivers.fms_j1939.raw_classes import raw_state, text_state


class Shape(StrEnum):
    """How a raw value is meant."""

    SWITCH = "switch"
    CODE = "code"
    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    VIN = "vin"
    VERSION = "version"
    IDENTIFIER = "identifier"
    TELLTALE = "telltale"
    WHOLE = "whole"
    """No parameter of its own: a signal made of the whole message."""


TEXTS = frozenset({Shape.TEXT, Shape.VIN, Shape.VERSION, Shape.IDENTIFIER})
"""Shapes that are read from bytes, up to a `*` or the end, and not from a raw number."""

_PRINTABLE = re.compile(r"[ -~]+")
_TEXT_FORM = {
    Shape.VIN: (17, re.compile(r"[A-HJ-NPR-Z0-9]{17}")),
    Shape.VERSION: (4, re.compile(r"[0-9]{4}")),
}


class Reading(NamedTuple):
    """One SPN of one message: `value` is None exactly where `state` is set.

    `value` is in the unit of the standard, `stated` in the unit of the signal. `stated` goes before
    `state`: raw 0xFB of a gear is no value of the standard and yet stated, as 126. `plausible` is
    False for a value beyond the limits of its signal, such as the -273 degC of a sender that fills
    what it does not support with zeros. `path`: the signal, None where the parameter is none.
    """

    spn: Spn
    value: Scalar | None
    state: State | None
    plausible: bool
    path: str | None
    stated: Scalar | None


class Special(NamedTuple):
    """A raw value outside the valid range that means something for one parameter."""

    raw: int
    stated: int
    meaning: str


@dataclass(frozen=True, slots=True)
class Spn:
    """One parameter: where it stands in its message and what it means.

    `number`: 0 where the standard's number is not known. `path`: "" where it is no signal. `byte`
    and `bit` count from 1 as in the standard; multi-byte values are little endian. A number is
    raw * num / den + offset in `unit`, rounded once, and `factor` times that in `signal_unit`
    (a float only where the factor is irrational). `minimum`, `maximum`: plausible limits, in the
    signal's unit. `reserved`: raw values that are implausible whatever their class says.
    `fallback`: the path belongs to another group; to be stated there, and only while the group is
    not heard.
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
    offset: Fraction = Fraction(0)
    minimum: float | None = None
    maximum: float | None = None
    signal_unit: str = ""
    factor: Fraction | float = Fraction(1)
    reserved: frozenset[int] = frozenset()
    special: Special | None = None
    fallback: bool = False
    datatype: Datatype | None = None
    source: str = ""
    _known: dict[int, Reading] = field(default_factory=dict, init=False, repr=False, compare=False)
    # value = (raw * _times + _plus) / _over, all of them integers; likewise what is stated.
    _times: int = field(default=1, init=False, repr=False, compare=False)
    _plus: int = field(default=0, init=False, repr=False, compare=False)
    _over: int = field(default=1, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        step = Fraction(self.num, self.den)
        over = math.lcm(step.denominator, self.offset.denominator)
        object.__setattr__(self, "_times", int(step * over))
        object.__setattr__(self, "_plus", int(self.offset * over))
        object.__setattr__(self, "_over", over)
        if not self.signal_unit:
            object.__setattr__(self, "signal_unit", self.unit)

    @property
    def first_bit(self) -> int:
        """Position of the lowest bit, from 0."""
        return (self.byte - 1) * 8 + self.bit - 1

    @property
    def signal(self) -> Signal:
        """The declaration of this parameter."""
        return self.declared(self.path)

    def declared(self, path: str, meaning: str = "") -> Signal:
        """The declaration of `path`, one of several signals that this parameter is stated as."""
        return Signal(
            path,
            self._datatype(),
            self.signal_unit,
            meaning or self.meaning,
            self.thinning,
            self.minimum,
            self.maximum,
            self._steps_per_unit(),
            self.source or f"SAE J1939-71 SPN {self.number}",
        )

    def _steps_per_unit(self) -> int:
        if self.shape in (Shape.CODE, Shape.INTEGER):
            return 1
        if self.shape is not Shape.NUMBER or isinstance(self.factor, float):
            return 0
        step, offset = Fraction(self.num, self.den) * self.factor, self.offset * self.factor
        return math.lcm(step.denominator, offset.denominator)

    def _datatype(self) -> Datatype:
        if self.datatype is not None:
            return self.datatype
        if self.shape is Shape.SWITCH:
            return Datatype.BOOLEAN
        if self.shape is Shape.CODE:
            return Datatype.UINT8
        if self.shape is Shape.INTEGER:
            return Datatype.INT8 if self.bits <= 8 else Datatype.INT32
        if self.shape is not Shape.NUMBER:
            return Datatype.STRING
        # 32 raw bits do not fit a float's 24.
        return Datatype.DOUBLE if self.bits > 16 else Datatype.FLOAT

    def read(self, raw: int) -> Reading:
        """The reading of a raw value of `bits` bits."""
        known = self._known.get(raw)
        if known is None:
            known = self._judge(raw)
            # 8 bits or less have at most 256 readings: made once, looked up afterwards.
            if self.bits <= 8:
                self._known[raw] = known
        return known

    def _judge(self, raw: int) -> Reading:
        state = State.IMPLAUSIBLE if raw in self.reserved else raw_state(raw, self.bits)
        if state is not None:
            told = self.special if self.special and self.special.raw == raw else None
            return self.reading(None, state, stated=told.stated if told else None)
        if self.shape in (Shape.SWITCH, Shape.CODE):
            return self.reading(bool(raw) if self.shape is Shape.SWITCH else raw)
        counts = raw * self._times + self._plus
        if self.shape is Shape.INTEGER:
            return self._bounded(counts, counts)
        value = counts / self._over
        if isinstance(self.factor, float):
            return self._bounded(value, value * self.factor)
        up, down = self.factor.numerator, self.factor.denominator
        return self._bounded(value, counts * up / (self._over * down))

    def _bounded(self, value: float, stated: float) -> Reading:
        above = self.minimum is None or stated >= self.minimum
        within = above and (self.maximum is None or stated <= self.maximum)
        return self.reading(value, plausible=within, stated=stated)

    def reading(
        self,
        value: Scalar | None,
        state: State | None = None,
        *,
        plausible: bool = True,
        stated: Scalar | None = None,
    ) -> Reading:
        """A reading of this parameter; `stated` is the value where it is not given."""
        return Reading(
            self, value, state, plausible, self.path or None, value if stated is None else stated
        )

    def read_text(self, payload: bytes) -> Reading:
        """The reading of ASCII; `*` ends it.

        Some senders append junk before the `*`: what is longer than the form has is cut off. Text
        that has not the form (17 characters of a VIN, 4 digits, printable) is not plausible.
        """
        length, form = _TEXT_FORM.get(self.shape, (self.bits // 8, _PRINTABLE))
        text = payload[self.byte - 1 :].partition(b"*")[0][:length]
        state = text_state(text)
        if state is not None:
            return self.reading(None, state)
        said = text.decode("latin-1")
        right = form.fullmatch(said) is not None
        if right and self.shape is Shape.VERSION:
            said = f"{said[:2]}.{said[2:]}"
        return self.reading(said, plausible=right)
