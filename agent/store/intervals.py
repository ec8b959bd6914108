"""A set of integers as sorted intervals: which sequence numbers were acknowledged or found."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from agent.store.rows import Range


class IntervalSet:
    """Disjoint closed intervals that do not touch each other, in order."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __iter__(self) -> Iterator[Range]:
        return map(Range, self._starts, self._ends)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def copy(self) -> IntervalSet:
        """An independent copy."""
        other = IntervalSet()
        other._starts = self._starts.copy()
        other._ends = self._ends.copy()
        return other

    def add(self, first: int, last: int) -> None:
        """Add `first`..`last`."""
        low = bisect_left(self._ends, first - 1)
        high = bisect_right(self._starts, last + 1)
        if low < high:
            first = min(first, self._starts[low])
            last = max(last, self._ends[high - 1])
        self._starts[low:high] = [first]
        self._ends[low:high] = [last]

    def remove(self, first: int, last: int) -> None:
        """Take `first`..`last` out."""
        low = bisect_left(self._ends, first)
        high = bisect_right(self._starts, last)
        if low >= high:
            return
        starts, ends = [], []
        if self._starts[low] < first:
            starts.append(self._starts[low])
            ends.append(first - 1)
        if self._ends[high - 1] > last:
            starts.append(last + 1)
            ends.append(self._ends[high - 1])
        self._starts[low:high] = starts
        self._ends[low:high] = ends

    def covers(self, first: int, last: int) -> bool:
        """Whether all of `first`..`last` is in the set."""
        at = bisect_right(self._starts, first) - 1
        return at >= 0 and self._ends[at] >= last

    def gaps(self, first: int, last: int) -> Iterator[Range]:
        """The parts of `first`..`last` that are not in the set, in order."""
        at = bisect_left(self._ends, first)
        while first <= last and at < len(self._starts) and self._starts[at] <= last:
            if self._starts[at] > first:
                yield Range(first, self._starts[at] - 1)
            first = self._ends[at] + 1
            at += 1
        if first <= last:
            yield Range(first, last)
