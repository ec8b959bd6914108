"""Hands messages to the connection: when they are due, not too fast, and suspects alone."""

from __future__ import annotations

import time

from agent.uplink.delivery import Delivery
from agent.uplink.dialler import Dialler
from agent.uplink.flight import Flight
from agent.uplink.pace import BYTES_PER_S, MESSAGES_PER_S, TokenBucket
from agent.uplink.refusals import Refusals

SILENT_S = 20.0
"""A broker that owes its confirmation this long, and takes no byte either, is given up, however
open the connection looks. While bytes pass, a large message on a slow link may take minutes."""


class Sender:
    """Used by the pump's thread. `generation`: the present connection, None where there is none."""

    def __init__(self, dialler: Dialler, delivery: Delivery, refusals: Refusals) -> None:
        self._dialler = dialler
        self._delivery = delivery
        self._refusals = refusals
        self.generation: int | None = None
        self.messages = TokenBucket(MESSAGES_PER_S)
        self.nbytes = TokenBucket(BYTES_PER_S)
        self._passed: int | None = None
        self._passed_at = 0.0
        self.sent_batches = self.resent_batches = self.sent_bytes = 0

    def wait_s(self, now: float) -> float:
        """Seconds until the token buckets allow the next message."""
        return max(self.messages.wait_s(now, 1), self.nbytes.wait_s(now, 1))

    def send_due(self) -> None:
        """Send what is new, taken back, or not acknowledged in time."""
        now = time.monotonic()
        for flight in self._delivery.due(now):
            if self.generation is None or self.messages.level(now) < 1:
                return
            in_the_air = [f for f in self._delivery.unconfirmed if f is not flight]
            if in_the_air and (flight.suspect or any(f.suspect for f in in_the_air)):
                # Alone, so that a refusal proves something.
                continue
            if flight.sent_at is not None:
                self._delivery.repeat(flight)
                if self._refusals.unheard(flight, now):
                    continue
            if not self._publish(self.generation, flight, now):
                return

    def watch_silence(self) -> None:
        """Give up a connection on which the broker owes a confirmation for too long."""
        now = time.monotonic()
        if self.generation is None:
            return
        passed = self._dialler.acked_bytes(self.generation)
        if passed != self._passed:
            self._passed, self._passed_at = passed, now
        oldest = min(
            (f.sent_at for f in self._delivery.unconfirmed if f.sent_at is not None), default=now
        )
        if now - max(oldest, self._passed_at) > SILENT_S:
            self._dialler.reset(self.generation, f"no confirmation for {SILENT_S:.0f} s")

    def publish(self, topic: str, payload: bytes) -> None:
        """Send something that nobody acknowledges; where there is no connection it is not sent."""
        now = time.monotonic()
        if self.generation is not None:
            self._dialler.publish(self.generation, topic, payload)
            self.messages.take(now, 1)
            self.nbytes.take(now, len(payload))

    def _publish(self, generation: int, flight: Flight, now: float) -> bool:
        mid = self._dialler.publish(generation, flight.topic, flight.payload)
        if mid is None:
            return False
        self.sent_batches += 1
        self.sent_bytes += len(flight.payload)
        self.messages.take(now, 1)
        self.nbytes.take(now, len(flight.payload))
        before = self._delivery.duplicates
        self._delivery.sent(flight, (generation, mid), now)
        self.resent_batches += self._delivery.duplicates > before
        return True
