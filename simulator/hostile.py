"""A hostile node on the bus: it speaks as the engine, and opens transport sessions that never end.

Nobody can tell a spoofed source address from the real one: what the node says as the engine is a
writing like any other. Its sessions use addresses of their own, so no true message may suffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from simulator.emission import Writing
from simulator.spn import Message, encode
from simulator.world import World

SPOOF_EVERY_MS, SPOOF_PHASE_MS = 700, 29
SPOOFED = ("EEC1", "CCVS1")
TP_EVERY_MS = 20
SCRAMBLE = 0x9E3779B97F4A7C15  # odd, golden ratio: consecutive numbers become unlike bytes

_TP_CM, _TP_DT = 0x1CEC0000, 0x1CEB0000
_BAM, _RTS, _ABORT = 32, 16, 255
_VI, _DM1 = 0xFEEC, 0xFECA
_FIRST_SA, _ADDRESSES = 0x80, 0x50
"""Addresses that no control unit of the simulated bus has."""


class Hostile(NamedTuple):
    """One frame and what a reader must take it to say."""

    can_id: int
    payload: bytes
    writings: tuple[Writing, ...] = ()


def due(at_ms: int) -> bool:
    """Whether the node sends at this millisecond."""
    return at_ms % SPOOF_EVERY_MS == SPOOF_PHASE_MS or at_ms % TP_EVERY_MS == 0


def frames(at_ms: int, world: World, messages: tuple[Message, ...]) -> Iterator[Hostile]:
    """What the node sends at this millisecond; a function of time and world alone."""
    if at_ms % SPOOF_EVERY_MS == SPOOF_PHASE_MS:
        for message in messages:
            if message.name in SPOOFED:
                yield _spoofed(at_ms, world, message)
    if at_ms % TP_EVERY_MS == 0:
        yield _session(at_ms // TP_EVERY_MS)


def _spoofed(at_ms: int, world: World, message: Message) -> Hostile:
    """The true message with a number in it gone wild, in the range that a bus may have."""
    number = 3 if message.name == "EEC1" else 1
    field = message.fields[number]
    wild = at_ms // SPOOF_EVERY_MS % 7 * 19.0 + 11.0
    made = encode(message.fields, world)
    raw = field.raw(wild * 20.0 if message.name == "EEC1" else wild)
    mask = (1 << field.bits) - 1
    word = int.from_bytes(made.payload, "little") & ~(mask << field.shift) | raw << field.shift
    assert field.path is not None
    writings = dict(made.writings) | {field.path: field.value(raw)}
    return Hostile(message.can_id, word.to_bytes(8, "little"), tuple(writings.items()))


def _session(number: int) -> Hostile:
    """Announcements without packets, packets without announcement, aborts of what never began."""
    drawn = number * SCRAMBLE % 2**64
    sa = _FIRST_SA + drawn % _ADDRESSES
    pgn = (_VI if drawn >> 9 & 1 else _DM1).to_bytes(3, "little")
    noise = drawn.to_bytes(8, "little")
    match number % 4:
        case 0:
            head = bytes((_BAM, 18, 0, 3, 0xFF))
            return Hostile(_TP_CM | 0xFF00 | sa, head + pgn)
        case 1:
            # A size that its packets do not hold.
            head = bytes((_RTS, 0xF9, 0x06, 3, 0xFF))
            return Hostile(_TP_CM | 0x2100 | sa, head + pgn)
        case 2:
            return Hostile(_TP_DT | 0xFF00 | sa, bytes((number // 4 % 5,)) + noise[1:])
        case _:
            return Hostile(_TP_CM | 0x2100 | sa, bytes((_ABORT, 3, 0xFF, 0xFF, 0xFF)) + pgn)
