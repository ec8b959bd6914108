"""Hands messages to the connection: when they are due, not too fast, and suspects alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from agent.uplink.delivery import Delivery
from agent.uplink.dialler import Dialler
from agent.uplink.flight import Flight
from agent.uplink.pace import TokenBucket
from agent.uplink.plan import Priority
from agent.uplink.refusals import FAILURE, TOO_FAST, Refusals

SETTLED_S = 3.0
"""A suspect goes out on a connection that has held this long without it: where a second client of
our name takes the session over again and again, no message is to blame, and what nobody suspects
has gone before."""
QUICK_PROBES, CALM_S = 60, 61.0
"""After so many suspects in a row the connections are left in peace for a minute each."""
CLEARING_S = 10.0
"""A suspect that had to wait so long for a silent line has others but alarms wait for it."""
PASSED_BYTES = 512
"""Fewer in 20 s are pings and their like; they prove nothing about a broker that owes an answer."""
SILENT_S = 20.0
"""A broker that owes its confirmation this long, and takes no byte either, is given up, however
open the connection looks. While bytes pass, a large message on a slow link may take minutes."""


def _nobody_counts(_priority: Priority, _nbytes: int) -> None:
    return


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
        handed: Callable[[Priority, int], None] = _nobody_counts,
    ) -> None:
        """`handed` is told of each message: its priority, bytes of topic and payload."""
        self._handed = handed
        self._dialler = dialler
        self._delivery = delivery
        self.refusals = refusals
        self.generation: int | None = None
        self._connected_at = 0.0
        self._probes = 0
        self._waiting_since: float | None = None
        self.messages = TokenBucket(messages_per_s)
        self.nbytes = TokenBucket(bytes_per_s)
        self._passed: int | None = None
        self._passed_at = 0.0
        self.sent_batches = self.resent_batches = self.sent_bytes = 0

    @property
    def _settled_s(self) -> float:
        return SETTLED_S if self._probes < QUICK_PROBES else CALM_S

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
        self._waiting_since = None

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
            if not (self._alone(flight, now) if flight.suspect else self._in_company(flight, now)):
                continue
            if flight.sent_at is not None:
                self._delivery.repeat(flight, now)
                if self.refusals.unheard(flight, now):
                    continue
            if not self._publish(self.generation, flight, now):
                return

    def clearing(self, now: float) -> bool:
        """Whether others but alarms wait, so that a suspect can go alone at last."""
        since = self._waiting_since
        return since is not None and now - since >= CLEARING_S

    def probing(self) -> bool:
        """Whether a suspect is under way: nothing else goes, so that a refusal proves something."""
        return any(flight.suspect for flight in self._delivery.unconfirmed)

    def _alone(self, flight: Flight, now: float) -> bool:
        """Whether a suspect may go: alone, on a connection that has held for a while."""
        assert self.generation is not None
        if now < self._connected_at + self._settled_s:
            return False
        # All that the broker owes counts: a chunk of a file may have it hang up as well.
        if self._dialler.owed(self.generation):
            since = self._waiting_since = self._waiting_since or now
            # What is owed this long is no record and no chunk, and never comes.
            if self._delivery.unconfirmed or now - since < CLEARING_S + SILENT_S:
                return False
        self._waiting_since = None
        return True

    def _in_company(self, flight: Flight, now: float) -> bool:
        """Whether what nobody suspects may go."""
        if self.probing():
            return False
        return flight.cargo.priority is Priority.ALARM or not self.clearing(now)

    def hand_over(self, topic: str, payload: bytes, now: float) -> tuple[int, int] | None:
        """Send what is of a file; (connection, message id), None where it cannot go now."""
        if self.generation is None:
            return None
        mid = self._dialler.publish(self.generation, topic, payload)
        if mid is None:
            return None
        self._handed(Priority.BULK, len(topic) + len(payload))
        self.sent_bytes += len(payload)
        self.messages.take(now, 1)
        self.nbytes.take(now, len(payload))
        return self.generation, mid

    def watch_silence(self, since: Sequence[float] = ()) -> None:
        """Give up a connection on which the broker owes a confirmation for too long.

        `since`: when other messages went out that it owes one for.
        """
        now = time.monotonic()
        if self.generation is None:
            return
        passed = self._dialler.acked_bytes(self.generation)
        if passed is not None and (self._passed is None or passed - self._passed >= PASSED_BYTES):
            self._passed, self._passed_at = passed, now
        sent = [f.sent_at for f in self._delivery.unconfirmed if f.sent_at is not None]
        oldest = min([*sent, *since], default=now)
        if now - max(oldest, self._passed_at) > SILENT_S:
            self._dialler.reset(self.generation, f"no confirmation for {SILENT_S:.0f} s")

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send something that nobody acknowledges; False where it cannot go now."""
        now = time.monotonic()
        if self.generation is None or self.probing():
            return False
        if self._dialler.publish(self.generation, topic, payload) is None:
            return False
        self.messages.take(now, 1)
        self.nbytes.take(now, len(payload))
        return True

    def _publish(self, generation: int, flight: Flight, now: float) -> bool:
        if flight.suspect:
            self._probes += 1
            self._dialler.probing(generation)
        elif not any(f.suspect for f in self._delivery.flights):
            self._probes = 0
        flight.ahead = sum(len(f.payload) for f in self._delivery.unconfirmed if f is not flight)
        mid = self._dialler.publish(generation, flight.topic, flight.payload)
        if mid is None:
            return False
        self._handed(flight.cargo.priority, len(flight.topic) + len(flight.payload))
        self.sent_batches += 1
        self.sent_bytes += len(flight.payload)
        self.messages.take(now, 1)
        self.nbytes.take(now, len(flight.payload))
        before = self._delivery.duplicates
        self._delivery.sent(flight, (generation, mid), now)
        self.resent_batches += self._delivery.duplicates > before
        return True
