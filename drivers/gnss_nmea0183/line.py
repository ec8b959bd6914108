"""Bytes of a serial line -> NMEA 0183 sentences and UBX frames whose checksum is right.

Pure, bounded, total. The two protocols share a line in any mixture: a frame is read as a whole, so
that nothing inside it counts as a sentence, and a sentence holds no byte that could begin a frame.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce
from operator import xor

# The standard allows 82 characters. Receivers exceed that: GSA with 24 satellites, positions with
# seven decimals, proprietary sentences.
MAX_SENTENCE = 250
# The longest that receivers send unasked are lists of signals and raw measurements, 2-4 KB.
MAX_PAYLOAD = 4096

_SENTENCE = re.compile(rb"\$([ -#%%-)+-~]{1,%d})\*([0-9A-Fa-f]{2})" % MAX_SENTENCE)
_BEGINNING = re.compile(rb"\$[ -#%%-)+-~]{0,%d}(?:\*[0-9A-Fa-f]?)?\Z" % MAX_SENTENCE)
# Lines of a log that a receiver without checksums wrote: whole, ended, of the kinds that matter.
_UNSEALED = re.compile(
    rb"\$([A-Z]{2}(?:RMC(?:,[ -)+-~]*?){8,13}|GGA(?:,[ -)+-~]*?){11,14}|GLL(?:,[ -)+-~]*?){5,7}))"
    rb"[\r\n]"
)
_START = re.compile(rb"\$|\xb5(?:\x62|\Z)")


@dataclass(frozen=True, slots=True)
class Sentence:
    """What stood between `$` and `*`, and the stamp of the bytes in which its `$` arrived."""

    body: str
    at: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A UBX frame: class, identifier, payload, and the stamp of its first byte."""

    class_id: int
    message_id: int
    payload: bytes
    at: int


class LineReader:
    """Cuts a stream of bytes into sentences and frames; any split of it gives the same.

    A sentence is `$`, printable characters, `*` and the XOR of those characters as two hex digits.
    A frame is B5 62, class, identifier, length (little endian), payload and Fletcher's sum.
    What does not continue as one of them is dropped, and reading goes on behind its first byte.
    Holds back at most the beginning of one frame. `unsealed`: take RMC, GGA and GLL that have no
    checksum as well, for logs in which none has.
    """

    def __init__(self, *, unsealed: bool = False) -> None:
        self.read = 0
        """Sentences and frames with the right checksum."""
        self.rejected = 0
        """Beginnings that none followed: noise, wrong or missing checksum, too long."""
        self._held = b""
        self._held_at = 0
        self._unsealed = unsealed

    def reset(self) -> None:
        """Forget the beginning that was held back; the counters stay."""
        self._held = b""

    def feed(self, data: bytes, at: int) -> list[Sentence | Frame]:
        """What ends in `data`. `at` is the caller's stamp of these bytes."""
        text = self._held + data
        old = len(self._held)
        found: list[Sentence | Frame] = []
        self._held = b""
        start = _START.search(text)
        while start is not None:
            begin = start.start()
            stamp = self._held_at if begin < old else at
            taken = (
                self._sentence(text, begin, stamp, found)
                if text[begin] == 0x24
                else self._frame(text, begin, stamp, found)
            )
            if taken == 0:
                self._held, self._held_at = text[begin:], stamp
                break
            start = _START.search(text, begin + taken)
        return found

    def quiet(self) -> list[Sentence | Frame]:
        """The line is quiet: what hid behind noise that looked like the beginning of a frame.

        Where whole sentences stand behind it, it was none.
        """
        if self._held[:1] != b"\xb5" or not any(
            _sealed(match) for match in _SENTENCE.finditer(self._held)
        ):
            return []
        self.rejected += 1
        rest, self._held = self._held[1:], b""
        return [*self.feed(rest, self._held_at), *self.quiet()]

    def _sentence(self, text: bytes, begin: int, at: int, found: list[Sentence | Frame]) -> int:
        """How many bytes are done with; 0 where more must come."""
        match = _SENTENCE.match(text, begin)
        if match is None and self._unsealed:
            match = _UNSEALED.match(text, begin)
        if match is not None and (match.lastindex == 1 or _sealed(match)):
            self.read += 1
            found.append(Sentence(match[1].decode("ascii"), at))
            return match.end() - begin
        if match is None and _BEGINNING.match(text, begin):
            return 0
        self.rejected += 1
        return 1

    def _frame(self, text: bytes, begin: int, at: int, found: list[Sentence | Frame]) -> int:
        """As `_sentence`."""
        there = len(text) - begin
        if there < 6:
            return 0
        length = int.from_bytes(text[begin + 4 : begin + 6], "little")
        if length <= MAX_PAYLOAD:
            if there < length + 8:
                return 0
            frame = text[begin : begin + length + 8]
            if fletcher(frame[2:-2]) == frame[-2:]:
                self.read += 1
                found.append(Frame(frame[2], frame[3], frame[6:-2], at))
                return len(frame)
        self.rejected += 1
        return 1


def _sealed(match: re.Match[bytes]) -> bool:
    return reduce(xor, match[1]) == int(match[2], 16)


def fletcher(covered: bytes) -> bytes:
    """The two check bytes of a UBX frame over class, identifier, length and payload (RFC 1145)."""
    a = b = 0
    for byte in covered:
        a = (a + byte) & 0xFF
        b = (b + a) & 0xFF
    return bytes((a, b))
