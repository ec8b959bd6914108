"""Reads again only what differs from the message before: changes are mostly small."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.spn import TEXTS, Reading


class Rereading:
    """`Pgn.read` for messages of one sender that follow one another.

    Only for parameter groups where each reading stands for a field of its own; others, with texts,
    multiplexers or signals made of the whole message, are read whole.
    """

    def __init__(self, pgn: Pgn) -> None:
        self._pgn = pgn
        plain = type(pgn).read is Pgn.read and all(spn.shape not in TEXTS for spn in pgn.spns)
        # Flat tuples, because this is walked for each changed frame of the bus.
        self._fields = [
            (spn, spn.first_bit, (1 << spn.bits) - 1, ((1 << spn.bits) - 1) << spn.first_bit)
            for spn in (pgn.spns if plain else ())
        ]

    def read(self, payload: bytes, before: bytes, readings: Sequence[Reading]) -> list[Reading]:
        """The readings of `payload`, where `readings` are those of `before`.

        Those of unchanged fields are the same objects.
        """
        fields = self._fields
        if not fields or len(payload) != len(before) or len(readings) != len(fields):
            return self._pgn.read(payload)
        word = int.from_bytes(payload, "little")
        differs = word ^ int.from_bytes(before, "little")
        return [
            spn.read(word >> first & mask) if differs & field else old
            for (spn, first, mask, field), old in zip(fields, readings, strict=True)
        ]
