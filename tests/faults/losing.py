"""A line on which some batches are confirmed in the broker's place, and lost."""

from __future__ import annotations

import random

from tests.faults.liar import Line, Packet, puback


class Losing:
    """A rule for what goes up: loses a `share` of the batches, drawn from a seed."""

    def __init__(self, seed: int, share: float) -> None:
        self._draw = random.Random(seed)
        self._share = share
        self.lost = 0

    def __call__(self, one: Packet, line: Line) -> bytes | None:
        """Nothing is passed on of what is lost; the sender is told that it arrived."""
        if one.batch and self._draw.random() < self._share:
            self.lost += 1
            line.answer(puback(one.mid))
            return None
        return one.raw
