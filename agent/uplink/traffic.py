"""What went over the air: bytes per class, per day and per month. Pure: the clock is an argument.

A day and a month are UTC. While the clock is unknown bytes are `undated`: they count against the
last known month, and go to the day on which the clock is known again. Where no clock is ever known
a month is 31 days of powered-on time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

CLASSES = ("alarm", "live", "history", "bulk", "overhead")
"""Overhead is all that is no message of a class: acks, TLS, TCP/IP headers, what came down."""
KEPT_DAYS, KEPT_MONTHS = 31, 13
UNDATED_MONTH_S = 31 * 86_400.0

Count = list[int]
"""Bytes in the order of CLASSES."""


class Day(msgspec.Struct, array_like=True):
    """Of a day, a month or the undated time. `metered` counts against the budget."""

    metered: Count
    unmetered: Count

    def add(self, other: Day) -> None:
        """Take over what another one counted."""
        self.metered = [a + b for a, b in zip(self.metered, other.metered, strict=True)]
        self.unmetered = [a + b for a, b in zip(self.unmetered, other.unmetered, strict=True)]


def nothing() -> Day:
    """No bytes yet."""
    return Day([0] * len(CLASSES), [0] * len(CLASSES))


class Counted(msgspec.Struct, array_like=True):
    """All that must survive a restart. `owed`: handed to the kernel and not yet seen on the wire.

    `days`: "2027-01-31" -> bytes, `months`: "2027-01" -> bytes. `month`: the last known one, "" for
    none. `undated_s`: powered-on seconds without a clock since then. `since_ms`: UTC at which this
    month was first counted, 0 while unknown.
    """

    days: dict[str, Day] = {}
    months: dict[str, Day] = {}
    month: str = ""
    undated: Day = msgspec.field(default_factory=nothing)
    undated_s: float = 0.0
    owed: int = 0
    since_ms: int = 0

    @property
    def sound(self) -> bool:
        """Whether every count has a number for each class: another version may have had more."""
        counts = [*self.days.values(), *self.months.values(), self.undated]
        return all(len(c.metered) == len(c.unmetered) == len(CLASSES) for c in counts)


class Traffic:
    """Adds up. `utc_ms`: the time of a call by the best clock of this boot, None while unknown."""

    def __init__(self, counted: Counted | None = None) -> None:
        """`counted`: what an earlier life kept. What it owed counts as sent: nobody can tell."""
        self.counted = counted if counted is not None else Counted()
        if self.counted.owed:
            owed = nothing()
            owed.metered[-1] = self.counted.owed
            self.counted.undated.add(owed)
            self.counted.owed = 0

    def passed(self, seconds: float, utc_ms: int | None) -> None:
        """Powered-on time went by."""
        counted = self.counted
        if utc_ms is not None:
            self._dated(utc_ms)
            return
        counted.undated_s += max(0.0, seconds)
        if counted.undated_s >= UNDATED_MONTH_S:
            # A month is over by the only clock there is.
            counted.months.setdefault(counted.month or "undated", nothing()).add(counted.undated)
            counted.month, counted.undated, counted.undated_s = "", nothing(), 0.0

    def add(self, storage_class: str, nbytes: int, *, metered: bool, utc_ms: int | None) -> None:
        """Count bytes of one of CLASSES."""
        count = nothing()
        (count.metered if metered else count.unmetered)[CLASSES.index(storage_class)] = nbytes
        if utc_ms is None:
            self.counted.undated.add(count)
            return
        day = self._dated(utc_ms)
        self.counted.days.setdefault(day, nothing()).add(count)
        self.counted.months.setdefault(day[:7], nothing()).add(count)

    def this_month(self) -> Day:
        """All that counts against the budget of this month, and what passed beside it."""
        month = nothing()
        month.add(self.counted.months.get(self.counted.month, nothing()))
        month.add(self.counted.undated)
        return month

    def spent(self) -> int:
        """Metered bytes of this month."""
        return sum(self.this_month().metered)

    def _dated(self, utc_ms: int) -> str:
        """The day of a moment. What was undated happened today, as far as anybody knows.

        A clock that goes back was wrong before: what it put into the future happened today too.
        """
        counted = self.counted
        day = _day(utc_ms)
        month = day[:7]
        if month != counted.month or not 0 < counted.since_ms <= utc_ms:
            counted.since_ms = _since(counted, utc_ms, month)
        if any(counted.undated.metered) or any(counted.undated.unmetered):
            counted.days.setdefault(day, nothing()).add(counted.undated)
            counted.months.setdefault(month, nothing()).add(counted.undated)
            counted.undated = nothing()
        counted.undated_s = 0.0
        _move(counted.days, day)
        _move(counted.months, month)
        counted.month = month
        _forget(counted.days, KEPT_DAYS)
        _forget(counted.months, KEPT_MONTHS)
        return day


def _since(counted: Counted, utc_ms: int, month: str) -> int:
    """When a month was first counted. What an earlier version wrote knows its days alone."""
    first = min((day for day in counted.days if day[:7] == month), default=None)
    if first is not None and first <= _day(utc_ms):
        return _utc_ms(first)
    return max(_utc_ms(f"{month}-01"), utc_ms - round(1000 * counted.undated_s))


def _day(utc_ms: int) -> str:
    return datetime.fromtimestamp(utc_ms / 1000, UTC).date().isoformat()


def _utc_ms(day: str) -> int:
    return round(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


def _move(counts: dict[str, Day], today: str) -> None:
    for key in [key for key in counts if key > today and key != "undated"]:
        counts.setdefault(today, nothing()).add(counts.pop(key))


def _forget(counts: dict[str, Day], kept: int) -> None:
    for key in sorted(counts)[:-kept]:
        del counts[key]


def by_class(count: Count) -> Mapping[str, int]:
    """A count with its names, and the sum as `total`."""
    return {**dict(zip(CLASSES, count, strict=True)), "total": sum(count)}


class Meter:
    """Which class the bytes on the wire belong to: in the order in which they were handed over.

    What is on the wire beyond the messages is overhead.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[str, int]] = []

    @property
    def owed(self) -> int:
        """Bytes that were handed over and were not seen on the wire yet."""
        return sum(nbytes for _, nbytes in self._pending)

    def handed(self, storage_class: str, nbytes: int) -> None:
        """A message was handed to the connection."""
        self._pending.append((storage_class, nbytes))

    def seen(self, up_bytes: int) -> Mapping[str, int]:
        """So many bytes more went up: class -> bytes."""
        found = dict.fromkeys(CLASSES, 0)
        while up_bytes and self._pending:
            storage_class, nbytes = self._pending[0]
            part = min(up_bytes, nbytes)
            found[storage_class] += part
            up_bytes -= part
            if part == nbytes:
                del self._pending[0]
            else:
                self._pending[0] = (storage_class, nbytes - part)
        found["overhead"] += up_bytes
        return found

    def ended(self) -> None:
        """The connection is no more: what was not sent will not be."""
        self._pending.clear()
