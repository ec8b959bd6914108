"""What goes next and in what form: announcements, alarms, rows and files. The pump's thread only.

The plan chooses among what waits; here its choice is encoded and launched, or split where it does
not fit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from agent.record import StorageClass
from agent.store.rows import Range
from agent.uplink import plan
from agent.uplink.accounting import Accounting
from agent.uplink.announcing import DOUBTED, Announcing
from agent.uplink.budget import UNLIMITED, Budget
from agent.uplink.courier import Courier
from agent.uplink.delivery import Delivery
from agent.uplink.endpoint import Connected
from agent.uplink.flight import Cargo, Slice
from agent.uplink.foretelling import Foretelling
from agent.uplink.limits import Limits
from agent.uplink.loading import Loader
from agent.uplink.lookout import Lookout
from agent.uplink.plan import Link, Priority
from agent.uplink.portion import Portion
from agent.uplink.sending import Sender
from agent.uplink.settings import UplinkConfig
from agent.uplink.topics import Topics

AGAIN_S = 4.0
"""How often the outbox is told again of what is acknowledged and still there."""
OVERSIZE = 2
"""Estimates of size err; only what has more than twice its portion is worth the splitting."""

LEAST_SHARED = 3
_SHARING = (StorageClass.ALARM, StorageClass.BULK)
"""History leaves a place anyway."""

log = logging.getLogger("brain.uplink")


class Despatch:
    """Fills the window. `portion`: what the link carries at once, as it has shown so far."""

    def __init__(
        self,
        config: UplinkConfig,
        topics: Topics,
        *,
        sender: Sender,
        delivery: Delivery,
        lookout: Lookout,
        loader: Loader,
        announcing: Announcing,
        courier: Courier,
        accounting: Accounting,
        acked: Callable[[str, Sequence[Range]], None],
    ) -> None:
        """`acked`: see Uplink."""
        self._config = config
        self._topics = topics
        self._sender = sender
        self._refusals = sender.refusals
        self._delivery = delivery
        self._lookout = lookout
        self._loader = loader
        self._announcing = announcing
        self._courier = courier
        self._accounting = accounting
        self._acked = acked
        self._foretelling = Foretelling()
        self._budget: Budget = UNLIMITED
        self._limits = Limits.of(config, topics)
        self._last: Priority | None = None
        self._alarms_since = 0
        self._again_at = float("-inf")
        self._too_large = False
        self.portion = Portion()

    @property
    def linger_s(self) -> float:
        """How long samples wait for company."""
        return max(self._config.linger_s, self._budget.linger_s)

    def connected(self, told: Connected) -> None:
        """A new connection, and what its broker announced."""
        self._limits = Limits.of(self._config, self._topics, told)

    def send(self, going: Callable[[], bool]) -> None:
        """Send what is due and what the plan chooses, while it is `going`. Raises READ_ERRORS."""
        self._sender.watch_silence([since for _, since in self._courier.unconfirmed])
        self._refusals.settle()
        self._announce()
        self._sender.send_due()
        while self._sender.generation is not None and going():
            self._budget = self._accounting.budget(self._config.linger_s)
            cargo = None if self._send_file(urgent=True) else self._next_cargo()
            if cargo is not None:
                self._launch(cargo)
                self._sender.send_due()
            elif not self._send_file():
                return

    def _announce(self) -> None:
        """Say what batches may refer to; what the far end may be unable to read is encoded anew."""
        now = time.monotonic()
        shapes = self._announcing.due(now)
        if shapes is not None:
            topic = self._topics.catalogue(shapes.name)
            if len(shapes.payload) > self._limits.payload:
                if not self._too_large:
                    text = "the broker takes no catalogue of %d bytes: batches name all signals"
                    log.info(text, len(shapes.payload))
                self._too_large = True
            elif not self._sender.publish(topic, shapes.payload):
                self._announcing.unsent(now)
        sent = [f.times_sent for f in self._delivery.flights if f.catalogue is not None]
        stale = self._announcing.doubtful(sent, now)
        self._loader.shapes = self._announcing.shapes
        had = None if self._loader.shapes is None else self._loader.shapes.name
        for flight in self._delivery.referring(had, 0 if stale else DOUBTED):
            self._delivery.remove(flight)
            self._refusals.waiting.append(replace(flight.cargo, silences=flight.silences))

    def _send_file(self, *, urgent: bool = False) -> bool:
        now = time.monotonic()
        link, source = self._link(now), self._lookout.reader
        return self._courier.send(link, source, now, self._budget, urgent=urgent)

    def _next_cargo(self) -> Cargo | None:
        now = time.monotonic()
        link = self._link(now)
        if link.in_flight >= link.window:
            return self._next_split(now, link)
        waiting = self._lookout.waiting(now, self._refusals.held)
        self._acknowledge_again()
        waiting = self._courier.sort_out(waiting, self._lookout.reader)
        batch = plan.next_batch(waiting, link, self._budget)
        if batch is None or batch.priority is not Priority.ALARM:
            split = self._next_split(now, link)
            if split is not None:
                return split
        if batch is None:
            return None
        if batch.priority is Priority.ALARM:
            self._alarms_since += 1
        else:
            self._last, self._alarms_since = batch.priority, 0
        self._lookout.chosen(batch)
        slices = tuple(Slice.whole(head) for head in batch.heads)
        return Cargo(batch.priority, batch.epoch, slices, batch.drops)

    def _next_split(self, now: float, link: Link) -> Cargo | None:
        """What had to be split, or put aside; only what needs no place where there is none."""
        return self._refusals.next_cargo(
            now,
            alarms_only=not plan.roomy(link) or self._budget.history != "all",
            pieces_only=not plan.room(link),
        )

    def _crowded(self) -> set[StorageClass]:
        """Classes that have all the places that one class may have.

        While the far end acknowledges nothing of one, the others need places to go on.
        """
        if self._limits.window < LEAST_SHARED:
            return set()
        most = self._limits.window - 2
        return {c for c in _SHARING if self._delivery.count(c) >= most}

    def _acknowledge_again(self) -> None:
        again, self._lookout.resurrected = self._lookout.resurrected, []
        now = time.monotonic()
        if not again or now - self._again_at < AGAIN_S:
            return  # most are only not deleted yet
        self._again_at = now
        for head in again:
            self._acked(head.epoch, [Range(head.first, head.last)])

    def _link(self, now: float) -> Link:
        unconfirmed = sum(nbytes for nbytes, _ in self._courier.unconfirmed)
        return Link(
            in_flight=self._delivery.in_flight,
            window=self._limits.window,
            unconfirmed_bytes=self._delivery.unconfirmed_bytes + unconfirmed,
            max_payload=self._limits.payload,
            portion=self.portion.nbytes,
            expansion=self._loader.expansion,
            messages=self._sender.messages.level(now),
            nbytes=self._sender.nbytes.level(now),
            paused=self._refusals.paused(now) | self._crowded(),
            linger_s=self._config.linger_s,
            last=self._last,
            alarms_since=self._alarms_since,
        )

    def _launch(self, cargo: Cargo) -> None:
        """Encode it and make it a flight; split it where it does not fit."""
        reader = self._lookout.reader
        now = time.monotonic()
        foretold = self._foretelling.due(self._sender.generation, cargo.epoch, reader, now)
        loaded = self._loader.load(cargo, reader, foretold)
        for head, reason in loaded.refused:
            self._refusals.give_up(head, reason)
        cargo = replace(cargo, slices=loaded.slices)
        if not cargo.slices and not cargo.drops:
            return
        if loaded.payload is None or len(loaded.payload) > self._limits.payload:
            reason = loaded.reason or "larger than the broker takes"
            self._refusals.split(cargo, reason, time.monotonic())
            return
        if len(loaded.payload) > OVERSIZE * self.portion.nbytes and cargo.n > 1:
            # One row of a flood on a slow link.
            self._refusals.split(cargo, "more than the link carries", time.monotonic())
            return
        topic = self._topics.of(cargo.priority.storage_class)
        catalogue = None if self._loader.shapes is None else self._loader.shapes.name
        self._delivery.launch(cargo, topic, loaded.payload, catalogue)
        self._foretelling.told(cargo.epoch, now)
        self._courier.yields(time.monotonic())
