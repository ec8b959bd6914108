"""A small model of a UART: what a receiver's bytes look like when they are read at another rate."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator


def edges(data: bytes, rate: int, gap_bits: int = 1) -> list[float]:
    """The times (s) at which the line changes, idle high first: start bit, 8 bits, stop bit."""
    level, at, found = 1, 0.01, []
    for byte in data:
        bits = [0, *((byte >> i) & 1 for i in range(8)), *[1] * gap_bits]
        for bit in bits:
            if bit != level:
                found.append(at)
                level = bit
            at += 1 / rate
    return found


def heard(data: bytes, sent_at: int, read_at: int) -> bytes:
    """What a UART set to `read_at` baud makes of `data` sent at `sent_at` baud."""
    return bytes(_bytes(edges(data, sent_at), read_at))


def _bytes(changes: list[float], rate: int) -> Iterator[int]:
    bit_s, at = 1 / rate, 0.0
    while True:
        # A byte begins at the next falling edge; even numbers of changes fall.
        number = bisect_right(changes, at)
        number += number % 2
        if number >= len(changes):
            return
        begin = changes[number]
        samples = [bisect_right(changes, begin + (i + 1.5) * bit_s) % 2 == 0 for i in range(8)]
        yield sum(1 << i for i, high in enumerate(samples) if high)
        at = begin + 9.5 * bit_s
