"""Two units that are one address: by their claims, and by what they say. Pure.

SAE J1939-81: a unit claims its address with a NAME of 64 bits, from 0xFE it says that it got none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agent.sdk import Scalar
from drivers.fms_j1939.pgn import Pgn

ADDRESS_CLAIMED = 0xEE00

_NULL_ADDRESS, _GLOBAL_ADDRESS = 0xFE, 0xFF
_NAME_BYTES = 8
# Units that found no address, remembered so that each counts once. A bus has some 30 units.
_MAX_HOMELESS = 256

WINDOW_MS = 5_000
# Two senders at the nominal rate are twice it. Real ones stay within some per cent of it.
_RATE = 1.5
# How many of the messages of a window, by the nominal rate, say what the one before last said.
_RETURNS = 0.5
# By how much of its plausible range a number differs that contradicts another.
_FAR = 0.05
_MAX_TALKS = 1024


class Name(NamedTuple):
    """A NAME taken apart (J1939-81 table 3); it decides who keeps an address: the lower one."""

    arbitrary_address: bool
    industry: int
    system_instance: int
    system: int
    function: int
    function_instance: int
    ecu_instance: int
    manufacturer: int
    identity: int


def name(payload: bytes) -> Name:
    """The NAME of an address claim. Raises ValueError if it is not 8 bytes."""
    if len(payload) != _NAME_BYTES:
        raise ValueError(f"a NAME has {_NAME_BYTES} bytes, got {len(payload)}: {payload.hex()}")
    bits = int.from_bytes(payload, "little")
    fields = []
    for width in (21, 11, 3, 5, 8, 1, 7, 4, 3, 1):
        fields.append(bits & (1 << width) - 1)
        bits >>= width
    identity, maker, ecu, instance, function, _, system, system_instance, industry, free = fields
    return Name(
        bool(free), industry, system_instance, system, function, instance, ecu, maker, identity
    )


class _Talk:
    """One sender of one message within one window: the last two payloads that differed."""

    __slots__ = ("before", "last", "news", "returns", "since_ms")

    def __init__(self, at_ms: int) -> None:
        self.before = self.last = b""
        self.news = self.returns = 0
        self.since_ms = at_ms


class AddressConflicts:
    """Counts signs that an address is used twice.

    Certain: a claim of an address by another NAME than the one before, and each NAME that says
    that it has no address. Likely, once per 5 s while it goes on: payloads of one sender come at
    more than 1.5 times the nominal rate of their message and go back and forth between two that
    contradict each other (a switch, code or text differs, or a number by 5 % of its range): a
    second unit, or one that pretends to be the first, says the same message with the same address.
    """

    def __init__(self) -> None:
        self.count = 0
        self._names: dict[int, bytes] = {}
        self._homeless: dict[bytes, None] = {}
        self._talks: dict[tuple[int, int, int], _Talk] = {}

    @property
    def names(self) -> Mapping[int, bytes]:
        """The NAME that claimed an address last, by address."""
        return self._names

    def claim(self, sa: int, payload: bytes) -> None:
        """Take an address claim; one that has no NAME is ignored."""
        if len(payload) != _NAME_BYTES or sa == _GLOBAL_ADDRESS:
            return
        if sa == _NULL_ADDRESS:
            if payload not in self._homeless:
                self.count += 1
                if len(self._homeless) >= _MAX_HOMELESS:
                    self._homeless.clear()
                self._homeless[payload] = None
            return
        self._homeless.pop(payload, None)
        if self._names.get(sa, payload) != payload:
            self.count += 1
        self._names[sa] = payload

    def hear(self, pgn: Pgn, sa: int, multiplexer: int, payload: bytes, at_ms: int) -> None:
        """Take a message that differs from the one before of this sender and multiplexer.

        One that does not differ does no harm.
        """
        key = (pgn.number, sa, multiplexer)
        talk = self._talks.get(key)
        if talk is None:
            if len(self._talks) >= _MAX_TALKS:
                self._talks.clear()
            talk = self._talks[key] = _Talk(at_ms)
        if payload == talk.last:
            return
        if payload == talk.before:
            talk.returns += 1
        talk.before, talk.last = talk.last, payload
        talk.news += 1
        if at_ms - talk.since_ms >= WINDOW_MS:
            self._judge(pgn, talk, at_ms)
            talk.news = talk.returns = 0
            talk.since_ms = at_ms

    def _judge(self, pgn: Pgn, talk: _Talk, at_ms: int) -> None:
        if not pgn.period_ms:
            return
        nominal = (at_ms - talk.since_ms) / pgn.period_ms
        often = talk.news > _RATE * nominal and talk.returns > _RETURNS * nominal
        if often and contradict(pgn, talk.before, talk.last):
            self.count += 1


def contradict(pgn: Pgn, one: bytes, other: bytes) -> bool:
    """Whether two payloads cannot be one sender's within a moment."""
    for a, b in zip(pgn.read(one), pgn.read(other), strict=False):
        if a.stated is None or b.stated is None or a.spn is not b.spn:
            continue
        if _far(a.stated, b.stated, a.spn.minimum, a.spn.maximum):
            return True
    return False


def _far(a: Scalar, b: Scalar, minimum: float | None, maximum: float | None) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        if minimum is None or maximum is None:
            return False
        return abs(a - b) > _FAR * (maximum - minimum)
    return a != b
