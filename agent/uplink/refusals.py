"""What to do about a broker that refuses: slow down, pause a class, split, at last give up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from agent.record import StorageClass
from agent.store.rows import RowHead
from agent.uplink.delivery import Delivery, struck_out
from agent.uplink.endpoint import (
    FORMAT_INVALID,
    NOT_AUTHORIZED,
    PACKET_TOO_LARGE,
    QUOTA_EXCEEDED,
    RECEIVE_MAXIMUM_EXCEEDED,
)
from agent.uplink.flight import Cargo, Flight

log = logging.getLogger("brain.uplink")

FAILURE = 0x80
SLOW_DOWN_S = 5.0
PAUSE_S = 60.0
RETRY_S = 2.0


class Refusals:
    """Keeps the halves of what had to be split, and which class may not send just now."""

    def __init__(self, delivery: Delivery, refuse: Callable[[RowHead, str], None]) -> None:
        self._delivery = delivery
        self._refuse = refuse
        self._paused: dict[StorageClass, float] = {}
        self.waiting: list[Cargo] = []
        self.problem: str | None = None

    def next_cargo(self) -> Cargo | None:
        """A half that waits to be sent."""
        return self.waiting.pop(0) if self.waiting else None

    def paused(self, now: float) -> frozenset[StorageClass]:
        """Classes that the broker does not let send."""
        self._paused = {c: until for c, until in self._paused.items() if until > now}
        return frozenset(self._paused)

    def confirmed(self, flight: Flight, code: int, now: float) -> None:
        """The broker answered a message: it has it, or it refuses it."""
        if code < FAILURE:
            self.problem = None
            self._delivery.confirm(flight)
        elif code in (QUOTA_EXCEEDED, RECEIVE_MAXIMUM_EXCEEDED):
            self.problem = f"the broker's quota is exceeded (0x{code:02x}): sending slower"
            self._delivery.take_back(flight, now + SLOW_DOWN_S)
        elif code == NOT_AUTHORIZED:
            self._paused[flight.storage_class] = now + PAUSE_S
            self.problem = f"the broker does not allow {flight.topic}: correct its access rules"
            log.warning("%s", self.problem)
            self._delivery.take_back(flight, now + PAUSE_S)
        else:
            flight.strikes += 1
            self._delivery.take_back(flight, now + RETRY_S)
            if code in (FORMAT_INVALID, PACKET_TOO_LARGE) or struck_out(flight):
                self.judge([flight], certain=True)

    def judge(self, blamed: Iterable[Flight], *, certain: bool = False) -> None:
        """Split what was refused too often."""
        for flight in blamed:
            if certain or struck_out(flight):
                self._delivery.remove(flight)
                self.split(flight.cargo, "refused by the broker")

    def split(self, cargo: Cargo, reason: str) -> None:
        """Send it in halves; a single record that does not pass is dropped with its row."""
        halves = cargo.halves()
        if halves is not None:
            self.waiting.extend(halves)
        elif cargo.slices:
            head = cargo.slices[0].head
            log.error("record %d cannot be delivered, dropped: %s", cargo.slices[0].first, reason)
            self.give_up(head, "refused")

    def give_up(self, head: RowHead, reason: str) -> None:
        """Drop a row, with an account."""
        self._delivery.give_up(head)
        self._refuse(head, reason)
