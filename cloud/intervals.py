"""A set of seq as disjoint, never touching, inclusive intervals: what arrived, what is missing.

The size is that of the gaps, not of the numbers: a vehicle without losses is one interval for ever.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Range(NamedTuple):
    """The numbers `first` to `last`, both included."""

    first: int
    last: int


class Growth(NamedTuple):
    """What `add` did: the intervals in `absorbed` are now part of `merged`."""

    absorbed: list[Range]
    merged: Range


class IntervalSet:
    """Numbers as sorted intervals; every query is a bisection."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> Growth | None:
        """Adds `first` to `last`; None if all of them were there. ValueError if first > last."""
        if first > last:
            raise ValueError(f"{first}..{last} is not a range")
        # Intervals that overlap or touch: from the first that ends at first - 1 or later, up to
        # the last that begins at last + 1 or earlier.
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        absorbed = [
            Range(a, b) for a, b in zip(self._firsts[low:high], self._lasts[low:high], strict=True)
        ]
        if absorbed:
            if absorbed[0].first <= first and last <= absorbed[0].last:
                return None
            first = min(first, absorbed[0].first)
            last = max(last, absorbed[-1].last)
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]
        return Growth(absorbed, Range(first, last))

    def covers(self, first: int, last: int) -> bool:
        """Whether all of `first` to `last` are in the set."""
        at = bisect_right(self._firsts, first) - 1
        return at >= 0 and last <= self._lasts[at]

    def overlaps(self, first: int, last: int) -> bool:
        """Whether any of `first` to `last` is in the set."""
        at = bisect_right(self._firsts, last) - 1
        return at >= 0 and first <= self._lasts[at]

    def gaps(self, since: int = 1) -> list[Range]:
        """The intervals that are missing between `since` and the largest number of the set."""
        missing = []
        for first, last in self:
            if first > since:
                missing.append(Range(since, first - 1))
            since = max(since, last + 1)
        return missing

    def within(self, first: int, last: int) -> list[Range]:
        """The intervals of `first` to `last` that are missing."""
        missing, since = [], first
        for at in range(bisect_left(self._lasts, first), len(self._firsts)):
            if self._firsts[at] > last:
                break
            if self._firsts[at] > since:
                missing.append(Range(since, self._firsts[at] - 1))
            since = self._lasts[at] + 1
        if since <= last:
            missing.append(Range(since, last))
        return missing

    def __iter__(self) -> Iterator[Range]:
        return map(Range, self._firsts, self._lasts)

    def __len__(self) -> int:
        return len(self._firsts)


def coalesced(numbers: Iterable[int]) -> list[Range]:
    """Numbers in any order, none twice, as ascending runs. ValueError names one that is twice."""
    runs: list[Range] = []
    first = previous = None
    for number in sorted(numbers):
        if first is None or previous is None:
            first = number
        elif number == previous:
            raise ValueError(f"seq {number} is stated twice")
        elif number != previous + 1:
            runs.append(Range(first, previous))
            first = number
        previous = number
    if first is not None and previous is not None:
        runs.append(Range(first, previous))
    return runs


def merged(ranges: Iterable[tuple[int, int]]) -> list[Range]:
    """Ranges in any order, which may overlap, as the fewest ascending ranges."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1].last + 1:
            found[-1] = Range(found[-1].first, max(last, found[-1].last))
        else:
            found.append(Range(first, last))
    return found
