"""Overwrites what tells a person or a vehicle in recorded frames. Pure; lengths stay as they are.

Only text is overwritten, with X: packet numbers, lengths, `*` between parts and fillers stay, so a
masked capture decodes as before. What cannot be told from text of a person is overwritten too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from drivers.codecs.j1939 import TP_CM, TP_DT, split_id
from drivers.fms_j1939.frames import Frame

# Driver identification, vehicle identification, component identification (make, model, serial
# number, unit number), ECU identification (serial number).
_PERSONAL = frozenset({0xFE6B, 0xFEEC, 0xFEEB, 0xFDC5})

# Diagnostics over ISO 15765 and KWP: answers may hold a VIN, or a tachograph's files.
_DIAGNOSTICS = frozenset({0xDA00, 0xDB00, 0xCD00, 0xCE00})
_OBD_IDS = range(0x7E0, 0x7F0)

# Proprietary messages mean what their maker wants: A, A2 and B.
_PROPRIETARY_A = frozenset({0xEF00, 0x1EF00})
_PROPRIETARY_B = 0xFF00

# All but fillers, blanks and the `*` between parts.
_TEXT = re.compile(rb"[^\x00 *\xff]")
_RUN = re.compile(rb"[ !-)+-~]{4,8}")

_ANNOUNCEMENTS = (16, 32)  # RTS, BAM

# Packets of a session come within this of each other; what comes later is of an unknown one.
_SESSION_MS = 5_000
# Beyond that all are forgotten, and their packets masked.
_MAX_SESSIONS = 1024


@dataclass(slots=True)
class _Session:
    personal: bool
    packets: int
    until_ms: int
    expected: int = 1


class Mask:
    """Masks the frames of one bus, in order of time.

    Packets of several-packet messages are masked where the message is personal, proprietary or for
    diagnostics, where its announcement was not seen, and where a packet is not the next one: it may
    be of a message whose announcement was lost. An announcement that comes while packets of a
    personal message are due does not unmask them: it may be a lie.
    """

    def __init__(self) -> None:
        self._sessions: dict[tuple[int, int], _Session] = {}

    def frame(self, frame: Frame, at_ms: int) -> Frame:
        """The frame, or the one that takes its place."""
        if frame.remote or not frame.payload:
            return frame
        if not frame.extended:
            return _text(frame, 1) if frame.can_id in _OBD_IDS else frame
        _, pgn, sa, da = split_id(frame.can_id)
        if pgn == TP_CM:
            self._announced(frame.payload, sa, da, at_ms)
            return frame
        if pgn == TP_DT:
            return self._packet(frame, sa, da, at_ms)
        if pgn in _PERSONAL:
            return _text(frame, 0)
        if pgn in _DIAGNOSTICS:
            return _replaced(frame, frame.payload[:1] + b"X" * (len(frame.payload) - 1))
        return _runs(frame) if _proprietary(pgn) else frame

    def _announced(self, payload: bytes, sa: int, da: int, at_ms: int) -> None:
        if len(payload) < 8 or payload[0] not in _ANNOUNCEMENTS:
            return
        pgn = payload[5] | payload[6] << 8 | payload[7] << 16
        personal = pgn in _PERSONAL or pgn in _DIAGNOSTICS or _proprietary(pgn)
        known = self._sessions.get((sa, da))
        if known is not None and known.personal and at_ms <= known.until_ms:
            personal = True
        if len(self._sessions) >= _MAX_SESSIONS:
            self._sessions.clear()
        self._sessions[sa, da] = _Session(personal, payload[3], at_ms + _SESSION_MS)

    def _packet(self, frame: Frame, sa: int, da: int, at_ms: int) -> Frame:
        session = self._sessions.get((sa, da))
        if session is None or at_ms > session.until_ms:
            return _text(frame, 1)
        if not frame.payload or frame.payload[0] != session.expected:
            session.personal = True
        session.until_ms = at_ms + _SESSION_MS
        session.expected += 1
        if session.expected > session.packets:
            del self._sessions[sa, da]
        return _text(frame, 1) if session.personal else frame


def _proprietary(pgn: int) -> bool:
    return pgn in _PROPRIETARY_A or pgn & 0xFF00 == _PROPRIETARY_B


def _text(frame: Frame, first: int) -> Frame:
    """Each character from byte `first` (from 0) on becomes X."""
    payload = frame.payload
    return _replaced(frame, payload[:first] + _TEXT.sub(b"X", payload[first:]))


def _runs(frame: Frame) -> Frame:
    """Four printable characters in a row are taken for text; less may well be numbers."""
    return _replaced(frame, _RUN.sub(lambda run: b"X" * len(run[0]), frame.payload))


def _replaced(frame: Frame, payload: bytes) -> Frame:
    return frame._replace(payload=payload)
