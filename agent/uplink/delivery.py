"""What was sent and what is acknowledged in this life. Pure: the time is an argument.

The broker's confirmation (PUBACK) is not delivery; only the application's ack is. An ack names
ranges of seq and may be late, partial, repeated, out of order or about nothing we sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from agent.record import StorageClass
from agent.store.intervals import IntervalSet
from agent.store.rows import Drop, Range, RowHead
from agent.uplink.flight import STRIKES, Cargo, Flight, rows_of
from agent.uplink.silence import Silence

MAX_SUSPECTS = 20
MAX_PIECES, MAX_UNHEARD = 20, 40
"""Of what is never acknowledged: pieces that are under way at once, and all that has no place."""
SUSPECT_CUT_S = 5.0
"""A cut later than this after a message was sent is not blamed on the message."""


class Delivery:
    """The messages in flight, and the interval sets that say what they achieved."""

    def __init__(self, ack_timeout_s: float) -> None:
        self.silence = Silence(ack_timeout_s)
        self._flights: dict[int, Flight] = {}
        self._sent: dict[str, IntervalSet] = {}
        self._told: dict[str, IntervalSet] = {}
        self._acked: dict[str, IntervalSet] = {}
        self._given_up: set[RowHead] = set()
        self._number = 0
        self.duplicates = 0

    # --- what is where -----------------------------------------------------------------------

    @property
    def flights(self) -> Collection[Flight]:
        """All messages in flight, oldest first."""
        return self._flights.values()

    @property
    def unconfirmed(self) -> list[Flight]:
        """Messages that the broker has not answered on this connection, oldest first."""
        return [flight for flight in self._flights.values() if flight.unconfirmed]

    @property
    def last_ack_at(self) -> float | None:
        """When the far end was heard of last, None before the first ack."""
        return self.silence.last_ack_at

    @property
    def in_flight(self) -> int:
        """Messages that have a place in the window.

        Some have none, up to a number: suspects wait for their turn to go alone, and a few records
        that a broker or the far end does not take must not keep all others waiting.
        """
        suspects = sum(flight.suspect for flight in self._flights.values())
        without = min(suspects, MAX_SUSPECTS) + min(self.unheard, MAX_UNHEARD)
        return max(0, len(self._flights) - without - self.silence.extra())

    @property
    def unheard(self) -> int:
        """Messages without a place since the far end does not acknowledge what it could."""
        return sum(
            not flight.suspect
            and (
                flight.silences >= STRIKES - 1
                or flight.cargo.silences > 0
                or flight.cargo.aside
                or self.silence.is_mute(flight.storage_class)
            )
            for flight in self._flights.values()
        )

    def count(self, storage_class: StorageClass) -> int:
        """Whole messages of a class in flight, beyond those that may go without a place."""
        whole = sum(
            flight.storage_class is storage_class
            and not (flight.cargo.silences or flight.cargo.aside or flight.suspect)
            for flight in self._flights.values()
        )
        return max(0, whole - self.silence.extra())

    @property
    def unconfirmed_bytes(self) -> int:
        """Their payloads in all."""
        return sum(len(flight.payload) for flight in self.unconfirmed)

    def acknowledged(self, epoch: str, first: int, last: int) -> bool:
        """Whether all of a range is acknowledged, whether or not it is deleted by now."""
        acked = self._acked.get(epoch)
        return acked is not None and acked.covers(first, last)

    def has_arrived(self, cargo: Cargo) -> bool:
        """Whether all that a cargo carries is acknowledged."""
        return all(self.acknowledged(cargo.epoch, *run) for run in cargo.runs)

    def open_rows(self, heads: Iterable[RowHead], waiting: Iterable[Cargo]) -> list[RowHead]:
        """Those rows that nobody carries, acknowledged or gave up. `waiting`: cargo to be sent."""
        busy = set(rows_of(flight.cargo for flight in self._flights.values()))
        busy.update(rows_of(waiting))
        return [
            head
            for head in heads
            if (head.epoch, head.first) not in busy
            and head not in self._given_up
            and not self.acknowledged(head.epoch, head.first, head.last)
        ]

    def open_drops(self, drops: Iterable[Drop], waiting: Iterable[Cargo]) -> list[Drop]:
        """Those accounts that no message carries and nobody acknowledged."""
        busy = {drop for flight in self._flights.values() for drop in flight.cargo.drops}
        busy.update(drop for cargo in waiting for drop in cargo.drops)
        return [
            drop
            for drop in drops
            if drop not in busy and not self.acknowledged(drop.epoch, drop.first, drop.last)
        ]

    # --- going out ---------------------------------------------------------------------------

    def launch(
        self, cargo: Cargo, topic: str, payload: bytes, catalogue: str | None = None
    ) -> Flight:
        """A new message; `due` will name it. `catalogue`: the one that it refers to."""
        self._number += 1
        flight = Flight(self._number, cargo, topic, payload, catalogue=catalogue)
        self._flights[flight.number] = flight
        return flight

    def sent(self, flight: Flight, message: tuple[int, int], now: float) -> None:
        """It was handed to the broker as `message` (connection, id)."""
        known = self._sent.setdefault(flight.cargo.epoch, IntervalSet())
        for part in flight.cargo.slices:
            new = sum(gap.last - gap.first + 1 for gap in known.gaps(part.first, part.last))
            self.duplicates += part.n - new
        for run in flight.runs:
            known.add(*run)
        flight.times_sent += 1
        flight.sent_at = now
        if flight.first_sent_at is None:
            flight.first_sent_at = now
        flight.message = message
        flight.confirmed_at = None

    def told(self, epoch: str, first: int, last: int) -> None:
        """Records that went out beside the flights: an ack may cover them."""
        self._sent.setdefault(epoch, IntervalSet()).add(first, last)
        self._told.setdefault(epoch, IntervalSet()).add(first, last)

    def was_told(self, epoch: str, first: int, last: int) -> bool:
        """Whether records went out in this life."""
        sent = self._sent.get(epoch)
        return sent is not None and sent.covers(first, last)

    def due(self, now: float) -> list[Flight]:
        """Messages to hand to the broker now: new, taken back, or not acknowledged in time.

        What the broker has not confirmed yet is still on its way through the one connection there
        is: to send it again would only make it later. Whether the connection gets on is the
        sender's affair. While nothing is acknowledged only one is repeated, as a probe.
        """
        ready = [f for f in self._flights.values() if f.sent_at is None and f.held_until <= now]
        late = self.silence.late(self._flights.values(), now)
        return sorted(ready + late, key=lambda f: (f.cargo.priority, f.number))

    def repeat(self, flight: Flight, now: float) -> None:
        """An ack timeout: note it before the message is sent again."""
        flight.repeats += 1
        if self.silence.mute(flight):
            flight.vain += 1
            self.silence.probed(flight, now)
        elif self.silence.proves(flight):
            flight.silences += 1

    def next_timeout(self) -> float | None:
        """When `due` will next have something to say by the clock alone."""
        held = [f.held_until for f in self._flights.values() if f.sent_at is None]
        late = [
            self.silence.timeout_at(f) for f in self._flights.values() if f.confirmed_at is not None
        ]
        return min(held + late, default=None)

    # --- coming back -------------------------------------------------------------------------

    def acked(self, epoch: str, ranges: Iterable[Range], now: float) -> list[Range]:
        """An application ack: the ranges that are new and were really sent, for the outbox."""
        sent = self._sent.get(epoch)
        if sent is None:
            return []
        acked = self._acked.setdefault(epoch, IntervalSet())
        news: list[Range] = []
        for asked in ranges:
            for known in _common(sent, asked):
                fresh = list(acked.gaps(*known))
                if fresh:
                    acked.add(*known)
                    news += fresh
        ours = [flight for flight in self._flights.values() if flight.cargo.epoch == epoch]
        # One that went out in other company before may be acknowledged without news.
        whole = [flight for flight in ours if all(acked.covers(*run) for run in flight.runs)]
        if news:
            classes = {f.storage_class for f in ours if _touches(f.runs, news)}
            if _touches(self._told.get(epoch, ()), news):
                classes.add(StorageClass.BULK)
            self.silence.heard(classes, whole, now)
        for flight in whole:
            del self._flights[flight.number]
        return news

    def find(self, message: tuple[int, int]) -> Flight | None:
        """The flight that went out as `message` last."""
        return next((f for f in self._flights.values() if f.message == message), None)

    def confirm(self, flight: Flight, now: float) -> None:
        """The broker has it, so nothing speaks against it."""
        flight.confirmed_at = now
        flight.cuts = flight.strikes = 0

    def take_back(self, flight: Flight, until: float) -> None:
        """The broker refused it: it is to be sent again at `until`."""
        flight.sent_at = flight.confirmed_at = None
        flight.message = None
        flight.held_until = until

    def lost(self, now: float, *, by_peer: bool, stated: bool, others: int = 0) -> list[Flight]:
        """The connection is gone: all is to be sent again. Gives those that may be to blame.

        A message is to blame for a cut where the broker owed the confirmation of it alone;
        `stated` means that the broker gave a reason. Where it owed several, each gets a mark, and
        the marked ones are later sent alone. What fails alone is split at once, which costs
        nothing; a single record must fail three times. `others`: messages beside ours that it owed
        one for, such as a chunk of a file.
        """
        owed = [f for f in self.unconfirmed if f.sent_at is not None]
        recent = [f for f in owed if f.sent_at is not None and now - f.sent_at <= SUSPECT_CUT_S]
        blamed = []
        if by_peer and recent:
            for flight in recent:
                flight.cuts += 1
            if len(owed) == 1 and not others and (stated or recent[0].suspect):
                recent[0].strikes += STRIKES if not stated and recent[0].cargo.n > 1 else 1
                blamed = recent
        for flight in self._flights.values():
            self.take_back(flight, 0.0)
        return blamed

    def dissolve(self) -> None:
        """Forget the messages that nothing speaks against: their rows are planned anew."""
        self._flights = {
            number: flight
            for number, flight in self._flights.items()
            if flight.cuts or flight.suspect or flight.silences or flight.cargo.partial
        }

    def referring(self, catalogue: str | None, at_least: int) -> list[Flight]:
        """Messages that went out so often and refer to another catalogue than this one.

        A record that is only tried now and then is encoded anew each time anyway.
        """
        return [
            flight
            for flight in self._flights.values()
            if flight.catalogue not in (None, catalogue)
            and flight.times_sent >= at_least
            and not flight.cargo.aside
        ]

    def remove(self, flight: Flight) -> None:
        """Take a message out, to split it or to give it up."""
        self._flights.pop(flight.number, None)

    def give_up(self, head: RowHead) -> None:
        """Never look at a row again as it is: it is damaged or has refused records.

        What the outbox leaves of it is another row, and goes.
        """
        self._given_up.add(head)


def struck_out(flight: Flight) -> bool:
    """Whether it was refused too often to be sent as it is."""
    return flight.strikes >= STRIKES


def _touches(runs: Iterable[Range], news: Sequence[Range]) -> bool:
    return any(a.first <= b.last and b.first <= a.last for a in runs for b in news)


def _common(known: IntervalSet, asked: Range) -> Iterator[Range]:
    """The parts of `asked` that are in `known`, in order."""
    first, last = asked
    for gap in known.gaps(first, last):
        if gap.first > first:
            yield Range(first, gap.first - 1)
        first = gap.last + 1
    if first <= last:
        yield Range(first, last)
