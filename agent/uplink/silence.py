"""Whom a missing ack speaks against: one message, all of its class, or the far end. Pure.

An ack of what went out later than a message speaks against that message. Where nothing of a class
has been acknowledged since, the class is mute, or the whole far end: then one message at a time is
repeated, with growing pauses, and nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from agent.record import StorageClass
from agent.uplink.flight import STRIKES, Flight

MAX_TIMEOUT_S = 60.0
MAX_EXTRA = 3
"""Messages beyond the window while it holds nothing but mute ones: one of them may get through."""
QUICK_PARTS, MAX_PARTS = 16, 64
"""Pieces of what was never acknowledged, while nothing else of their class is acknowledged either:
the first in quick succession, for a message of 2,500 records has a single one among so many, each
half the size of the last."""

Group = StorageClass | None
"""What is mute together: a class while others are heard of, None for all of them."""


class Silence:
    """`now` is in seconds of one monotonic clock. `last_ack_at`: of any class, None before one."""

    def __init__(self, ack_timeout_s: float) -> None:
        self._ack_timeout_s = ack_timeout_s
        self._heard_at: dict[StorageClass, float] = {}
        self._first_sent_at: dict[StorageClass, float] = {}
        self._rounds: dict[Group, int] = {}
        self._probe_at: dict[Group, float] = {}
        self.last_ack_at: float | None = None

    def heard(self, classes: Collection[StorageClass], whole: Iterable[Flight], now: float) -> None:
        """An ack came. `classes`: what it is about, empty where nobody can tell; `whole`: messages
        that are done by it."""
        self.last_ack_at = now
        for storage_class in classes or StorageClass:
            self._heard_at[storage_class] = now
            self._end(storage_class)
        self._end(None)
        for flight in whole:
            before = self._first_sent_at.get(flight.storage_class, float("-inf"))
            if flight.first_sent_at is not None:
                self._first_sent_at[flight.storage_class] = max(before, flight.first_sent_at)

    def mute(self, flight: Flight) -> bool:
        """Whether nothing of its class was acknowledged since it went out."""
        assert flight.sent_at is not None
        return self._heard_at.get(flight.storage_class, float("-inf")) < flight.sent_at

    def proves(self, flight: Flight) -> bool:
        """Whether something of its class is acknowledged that went out after it for the first time.

        Acks that come late and in order, as through a slow far end, prove nothing.
        """
        assert flight.sent_at is not None
        return self._first_sent_at.get(flight.storage_class, float("-inf")) > flight.sent_at

    def group(self, flight: Flight) -> Group:
        """With whom it is mute."""
        assert flight.sent_at is not None
        others = self.last_ack_at is not None and self.last_ack_at >= flight.sent_at
        return flight.storage_class if others else None

    def is_mute(self, storage_class: StorageClass) -> bool:
        """Whether a class has been mute for long while others were heard of."""
        return self._rounds.get(storage_class, 0) >= STRIKES

    def extra(self) -> int:
        """Messages that may go beyond the window."""
        return min(MAX_EXTRA, max(self._rounds.values(), default=0) // STRIKES)

    def probed(self, flight: Flight, now: float) -> None:
        """A mute message goes out again."""
        group = self.group(flight)
        self._rounds[group] = self._rounds.get(group, 0) + 1
        self._probe_at[group] = now + self._doubled_s(self._rounds[group])

    def parted(self, flight: Flight, now: float) -> None:
        """It went out in two pieces instead: half the bytes each, so the next may be soon."""
        self._probe_at[self.group(flight)] = now + self._ack_timeout_s

    def timeout_at(self, flight: Flight) -> float:
        """When a message that the broker confirmed is late."""
        assert flight.confirmed_at is not None
        late_at = flight.confirmed_at + self._doubled_s(flight.repeats)
        if not self.mute(flight):
            return late_at
        return max(late_at, self._probe_at.get(self.group(flight), late_at))

    def late(self, flights: Iterable[Flight], now: float) -> list[Flight]:
        """What is to go out again: all that is late, and one of what is mute together."""
        late = [f for f in flights if f.confirmed_at is not None and now >= self.timeout_at(f)]
        found = [f for f in late if not self.mute(f)]
        mute: dict[Group, list[Flight]] = {}
        for flight in late:
            if self.mute(flight):
                mute.setdefault(self.group(flight), []).append(flight)
        return found + [min(members, key=_probe_order) for members in mute.values()]

    def _doubled_s(self, doublings: int) -> float:
        longest = max(MAX_TIMEOUT_S, self._ack_timeout_s)
        return min(longest, self._ack_timeout_s * float(1 << min(10, doublings)))

    def _end(self, group: Group) -> None:
        self._rounds.pop(group, None)
        self._probe_at.pop(group, None)


def _probe_order(flight: Flight) -> tuple[float, ...]:
    """The smallest piece that can be parted first, then whatever has been waiting longest."""
    piece = flight.cargo.silences > 0 and flight.cargo.n > 1
    return (0, flight.cargo.n) if piece else (1, flight.sent_at or 0.0, flight.number)
