"""SAE J1939-21: the 29-bit identifier and the transport protocol as a passive listener sees it.

Pure: time comes with the frames, nothing is ever answered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
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

# Longest silence within a session, J1939-21: T1 between the packets of a broadcast, T2 after a CTS.
T1_S = 0.750
T2_S = 1.250

MAX_SESSIONS = 64
"""Sessions kept at a time. A sender may have one to each destination; a flood must cost no RAM."""


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


@dataclass(slots=True)
class _Session:
    pgn: int
    size: int
    packets: int
    limit_s: float
    seen_t: float
    received: int = 0
    payload: bytearray = field(default_factory=bytearray)


class Transport:
    """Reassembles broadcast (BAM) and overheard RTS/CTS messages of one bus.

    Sessions are keyed by (SA, DA). A new announcement replaces the session of its pair. Packets
    must come as 1, 2, ... n: a gap, a repetition or a silence beyond T1 (BAM) or T2 (RTS/CTS), by
    the stamps of the frames, drops the session. Feed each TP.CM and TP.DT frame in order.
    """

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        self._sessions: dict[tuple[int, int], _Session] = {}
        self._max_sessions = max_sessions
        self.complete = 0
        self.dropped: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """Sessions that wait for packets."""
        return len(self._sessions)

    def feed(self, t: float, identifier: Identifier, payload: bytes) -> Message | None:
        """Take one TP.CM or TP.DT frame; the message that it completes, else None.

        Other PGNs are ignored. Never raises on what a bus may carry.
        """
        if identifier.pgn == TP_DT:
            return self._packet(t, identifier.sa, identifier.da, payload)
        if identifier.pgn == TP_CM:
            self._control(t, identifier.sa, identifier.da, payload)
        return None

    def _control(self, t: float, sa: int, da: int, payload: bytes) -> None:
        if len(payload) < 8:
            self.dropped["malformed"] += 1
            return
        control = payload[0]
        if control in (_BAM, _RTS):
            self._announce(t, sa, da, payload)
        elif control == _CTS:
            # The receiver speaks: the session runs in the other direction and is alive.
            session = self._sessions.get((da, sa))
            if session is not None and not self._expired(t, (da, sa), session):
                session.seen_t = t
        elif control == _ABORT:
            for pair in ((sa, da), (da, sa)):
                self._drop(pair, "aborted")
        elif control == _END_OF_MESSAGE_ACK:
            self._drop((da, sa), "ended early")

    def _announce(self, t: float, sa: int, da: int, payload: bytes) -> None:
        self._drop((sa, da), "replaced")
        broadcast = payload[0] == _BAM
        size = payload[1] | payload[2] << 8
        packets = payload[3]
        fits = MIN_SIZE <= size <= MAX_SIZE and packets == -(-size // _PACKET_BYTES)
        if not fits or broadcast != (da == GLOBAL_ADDRESS):
            self.dropped["malformed"] += 1
            return
        if len(self._sessions) >= self._max_sessions:
            oldest = min(self._sessions, key=lambda pair: self._sessions[pair].seen_t)
            self._drop(oldest, "too many")
        pgn = (payload[5] | payload[6] << 8 | payload[7] << 16) & 0x3FFFF
        limit_s = T1_S if broadcast else T2_S
        self._sessions[sa, da] = _Session(pgn, size, packets, limit_s, t)

    def _packet(self, t: float, sa: int, da: int, payload: bytes) -> Message | None:
        pair = (sa, da)
        session = self._sessions.get(pair)
        if session is None or self._expired(t, pair, session):
            return None
        wanted = min(_PACKET_BYTES, session.size - len(session.payload))
        if len(payload) < 1 + wanted or payload[0] != session.received + 1:
            self._drop(pair, "out of sequence")
            return None
        session.received += 1
        session.payload += payload[1 : 1 + wanted]
        session.seen_t = t
        if session.received < session.packets:
            return None
        del self._sessions[pair]
        self.complete += 1
        return Message(t, session.pgn, sa, da, bytes(session.payload))

    def _expired(self, t: float, pair: tuple[int, int], session: _Session) -> bool:
        # A stamp far in the past is another recording, not the same session.
        if abs(t - session.seen_t) <= session.limit_s:
            return False
        self._drop(pair, "timed out")
        return True

    def _drop(self, pair: tuple[int, int], reason: str) -> None:
        if self._sessions.pop(pair, None) is not None:
            self.dropped[reason] += 1
