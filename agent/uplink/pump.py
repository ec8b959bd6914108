"""The pump: takes committed rows, sends them, and hears what the cloud application has.

Its thread owns the reader, the plan and the deliveries; the connection has a thread of its own.
PUBACK is not delivery: a row is done when the application's ack covers it, and until then it is
sent again. What was sent is forgotten at a restart: the far end removes duplicates.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from agent.alarms import Alarm, of
from agent.signals import Catalogue
from agent.spool import Spool
from agent.store.reader import READ_ERRORS
from agent.store.rows import Range, RowHead
from agent.uplink import acks, plan
from agent.uplink.accounting import Accounting
from agent.uplink.announcing import Announcing
from agent.uplink.budget import UNLIMITED, Budget, BudgetConfig
from agent.uplink.courier import Courier
from agent.uplink.delivery import Delivery
from agent.uplink.dialler import Dialler, LinkState
from agent.uplink.endpoint import (
    MAX_EVENTS,
    Arrived,
    Confirmed,
    Connected,
    Ear,
    Endpoint,
    Event,
    Events,
    Lost,
)
from agent.uplink.flight import Cargo, Slice
from agent.uplink.foretelling import Foretelling
from agent.uplink.limits import Limits
from agent.uplink.loading import Loader
from agent.uplink.lookout import Lookout, Reader
from agent.uplink.payload import GroupOf
from agent.uplink.plan import Link, Priority
from agent.uplink.portion import Portion
from agent.uplink.refusals import FAILURE, Refusals
from agent.uplink.sending import Sender
from agent.uplink.settings import UplinkConfig
from agent.uplink.topics import Topics

log = logging.getLogger("brain.uplink")

AGAIN_S = 4.0
"""How often the outbox is told again of what is acknowledged and still there."""
IDLE_S = 0.5
MIN_PAUSE_S = 0.01
OVERSIZE = 2
"""Estimates of size err; only what has more than twice its portion is worth the splitting."""


class Uplink:
    """Owns the thread `uplink` and the session with the broker."""

    def __init__(
        self,
        config: UplinkConfig,
        vehicle: str,
        epoch: str,
        boot: str,
        reader: Callable[[], Reader],
        groups: GroupOf,
        *,
        acked: Callable[[str, Sequence[Range]], None],
        refuse: Callable[[RowHead, str], None],
        beat: Callable[[], None],
        certificates_utc_ms: Callable[[], int | None] = lambda: None,
        catalogue: Catalogue | None = None,
        accounting: Accounting | None = None,
        spool: Spool | None = None,
        ear: Ear | None = None,
    ) -> None:
        """`reader` is called on the pump's thread. `acked` and `refuse` never block.

        `certificates_utc_ms`: see Endpoint; called on the dialler's thread. `catalogue`: what
        batches may refer to instead of naming it; None: nothing. `accounting` counts the bytes and
        keeps the budget; None: nobody does. `spool` holds the files that records name; None: there
        are none. `ear` hears commands; None: nobody listens to any.
        """
        self._config = config
        self._topics = Topics(config.prefix, vehicle)
        self._acked = acked
        self._beat = beat
        self._events: Events = queue.Queue(MAX_EVENTS)
        endpoint = Endpoint.of(config, self._topics, epoch, boot, certificates_utc_ms, ear)
        self._accounting = accounting or Accounting(BudgetConfig(), None)
        self._budget: Budget = UNLIMITED
        self._dialler = Dialler(replace(endpoint, wire=self._accounting.wire), self._events)
        self._delivery = Delivery(config.ack_timeout_s)
        self._lookout = Lookout(reader, self._delivery)
        self._foretelling = Foretelling()
        self._loader = Loader(vehicle, config.format, groups)
        self._announcing = Announcing(catalogue if config.format == "protobuf" else None)
        self._refusals = Refusals(self._delivery, refuse)
        self._sender = Sender(
            *(self._dialler, self._delivery, self._refusals),
            messages_per_s=config.messages_per_s,
            bytes_per_s=config.kib_per_s * 1024,
            handed=self._accounting.handed,
        )
        self._limits = Limits.of(config, self._topics)
        self._courier = Courier(
            spool, config, self._topics, self._loader, self._sender, self._delivery, self.wake
        )
        self._portion = Portion()
        self._last: Priority | None = None
        self._pumped_at = time.monotonic()
        self._again_at = float("-inf")
        self._woken = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink")

    def start(self) -> None:
        """Start pumping, and dialling where the uplink is enabled."""
        self._thread.start()

    def leave(self) -> None:
        """Begin to end."""
        self._stop.set()
        self.wake()

    def stop(self) -> None:
        """End; what is under way is sent again in the next life."""
        self.leave()
        self._thread.join(2.0)

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """There may be something new to send. From any thread; never blocks."""
        if self._woken:
            return
        self._woken = True
        try:
            self._events.put_nowait("wake")
        except queue.Full:
            self._woken = False

    def state(self) -> str:
        """up, down or off."""
        return self._dialler.state.state if self._config.enabled else "off"

    def status(self) -> Mapping[str, object]:
        """What people may know of it."""
        link: LinkState = self._dialler.state
        now = time.monotonic()
        last_ack = self._delivery.last_ack_at
        return {
            "state": self.state(),
            "broker": self._config.address,
            "since_s": round(now - link.since, 1),
            "retry_in_s": None if link.retry_at is None else round(max(0, link.retry_at - now), 1),
            "error": link.error or self._refusals.problem,
            "last_ack_age_s": None if last_ack is None else round(now - last_ack, 1),
            "in_flight": len(self._delivery.flights),
            **self._sender.counts(),
            "duplicates_sent": self._delivery.duplicates,
            **self._courier.status(),
        }

    def budget(self) -> Mapping[str, object]:
        """What the uplink cost and what the budget allows."""
        return self._accounting.status()

    # --- the loop ------------------------------------------------------------------------------

    def _run(self) -> None:
        self._accounting.start()
        if self._config.enabled:
            self._dialler.start()
        try:
            while not self._stop.is_set():
                self._beat()
                self._hear(self._pause_s())
                self._courier.bill(self._accounting.put)
                self._accounting.look()
                if self._sender.generation is not None:
                    self._pump()
        finally:
            if self._config.enabled:
                self._dialler.stop()
            self._accounting.stop()
            self._lookout.close()
            self._courier.close()

    def _pause_s(self) -> float:
        """How long only an event can change anything."""
        now = time.monotonic()
        if self._sender.generation is None:
            return IDLE_S
        since = self._lookout.history_since
        moments = [
            self._delivery.next_timeout(),
            self._courier.next_moment(),
            None if since is None else since + self._linger_s,
        ]
        # What was due when it was last pumped and stayed waits for an event, not for the clock.
        pauses = [moment - now for moment in moments if moment and moment > self._pumped_at]
        tokens_s = self._sender.wait_s(now)
        if tokens_s:
            pauses.append(tokens_s)
        return min([IDLE_S, *(max(MIN_PAUSE_S, pause_s) for pause_s in pauses)])

    def _hear(self, pause_s: float) -> None:
        try:
            event = self._events.get(timeout=pause_s)
            while True:
                self._take(event)
                event = self._events.get_nowait()
        except queue.Empty:
            return

    def _take(self, event: Event) -> None:
        now = time.monotonic()
        match event:
            case Connected():
                self._connected(event)
            case Lost() if event.generation == self._sender.generation:
                log.warning("uplink down: %s", event.reason, extra=of(Alarm.UPLINK_DOWN))
                self._portion.lost(self._delivery.unconfirmed_bytes)
                self._sender.lost(event.code, now)
                self._refusals.lost(event, now)
                self._courier.lost(now, by_peer=event.of_a_message)
            case Confirmed():
                flight = self._delivery.find((event.generation, event.mid))
                if flight is not None:
                    if flight.sent_at is not None:
                        took_s = now - flight.sent_at - self._dialler.rtt_s(event.generation)
                        self._portion.confirmed(flight.carried, took_s)
                    self._sender.answered(event.code, now)
                    self._refusals.confirmed(flight, event.code, now)
                    if event.code >= FAILURE:
                        self._lookout.begin_anew()
                elif (chunk := self._courier.confirmed(event, now)) is not None:
                    self._portion.confirmed(*chunk)
            case Arrived() if not self._courier.arrived(event):
                self._arrived(event.payload, now)
            case _:
                self._woken = False

    def _connected(self, event: Connected) -> None:
        log.info("uplink up: %s", self._config.address)
        self._sender.connected(event.generation)
        self._limits = Limits.of(self._config, self._topics, event)
        self._announcing.connected()
        self._accounting.connected()
        self._delivery.dissolve()
        self._refusals.connected()
        self._lookout.begin_anew()

    def _arrived(self, payload: bytes, now: float) -> None:
        if self._announcing.heard(payload):
            return
        try:
            epoch, ranges = acks.parse(payload)
        except acks.NoAck as error:
            log.warning("an ack that is none was ignored: %s", error)
            return
        news = self._delivery.acked(epoch, ranges, now)
        if news:
            self._dialler.useful()
            self._acked(epoch, news)

    # --- sending -------------------------------------------------------------------------------

    def _pump(self) -> None:
        self._pumped_at = time.monotonic()
        try:
            self._sender.watch_silence([since for _, since in self._courier.unconfirmed])
            self._refusals.settle()
            self._announce()
            self._sender.send_due()
            while self._sender.generation is not None and not self._stop.is_set():
                self._beat()
                self._budget = self._accounting.budget(self._config.linger_s)
                cargo = None if self._send_file(urgent=True) else self._next_cargo()
                if cargo is not None:
                    self._launch(cargo)
                    self._sender.send_due()
                elif not self._send_file():
                    return
        except READ_ERRORS as error:
            # The writer replaces a damaged file; the next look finds the new one.
            log.warning("the outbox cannot be read just now: %s", error)
            self._lookout.close()
            self._stop.wait(IDLE_S)

    @property
    def _linger_s(self) -> float:
        return max(self._config.linger_s, self._budget.linger_s)

    def _announce(self) -> None:
        """Say what batches may refer to; and where the far end cannot read them, name it all."""
        now = time.monotonic()
        shapes = self._announcing.due(now)
        if shapes is not None:
            topic = self._topics.catalogue(shapes.name)
            if not self._sender.publish(topic, shapes.payload):
                self._announcing.unsent(now)
        if self._announcing.doubtful(f.times_sent for f in self._delivery.flights):
            self._delivery.dissolve()
            self._lookout.begin_anew()
        self._loader.shapes = self._announcing.shapes

    def _send_file(self, *, urgent: bool = False) -> bool:
        now = time.monotonic()
        link, source = self._link(now), self._lookout.reader
        return self._courier.send(link, source, now, self._budget, urgent=urgent)

    def _next_cargo(self) -> Cargo | None:
        if self._delivery.in_flight >= self._limits.window:
            return None
        now = time.monotonic()
        link = self._link(now)
        waiting = self._lookout.waiting(now, self._refusals.waiting)
        self._acknowledge_again()
        waiting = self._courier.sort_out(waiting, self._lookout.reader)
        batch = plan.next_batch(waiting, link, self._budget)
        if batch is None or batch.priority is not Priority.ALARM:
            only = not plan.room(link) or self._budget.history != "all"
            split = self._refusals.next_cargo(now, alarms_only=only)
            if split is not None:
                return split
        if batch is None:
            return None
        self._last = batch.priority
        self._lookout.chosen(batch)
        slices = tuple(Slice.whole(head) for head in batch.heads)
        return Cargo(batch.priority, batch.epoch, slices, batch.drops)

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
            portion=self._portion.nbytes,
            expansion=self._loader.expansion,
            messages=self._sender.messages.level(now),
            nbytes=self._sender.nbytes.level(now),
            paused=self._refusals.paused(now),
            linger_s=self._config.linger_s,
            last=self._last,
        )

    def _launch(self, cargo: Cargo) -> None:
        """Encode it and make it a flight; split it where it does not fit."""
        reader = self._lookout.reader
        thinned = self._foretelling.due(self._sender.generation, cargo.epoch, reader)
        loaded = self._loader.load(cargo, reader, thinned)
        for head, reason in loaded.refused:
            self._refusals.give_up(head, reason)
        cargo = replace(cargo, slices=loaded.slices)
        if not cargo.slices and not cargo.drops:
            return
        if loaded.payload is None or len(loaded.payload) > self._limits.payload:
            reason = loaded.reason or "larger than the broker takes"
            self._refusals.split(cargo, reason, time.monotonic())
            return
        if len(loaded.payload) > OVERSIZE * self._portion.nbytes and cargo.n > 1:
            # One row of a flood on a slow link.
            self._refusals.split(cargo, "more than the link carries", time.monotonic())
            return
        topic = self._topics.of(cargo.priority.storage_class)
        self._delivery.launch(cargo, topic, loaded.payload)
        self._foretelling.told(cargo.epoch)
        self._courier.yields(time.monotonic())
