"""A slow model of the transport protocol: it keeps history and reads it anew at each packet."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from drivers.codecs.j1939 import TP_CM, TP_DT, Message

BAM, RTS, CTS, ACK, ABORT = 32, 16, 17, 19, 255
ALL = 0xFF


class Heard(NamedTuple):
    """One frame of the transport protocol."""

    t: float
    pgn: int
    sa: int
    da: int
    payload: bytes


class Model:
    """All frames of each pair since its last announcement, read anew for each packet."""

    def __init__(self) -> None:
        self._history: dict[tuple[int, int], list[tuple[float, str, bytes]]] = {}

    def feed(self, frame: Heard) -> Message | None:
        t, pgn, sa, da, payload = frame
        if pgn == TP_DT:
            if (sa, da) not in self._history:
                return None
            history = self._history[sa, da]
            history.append((t, "packet", payload))
            message = read_broadcast(history) if da == ALL else read_directed(history)
            if message is not None:
                del self._history[sa, da]
                return Message(t, message[0], sa, da, message[1])
            return None
        if len(payload) < 8:
            return None
        if payload[0] in (BAM, RTS):
            self._history[sa, da] = [(t, "announced", payload)]
        elif payload[0] == ABORT:
            for pair in {(sa, da), (da, sa)}:
                if pair[1] != ALL or pair == (sa, da):
                    self._history.pop(pair, None)
        elif payload[0] in (CTS, ACK) and sa != ALL and (da, sa) in self._history:
            self._history[da, sa].append((t, "cts" if payload[0] == CTS else "ack", payload))
        return None


def announced(payload: bytes, kind: int) -> tuple[int, int, int] | None:
    """PGN, size and packets, where an announcement can be."""
    size, packets = int.from_bytes(payload[1:3], "little"), payload[3]
    pgn = int.from_bytes(payload[5:8], "little")
    possible = 9 <= size <= 1785 and 7 * (packets - 1) < size <= 7 * packets and pgn < 0x40000
    if payload[0] != kind or not possible or pgn in (TP_CM, TP_DT):
        return None
    return pgn, size, packets


def read_broadcast(history: list[tuple[float, str, bytes]]) -> tuple[int, bytes] | None:
    """The message of a broadcast whose last packet is the last of `history`."""
    what = announced(history[0][2], BAM)
    if what is None:
        return None
    pgn, size, packets = what
    stamps = [t for t, _, _ in history]
    numbers = [payload[:1] for _, _, payload in history[1:]]
    if any(abs(b - a) > 0.75 for a, b in pairwise(stamps)):
        return None
    if numbers != [bytes([n]) for n in range(1, packets + 1)]:
        return None
    if any(len(payload) != 8 for _, _, payload in history[1:-1]):
        return None
    text = b"".join(payload[1:] for _, _, payload in history[1:])
    return (pgn, text[:size]) if len(text) >= size else None


def read_directed(history: list[tuple[float, str, bytes]]) -> tuple[int, bytes] | None:
    """The message of an RTS/CTS session whose last missing packet is the last of `history`."""
    what = announced(history[0][2], RTS)
    if what is None:
        return None
    pgn, size, packets = what
    have: dict[int, bytes] = {}
    due = list(range(1, packets + 1))  # in this order
    owed: list[int] = []  # asked for again, and not yet heard again
    deaf = False
    last_t, limit = history[0][0], 1.25
    for t, kind, payload in history[1:]:
        if abs(t - last_t) > limit:
            return None
        if kind == "ack":
            return None
        if kind == "cts":
            count, number = payload[1], payload[2]
            if int.from_bytes(payload[5:8], "little") != pgn:
                return None
            if count == 0:
                last_t, limit = t, 1.05
                continue
            if not 1 <= number <= packets:
                continue
            reach = len(have) + 1 if not owed else due[0] if due else packets + 1
            if number > reach:
                return None
            due = list(range(number, packets + 1))
            owed = due[:count]
            deaf, last_t, limit = False, t, 1.25
            continue
        number = payload[0] if payload else 0
        length = 7 if number < packets else size - 7 * (packets - 1)
        if not 1 <= number <= packets or len(payload) < 1 + length:
            deaf = True
            continue
        part = payload[1 : 1 + length]
        if have.get(number, part) != part:
            return None
        if deaf or not due or number != due[0]:
            deaf = True
            continue
        have[number] = part
        del due[0]
        owed = [n for n in owed if n != number]
        last_t, limit = t, 1.25
    if len(have) < packets:
        return None
    return pgn, b"".join(have[n] for n in range(1, packets + 1))
