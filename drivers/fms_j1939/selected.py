"""A message that holds other parameters by what a selector in it says: multiplexed, as in a DBC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.spn import TEXTS, Reading, Spn


class Selected(Pgn):
    """A parameter group with a selector.

    `selector`: its first bit from 0 and its number of bits. `when`: the values of the selector with
    which a parameter is there, by path; those without are always there.
    """

    def __init__(
        self,
        number: int,
        name: str,
        *spns: Spn,
        selector: tuple[int, int],
        when: Mapping[str, frozenset[int]],
        **rest: Any,
    ) -> None:
        super().__init__(number, name, *spns, **rest)
        self._first, bits = selector
        self._mask = (1 << bits) - 1
        self._end = self._first + bits
        self._when = when
        self._fields = [spn for spn in spns if spn.shape not in TEXTS]

    def key(self, payload: bytes) -> int:
        """The selector; 0 where the message is too short for it."""
        if len(payload) * 8 < self._end:
            return 0
        return int.from_bytes(payload, "little") >> self._first & self._mask

    def details(self, payload: bytes) -> dict[str, int]:
        """`selector`."""
        return {"selector": self.key(payload)}

    def read(self, payload: bytes) -> list[Reading]:
        """The readings of what the selector says is there."""
        word, have, key = int.from_bytes(payload, "little"), len(payload) * 8, self.key(payload)
        whole = have >= self._end
        return [
            spn.read(word >> spn.first_bit & (1 << spn.bits) - 1)
            for spn in self._fields
            if spn.first_bit + spn.bits <= have
            and ((known := self._when.get(spn.path)) is None or (whole and key in known))
        ]
