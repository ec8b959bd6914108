"""Tells the far end with the first message of a connection what it cannot learn from the rows.

What was thinned in history to come: other accounts of drops go first themselves. Those of thinned
rows are as many as there are holes, so they travel with what is left of the rows; that there are
some, where and how many, goes first.

And up to which number nothing waits any more: a far end whose books have a gap below it, because
they are an older copy, learns so that nobody has these records but whoever acknowledged them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from agent.store.rows import Drop

AGAIN_S = 300.0
"""A far end may be put back while the connection to its broker stands."""


class Foretold(NamedTuple):
    """`settled`: all up to this seq is acknowledged, accounts of drops too; 0: not told."""

    thinned: Sequence[Drop] = ()
    settled: int = 0


NOTHING = Foretold()


class Source(Protocol):
    """Where it is known how much was thinned, and what is settled."""

    def thinned(self, epoch: str) -> list[Drop]: ...
    def settled(self, epoch: str) -> int: ...


class Foretelling:
    """Remembers which epochs were told of on which connection, and when. `now` is in seconds."""

    def __init__(self) -> None:
        self._generation: int | None = None
        self._told: dict[str, float] = {}

    def due(self, generation: int | None, epoch: str, source: Source, now: float) -> Foretold:
        """What the next message of `epoch` is to tell; NOTHING where it was told."""
        if generation != self._generation:
            self._generation = generation
            self._told.clear()
        told_at = self._told.get(epoch)
        if told_at is not None and now - told_at < AGAIN_S:
            return NOTHING
        return Foretold(source.thinned(epoch), source.settled(epoch))

    def told(self, epoch: str, now: float) -> None:
        """A message is made; had it something to tell, that is sent until it is acknowledged."""
        told_at = self._told.get(epoch)
        if told_at is None or now - told_at >= AGAIN_S:
            self._told[epoch] = now
