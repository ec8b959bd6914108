"""Bytes of a serial line -> NMEA 0183 sentences whose checksum is right. Pure, bounded, total."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce
from operator import xor

# The standard allows 82 characters. Receivers exceed that: GSA with 24 satellites, positions with
# seven decimals, proprietary sentences.
MAX_SENTENCE = 250

_SENTENCE = re.compile(rb"\$([ -#%%-)+-~]{1,%d})\*([0-9A-Fa-f]{2})" % MAX_SENTENCE)
_BEGINNING = re.compile(rb"\$[ -#%%-)+-~]{0,%d}(?:\*[0-9A-Fa-f]?)?\Z" % MAX_SENTENCE)


@dataclass(frozen=True, slots=True)
class Sentence:
    """What stood between `$` and `*`, and the stamp of the bytes in which its `$` arrived."""

    body: str
    at: int


class SentenceReader:
    """Cuts a stream of bytes into sentences; however the stream was split, the result is the same.

    A sentence is `$`, printable characters, `*` and the XOR of those characters as two hex digits.
    Each `$` stands for itself: what does not continue as a sentence is dropped, and reading goes on
    at the next `$`. Holds back at most the beginning of one sentence.
    """

    def __init__(self) -> None:
        self.read = 0
        """Sentences with the right checksum."""
        self.rejected = 0
        """`$` signs that no such sentence followed: noise, wrong or missing checksum, too long."""
        self._held = b""
        self._held_at = 0

    def reset(self) -> None:
        """Forget the beginning of a sentence that was held back; the counters stay."""
        self._held = b""

    def feed(self, data: bytes, at: int) -> list[Sentence]:
        """The sentences that end in `data`. `at` is the caller's stamp of these bytes."""
        text = self._held + data
        old = len(self._held)
        sentences: list[Sentence] = []
        self._held = b""
        start = text.find(b"$")
        while start >= 0:
            stamp = self._held_at if start < old else at
            following = text.find(b"$", start + 1)
            match = _SENTENCE.match(text, start)
            if match and reduce(xor, match[1]) == int(match[2], 16):
                self.read += 1
                sentences.append(Sentence(match[1].decode("ascii"), stamp))
            elif match is None and _BEGINNING.match(text, start):
                self._held, self._held_at = text[start:], stamp
            else:
                self.rejected += 1
            start = following
        return sentences
