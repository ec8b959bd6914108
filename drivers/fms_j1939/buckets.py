"""Rations of statements: a few at once, then one in a while."""

from __future__ import annotations


class Bucket:
    """`size` at once, one more each `refill_ms`; time comes with the calls."""

    __slots__ = ("_at_ms", "_left", "_refill_ms", "_size")

    def __init__(self, size: int, refill_ms: int) -> None:
        self._size = self._left = size
        self._refill_ms = refill_ms
        self._at_ms = 0

    def take(self, at_ms: int) -> bool:
        """Whether one more may be stated at `at_ms`; it then counts as stated."""
        if not self.ready(at_ms):
            return False
        if self._left == self._size:
            self._at_ms = at_ms
        self._left -= 1
        return True

    def ready(self, at_ms: int) -> bool:
        """Whether `take` would say yes."""
        gained = max(0, at_ms - self._at_ms) // self._refill_ms
        if gained and self._left < self._size:
            self._left = min(self._size, self._left + gained)
            self._at_ms += gained * self._refill_ms
        return self._left > 0
