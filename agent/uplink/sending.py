"""Hands messages to the connection: when they are due, not too fast, and suspects alone."""

from __future__ import annotations

import time

from agent.uplink.delivery import Delivery
from agent.uplink.dialler import Dialler
from agent.uplink.flight import Flight
from agent.uplink.pace import TokenBucket
from agent.uplink.refusals import FAILURE, TOO_FAST, Refusals

SETTLED_S = 3.0
"""A suspect goes out on a connection that has held this long without it: where a second client of
our name takes the session over again and again, no message is to blame."""
PASSED_BYTES = 512
"""Fewer in 20 s are pings and their like; they prove nothing about a broker that owes an answer."""
SILENT_S = 20.0
"""A broker that owes its confirmation this long, and takes no byte either, is given up, however
open the connection looks. While bytes pass, a large message on a slow link may take minutes."""


class Sender:
    """Used by the pump's thread. `generation`: the present connection, None where there is none."""

    def __init__(
        self,
        dialler: Dialler,
        delivery: Delivery,
        refusals: Refusals,
        *,
        messages_per_s: float = 50.0,
        bytes_per_s: float = 400_000.0,
    ) -> None:
        self._dialler = dialler
        self._delivery = delivery
        self._refusals = refusals
        self.generation: int | None = None
        self._connected_at = 0.0
        self.messages = TokenBucket(messages_per_s)
        self.nbytes = TokenBucket(bytes_per_s)
        self._passed: int | None = None
        self._passed_at = 0.0
        self.sent_batches = self.resent_batches = self.sent_bytes = 0

    def counts(self) -> dict[str, int]:
        """What was sent since the start."""
        return {
            "sent_batches": self.sent_batches,
            "resent_batches": self.resent_batches,
            "sent_bytes": self.sent_bytes,
        }

    def connected(self, generation: int) -> None:
        """There is a new connection."""
        self.generation = generation
        self._connected_at, self._passed = time.monotonic(), None

    def lost(self, code: int | None, now: float) -> None:
        """The connection is no more; `code`: the reason that the broker gave."""
        self.generation = None
        if code is not None:
            self.answered(code, now)

    def answered(self, code: int, now: float) -> None:
        """The broker's reason, of a message or of its goodbye, decides how fast to go on."""
        if code in TOO_FAST:
            self.messages.slower(now)
            self.nbytes.slower(now)
        elif code < FAILURE:
            self.messages.faster()
            self.nbytes.faster()

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
            if flight.suspect and now < self._connected_at + SETTLED_S:
                continue
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
        if passed is not None and (self._passed is None or passed - self._passed >= PASSED_BYTES):
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
        ahead = sum(len(f.payload) for f in self._delivery.unconfirmed if f is not flight)
        mid = self._dialler.publish(generation, flight.topic, flight.payload)
        if mid is None:
            return False
        flight.carried = ahead + len(flight.payload)
        self.sent_batches += 1
        self.sent_bytes += len(flight.payload)
        self.messages.take(now, 1)
        self.nbytes.take(now, len(flight.payload))
        before = self._delivery.duplicates
        self._delivery.sent(flight, (generation, mid), now)
        self.resent_batches += self._delivery.duplicates > before
        return True
