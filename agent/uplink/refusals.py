"""What to do about a broker that refuses: slow down, pause a class, split, at last give up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from agent.alarms import Alarm, of
from agent.record import StorageClass
from agent.store.rows import Loss, Range, RowHead
from agent.uplink.aside import Aside
from agent.uplink.delivery import MAX_PIECES, Delivery, struck_out
from agent.uplink.endpoint import (
    FORMAT_INVALID,
    MESSAGE_RATE_TOO_HIGH,
    NOT_AUTHORIZED,
    PACKET_TOO_LARGE,
    QUOTA_EXCEEDED,
    RECEIVE_MAXIMUM_EXCEEDED,
    Lost,
)
from agent.uplink.flight import STRIKES, Cargo, Flight, rows_of
from agent.uplink.plan import Priority
from agent.uplink.silence import MAX_PARTS, QUICK_PARTS

log = logging.getLogger("brain.uplink")

FAILURE = 0x80
SLOW_DOWN_S = 5.0
PAUSE_S, LONGEST_PAUSE_S = 60.0, 960.0
"""A class that may not send is tried again after that, each time twice as long."""
TOO_FAST = (QUOTA_EXCEEDED, RECEIVE_MAXIMUM_EXCEEDED, MESSAGE_RATE_TOO_HIGH)
RETRY_S = 2.0
TELL_AGAIN_S = 3600.0


class Refusals:
    """Keeps the halves of what had to be split, and which class may not send just now.

    `now` is in seconds of one monotonic clock.
    """

    def __init__(self, delivery: Delivery, refuse: Callable[[Loss], None]) -> None:
        self._delivery = delivery
        self._refuse = refuse
        self._paused: dict[StorageClass, float] = {}
        self._pauses_s: dict[StorageClass, float] = {}
        self._problems: dict[StorageClass, str] = {}
        self._doomed: dict[RowHead, list[Range]] = {}
        self._told_at = self._told_aside_at = float("-inf")
        self.waiting: list[Cargo] = []
        self.aside = Aside(delivery.has_arrived)

    @property
    def problem(self) -> str | None:
        """What the broker refuses just now, or the far end never acknowledges; None for nothing."""
        found = [*self._problems.values(), self.aside.problem]
        found += [
            f"the broker confirms {storage_class.name.lower()} records and the cloud application "
            "acknowledges none: see what it says of them, and the broker's access rules"
            for storage_class in StorageClass
            if self._delivery.silence.is_mute(storage_class)
        ]
        return "; ".join(dict.fromkeys(text for text in found if text)) or None

    @property
    def held(self) -> list[Cargo]:
        """Cargo that is no business of the plan."""
        return self.waiting + self.aside.kept

    def next_cargo(
        self, now: float, *, alarms_only: bool = False, pieces_only: bool = False
    ) -> Cargo | None:
        """A half that waits to be sent and may be, or a record that is tried once more.

        `pieces_only`: only of what was never acknowledged, which needs no place in the window.
        """
        paused = self.paused(now)
        crowded = self._delivery.unheard >= MAX_PIECES

        def held(cargo: Cargo) -> bool:
            return (
                (alarms_only and cargo.priority is not Priority.ALARM)
                or (crowded if cargo.silences else pieces_only)
                or cargo.priority.storage_class in paused
            )

        for at, cargo in enumerate(self.waiting):
            if not held(cargo):
                return self.waiting.pop(at)
        kept = self.aside.kept
        return self.aside.due(now) if kept and not held(kept[0]) else None

    def paused(self, now: float) -> frozenset[StorageClass]:
        """Classes that the broker does not let send."""
        self._paused = {c: until for c, until in self._paused.items() if until > now}
        return frozenset(self._paused)

    def confirmed(self, flight: Flight, code: int, now: float) -> None:
        """The broker answered a message: it has it, or it refuses it."""
        storage_class = flight.storage_class
        if code < FAILURE:
            self.permitted(storage_class, flight.topic)
            self._delivery.confirm(flight, now)
        elif code in TOO_FAST:
            self._problems[storage_class] = (
                f"the broker's quota is exceeded (0x{code:02x}): sending slower"
            )
            self._delivery.take_back(flight, now + SLOW_DOWN_S)
        elif code == NOT_AUTHORIZED:
            text = f"the broker does not allow {flight.topic}: correct its access rules"
            self.pause(storage_class, text, now)
            # Its place in the window is for the classes that may send; its rows are open again.
            self._delivery.remove(flight)
            if flight.cargo.partial and not flight.cargo.aside:
                self.waiting.append(flight.cargo)
        else:
            flight.strikes += 1
            self._delivery.take_back(flight, now + RETRY_S)
            if code in (FORMAT_INVALID, PACKET_TOO_LARGE) or struck_out(flight):
                self.judge([flight], now, certain=True)

    def connected(self, now: float) -> None:
        """A new connection: the broker may have other rules than the last one."""
        self._paused.clear()
        self.aside.connected(now)

    def lost(self, event: Lost, now: float) -> None:
        """The connection is no more; a message may be to blame."""
        blamed = self._delivery.lost(
            now,
            by_peer=event.of_a_message,
            stated=event.code is not None,
            others=max(0, event.owed - len(self._delivery.unconfirmed)),
        )
        self.judge(blamed, now, certain=event.code in (FORMAT_INVALID, PACKET_TOO_LARGE))

    def judge(self, blamed: Iterable[Flight], now: float, *, certain: bool = False) -> None:
        """Split what was refused too often."""
        for flight in blamed:
            if certain or struck_out(flight):
                self._delivery.remove(flight)
                cargo = replace(flight.cargo, suspect=True)
                self.split(cargo, "refused by the broker", now)

    def unheard(self, flight: Flight, now: float) -> bool:
        """Part what is never acknowledged; False where it is to be repeated.

        Silence is no refusal, so nothing is dropped for it: a single record is put aside. While
        nothing of its class is acknowledged at all, one message at a time is sent in ever smaller
        pieces: that costs fewer bytes than to repeat it, and a piece that gets through tells what
        is wrong with the others.
        """
        cargo, mute = flight.cargo, self._delivery.silence.mute(flight)
        if cargo.aside:
            self._delivery.remove(flight)
            self.aside.unheard(now, mute=mute)
            return True
        halves = cargo.halves()
        if mute:
            enough = flight.vain >= (1 if cargo.silences else STRIKES)
            pieces = self._pieces()
            if halves is None or not enough or pieces >= MAX_PARTS:
                return False
            if pieces < QUICK_PARTS:
                self._delivery.silence.parted(flight, now)
        elif flight.silences < STRIKES:
            return False
        self._delivery.remove(flight)
        if halves is None:
            self._set_aside(cargo, now)
        # A part of what was not heard three times is parted again at once, a record is sure.
        self.waiting[:0] = [
            replace(half, silences=STRIKES - 1 if half.n > 1 else 1)
            for half in halves or ()
            if not self._delivery.has_arrived(half)
        ]
        return True

    def _pieces(self) -> int:
        cargoes = [flight.cargo for flight in self._delivery.flights] + self.waiting
        return sum(cargo.silences > 0 for cargo in cargoes)

    def _set_aside(self, cargo: Cargo, now: float) -> None:
        if self.aside.full:
            text = "ever more records are never acknowledged: see what the cloud application says"
            self.pause(cargo.priority.storage_class, text, now)
            self.waiting.append(cargo)
            return
        self.aside.keep(cargo, now)
        text = "record %d is never acknowledged while others are: kept, tried again now and then"
        alarm = now - self._told_aside_at > TELL_AGAIN_S
        self._told_aside_at = now if alarm else self._told_aside_at
        extra = of(Alarm.UPLINK_UNHEARD) if alarm else None
        log.log(logging.ERROR if alarm else logging.WARNING, text, cargo.runs[0].first, extra=extra)

    def split(self, cargo: Cargo, reason: str, now: float) -> None:
        """Send it in halves; a single record that does not pass is dropped."""
        halves = cargo.halves()
        if halves is not None:
            self.waiting[:0] = halves  # in the order of their numbers
        elif cargo.slices:
            head, first, last = cargo.slices[0].head, cargo.slices[0].first, cargo.slices[0].last
            self._tell(first, reason, now)
            self._delivery.give_up(head)
            self._doomed.setdefault(head, []).append(Range(first, last))
        else:
            self.pause(cargo.priority.storage_class, f"an account of drops is {reason}", now)

    def give_up(self, head: RowHead, reason: str) -> None:
        """Drop a row, with an account."""
        self._delivery.give_up(head)
        self._refuse(Loss(head, reason))

    def settle(self) -> None:
        """Drop the records that do not pass, each once the rest of its row is through.

        What was taken out of the window meanwhile stays in the outbox, as a row of its own.
        """
        if self.aside.kept:
            under_way = any(flight.cargo.aside for flight in self._delivery.flights)
            self.waiting += self.aside.heard(under_way=under_way)
        if not self._doomed:
            return
        cargoes = [flight.cargo for flight in self._delivery.flights] + self.waiting
        busy = set(rows_of(cargoes))
        ripe = [head for head in self._doomed if (head.epoch, head.first) not in busy]
        for head in ripe:
            self._refuse(Loss(head, "refused", tuple(self._doomed.pop(head))))

    def _tell(self, seq: int, reason: str, now: float) -> None:
        """One alarm for all of them within an hour; each has its line."""
        text = "record %d cannot be delivered, dropped: %s"
        if now - self._told_at > TELL_AGAIN_S:
            self._told_at = now
            log.error(text, seq, reason, extra=of(Alarm.UPLINK_DENIED))
        else:
            log.warning(text, seq, reason)

    def permitted(self, storage_class: StorageClass, topic: str) -> None:
        """The broker took a message of a class."""
        self._problems.pop(storage_class, None)
        if self._pauses_s.pop(storage_class, None) is not None:
            log.info("the broker takes %s again", topic)

    def pause(self, storage_class: StorageClass, text: str, now: float) -> None:
        """Park a class: one alarm until it may send again."""
        pause_s = self._pauses_s.get(storage_class)
        if pause_s is None:
            log.error("%s", text, extra=of(Alarm.UPLINK_DENIED))
            pause_s = PAUSE_S / 2
        if storage_class not in self.paused(now):
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
        self._pauses_s[storage_class] = pause_s
        self._paused[storage_class] = now + pause_s
        self._problems[storage_class] = text
