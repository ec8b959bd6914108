"""Commits whose outcome nobody knows: a failed fsync may or may not have written them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.store.transaction import Transaction


class Once:
    """The key of work that nobody will ask for again."""


@dataclass(slots=True)
class Doubt:
    """One of them; `key` is the object that says whose, `tx.books` hold if it happened."""

    key: object
    tx: Transaction
    result: Any


class Doubts:
    """At most one commit in doubt, and at most one that happened and was not asked for yet."""

    def __init__(self) -> None:
        self.open: Doubt | None = None
        self._late: Doubt | None = None

    def expected(self) -> str:
        """The token that the file has if the commit in doubt happened; empty where none is."""
        return self.open.tx.state.token if self.open else ""

    def resolve(self, key: object) -> Doubt | None:
        """What was in doubt has happened: returned if it was `key`'s, else kept until asked for."""
        doubt, self.open = self.open, None
        if doubt is None or doubt.key is key:
            return doubt
        if not isinstance(doubt.key, Once):
            self._late = doubt
        return None

    def asked(self, key: object) -> Doubt | None:
        """An earlier try of `key` that happened before other work came; forgets it."""
        if self._late is None or self._late.key is not key:
            return None
        late, self._late = self._late, None
        return late
