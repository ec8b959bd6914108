"""Tells the far end with the first message of a connection what was thinned in history to come.

Other accounts of drops go first themselves. Those of thinned rows are as many as there are holes,
so they travel with what is left of the rows; that there are some, where and how many, goes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.store.rows import Drop


class Source(Protocol):
    """Where it is known how much was thinned."""

    def thinned(self, epoch: str) -> list[Drop]: ...


class Foretelling:
    """Remembers which epochs were told of on which connection."""

    def __init__(self) -> None:
        self._generation: int | None = None
        self._told: set[str] = set()

    def due(self, generation: int | None, epoch: str, source: Source) -> Sequence[Drop]:
        """What the next message of `epoch` is to tell; empty where it was told."""
        if generation != self._generation:
            self._generation = generation
            self._told.clear()
        return () if epoch in self._told else source.thinned(epoch)

    def told(self, epoch: str) -> None:
        """A message that tells it is made; it will be sent until it is acknowledged."""
        self._told.add(epoch)
