"""SAE J1939-21: the 29-bit identifier and the transport protocol as a passive listener sees it.

Pure: time comes with the frames, nothing is ever answered. The extended transport protocol
(PGN 0xC700, 0xC800; more than 1785 bytes) is left alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

TP_CM = 0xEC00
TP_DT = 0xEB00
GLOBAL_ADDRESS = 0xFF

_RTS = 16
_CTS = 17
_END_OF_MESSAGE_ACK = 19
_BAM = 32
_ABORT = 255

MIN_SIZE = 9
MAX_SIZE = 1785
_PACKET_BYTES = 7

# Longest silence within a session, J1939-21: T1 between the packets of a broadcast, T2 between all
# else, T4 after a CTS that holds the sender off.
T1_S = 0.750
T2_S = 1.250
T4_S = 1.050

MAX_SESSIONS = 64
"""RTS/CTS sessions kept at a time, of all senders; a flood must cost no RAM. Broadcasts are not
among them: each of the 256 addresses can have one, which no other address can push out."""

_MAX_PGN = 0x3FFFF


class Identifier(NamedTuple):
    """A 29-bit identifier taken apart. `da` is 0xFF where the PGN is a broadcast (PDU2)."""

    priority: int
    pgn: int
    sa: int
    da: int


def split_id(can_id: int) -> Identifier:
    """Priority, PGN, source and destination address of a 29-bit identifier.

    `prio(3) | EDP | DP | PF(8) | PS(8) | SA(8)`. Below PF 0xF0 (PDU1) PS is the destination and no
    part of the PGN. Raises ValueError where `can_id` has more than 29 bits.
    """
    if not 0 <= can_id <= 0x1FFFFFFF:
        raise ValueError(f"{can_id:#x} is not a 29-bit identifier")
    pgn = can_id >> 8 & 0x3FFFF
    if pgn & 0xFF00 < 0xF000:
        return Identifier(can_id >> 26, pgn & 0x3FF00, can_id & 0xFF, pgn & 0xFF)
    return Identifier(can_id >> 26, pgn, can_id & 0xFF, GLOBAL_ADDRESS)


class Message(NamedTuple):
    """A reassembled message; `t` is the stamp of its last packet, in seconds."""

    t: float
    pgn: int
    sa: int
    da: int
    payload: bytes


class _Fit(Enum):
    """What a packet is to its session."""

    NEXT = "next"
    OUT_OF_SEQUENCE = "out of sequence"
    CONTRADICTED = "contradicted"


@dataclass(slots=True)
class _Session:
    """`payload` holds packets 1 to `received`; `expected` is the one to come.

    `asked_to`: the packet after those that the last CTS asked for. `waits`: there was a gap, so
    nothing is taken before a CTS.
    """

    pgn: int
    size: int
    packets: int
    limit_s: float
    seen_t: float
    expected: int = 1
    received: int = 0
    asked_to: int = 0
    waits: bool = False
    payload: bytearray = field(default_factory=bytearray)

    def take(self, payload: bytes) -> _Fit:
        """Take a packet if it is the expected one; one that came before must be the same."""
        number = payload[0] if payload else 0
        at = (number - 1) * _PACKET_BYTES
        wanted = min(_PACKET_BYTES, self.size - at)
        if not 1 <= number <= self.packets or len(payload) < 1 + wanted:
            return _Fit.OUT_OF_SEQUENCE
        part = payload[1 : 1 + wanted]
        if number <= self.received and self.payload[at : at + wanted] != part:
            return _Fit.CONTRADICTED
        if number != self.expected or self.waits:
            return _Fit.OUT_OF_SEQUENCE
        if number > self.received:
            self.payload += part
            self.received = number
        self.expected += 1
        return _Fit.NEXT

    def ask(self, number: int, count: int) -> bool:
        """The receiver asks for `count` packets from `number` on; False where that cannot be.

        It cannot go on behind what was heard, nor behind packets that it asked for again and that
        were not heard again.
        """
        known = self.received + 1 if self.expected >= self.asked_to else self.expected
        if number > known:
            return False
        self.expected, self.waits = number, False
        self.asked_to = min(number + count, self.packets + 1)
        return True


class Transport:
    """Reassembles broadcast (BAM) and overheard RTS/CTS messages of one bus.

    Sessions are keyed by (SA, DA). A new announcement replaces the session of its pair. Packets
    must come as 1, 2, ... n. In a broadcast anything else ends the session, as does a silence
    beyond T1 by the stamps of the frames; nobody answers one, so no other unit can touch it. In an
    RTS/CTS session the receiver's CTS says which packet is next: it may ask again for packets that
    came, which must then be the same, and for those after a gap; beyond a gap nothing is taken
    without a CTS. A CTS or an acknowledgement that does not fit what came ends the session, as do
    an abort by either side and a silence beyond T2. Feed each TP.CM and TP.DT frame in order.

    What cannot be told apart: where a session of a sender lost its last packets, and its next one
    within the limit lost the announcement and just the packets that had come of the one before,
    what came of both fits together. T1 is longer than the pause between two broadcasts may be.
    """

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        self._broadcasts: dict[tuple[int, int], _Session] = {}
        self._directed: dict[tuple[int, int], _Session] = {}
        self._max_sessions = max_sessions
        self.complete = 0
        self.dropped: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """Sessions that wait for packets."""
        return len(self._broadcasts) + len(self._directed)

    def feed(self, t: float, identifier: Identifier, payload: bytes) -> Message | None:
        """Take one TP.CM or TP.DT frame; the message that it completes, else None.

        Other PGNs are ignored. Never raises on what a bus may carry.
        """
        if identifier.pgn == TP_DT:
            return self._packet(t, identifier.sa, identifier.da, payload)
        if identifier.pgn == TP_CM:
            self._control(t, identifier.sa, identifier.da, payload)
        return None

    def _table(self, da: int) -> dict[tuple[int, int], _Session]:
        return self._broadcasts if da == GLOBAL_ADDRESS else self._directed

    def _control(self, t: float, sa: int, da: int, payload: bytes) -> None:
        if len(payload) < 8:
            self.dropped["malformed"] += 1
            return
        control = payload[0]
        if control in (_BAM, _RTS):
            self._announce(t, sa, da, payload)
        elif control == _CTS:
            self._clear_to_send(t, (da, sa), payload)
        elif control == _ABORT:
            self._drop((sa, da), "aborted")
            if sa != GLOBAL_ADDRESS:
                self._drop((da, sa), "aborted")
        elif control == _END_OF_MESSAGE_ACK and sa != GLOBAL_ADDRESS:
            self._drop((da, sa), "ended early")

    def _announce(self, t: float, sa: int, da: int, payload: bytes) -> None:
        self._drop((sa, da), "replaced")
        broadcast = payload[0] == _BAM
        size = payload[1] | payload[2] << 8
        packets = payload[3]
        pgn = _pgn(payload)
        fits = MIN_SIZE <= size <= MAX_SIZE and packets == -(-size // _PACKET_BYTES)
        nested = pgn in (TP_CM, TP_DT)
        if not fits or nested or pgn > _MAX_PGN or broadcast != (da == GLOBAL_ADDRESS):
            self.dropped["malformed"] += 1
            return
        if not broadcast and len(self._directed) >= self._max_sessions:
            self._drop(self._least_worth(), "too many")
        limit_s = T1_S if broadcast else T2_S
        self._table(da)[sa, da] = _Session(pgn, size, packets, limit_s, t)

    def _least_worth(self) -> tuple[int, int]:
        """The RTS/CTS session to give up: the longest silent one of the sender that has most."""
        crowd = Counter(sa for sa, _ in self._directed)
        return min(self._directed, key=lambda pair: (-crowd[pair[0]], self._directed[pair].seen_t))

    def _clear_to_send(self, t: float, pair: tuple[int, int], payload: bytes) -> None:
        """The receiver of a session speaks."""
        session = self._directed.get(pair)
        if session is None or self._expired(t, pair, session):
            return
        allowed, number = payload[1], payload[2]
        if _pgn(payload) != session.pgn:
            # It talks about another message, whose announcement was lost.
            self._drop(pair, "contradicted")
        elif allowed == 0:
            session.seen_t, session.limit_s = t, T4_S
        elif not 1 <= number <= session.packets:
            self.dropped["malformed"] += 1
        elif session.ask(number, allowed):
            session.seen_t, session.limit_s = t, T2_S
        else:
            # It has packets that were lost here.
            self._drop(pair, "out of sequence")

    def _packet(self, t: float, sa: int, da: int, payload: bytes) -> Message | None:
        pair = (sa, da)
        session = self._table(da).get(pair)
        if session is None or self._expired(t, pair, session):
            return None
        fit = session.take(payload)
        if fit is not _Fit.NEXT:
            if fit is _Fit.CONTRADICTED or da == GLOBAL_ADDRESS:
                self._drop(pair, fit.value)
            else:
                session.waits = True
            return None
        session.seen_t = t
        if da != GLOBAL_ADDRESS:
            session.limit_s = T2_S
        if session.received < session.packets:
            return None
        del self._table(da)[pair]
        self.complete += 1
        return Message(t, session.pgn, sa, da, bytes(session.payload))

    def _expired(self, t: float, pair: tuple[int, int], session: _Session) -> bool:
        # A stamp far in the past is another recording, not the same session.
        if abs(t - session.seen_t) <= session.limit_s:
            return False
        self._drop(pair, "timed out")
        return True

    def _drop(self, pair: tuple[int, int], reason: str) -> None:
        session = self._table(pair[1]).pop(pair, None)
        if session is not None:
            self.dropped["out of sequence" if session.waits else reason] += 1


def _pgn(payload: bytes) -> int:
    """The PGN that a TP.CM frame is about."""
    return payload[5] | payload[6] << 8 | payload[7] << 16
