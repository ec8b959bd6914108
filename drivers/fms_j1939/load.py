"""How busy a bus is: frames a second, and the share of its time that they take. Pure."""

from __future__ import annotations

from typing import NamedTuple

# A frame with a 29-bit identifier, without stuffing: SOF 1, identifier 29, SRR, IDE, RTR and two
# reserved bits 5, length 4, CRC 15 and 8 bits a byte; these 54 + 8 n can be stuffed. CRC delimiter,
# acknowledgement 2, end 7 and the pause of 3 cannot: 13. ISO 11898-1.
_STUFFED_BITS, _BARE_BITS = 54, 13

# Bits that are as good as random get one stuff bit in 31: a run of five equal ones comes after
# 2**5 - 1 bits. It makes 250 kbit/s some 1,850 frames of 8 bytes. Payloads of 0xFF have up to
# 10 % more.
_STUFFING = 32 / 31

_MIN_WINDOW_MS = 1_000


def wire_bits(frames: int, payload_bytes: int) -> float:
    """Bits that take so many frames with 29-bit identifiers, which hold so many bytes together."""
    return frames * (_BARE_BITS + _STUFFED_BITS * _STUFFING) + payload_bytes * 8 * _STUFFING


class Traffic(NamedTuple):
    """Running counts of what a bus carried, as they were at `at_ms`."""

    frames: int
    payload_bytes: int
    at_ms: int


class Meter:
    """Rates from two running counts, over at least a second.

    `frames_per_s` and `load_percent` (of `bitrate`) are None until then, and where nobody counts:
    then `counted` is False.
    """

    def __init__(self, bitrate: int) -> None:
        self.frames_per_s: int | None = None
        self.load_percent: float | None = None
        self._bitrate = bitrate
        self._last: Traffic | None = None

    @property
    def counted(self) -> bool:
        """Whether the last `see` had counts."""
        return self._last is not None

    def see(self, now: Traffic | None) -> None:
        """Take the counts, None where nobody counts. Counts that went back begin anew."""
        then = self._last
        if now is None:
            self.frames_per_s = self.load_percent = self._last = None
            return
        if then is None or now.frames < then.frames or now.payload_bytes < then.payload_bytes:
            self._last = now
            return
        span_ms = now.at_ms - then.at_ms
        if span_ms < _MIN_WINDOW_MS:
            return
        self._last = now
        count = now.frames - then.frames
        self.frames_per_s = min(round(count * 1000 / span_ms), 0xFFFFFFFF)
        bits = wire_bits(count, now.payload_bytes - then.payload_bytes)
        self.load_percent = round(bits * 1e5 / (span_ms * self._bitrate), 1)
