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
from agent.store.reader import READ_ERRORS
from agent.store.rows import Range, RowHead
from agent.uplink import acks, plan
from agent.uplink.delivery import Delivery
from agent.uplink.dialler import Dialler, LinkState
from agent.uplink.endpoint import (
    MAX_EVENTS,
    Arrived,
    Confirmed,
    Connected,
    Endpoint,
    Event,
    Events,
    Lost,
)
from agent.uplink.flight import Cargo, Slice
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

IDLE_S = 0.5
MIN_PAUSE_S = 0.01
OVERSIZE = 2
"""Estimates of size err; only what has more than twice its portion is worth the splitting."""
PACKET_OVERHEAD = 32
"""Of a PUBLISH beside topic and payload: header, lengths, message id, expiry, and some to spare."""


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
    ) -> None:
        """`reader` is called on the pump's thread. `acked` and `refuse` never block."""
        self._config = config
        self._topics = Topics(config.prefix, vehicle)
        self._acked = acked
        self._beat = beat
        self._events: Events = queue.Queue(MAX_EVENTS)
        self._dialler = Dialler(Endpoint.of(config, self._topics, epoch, boot), self._events)
        self._delivery = Delivery(config.ack_timeout_s)
        self._lookout = Lookout(reader, self._delivery)
        self._loader = Loader(vehicle, config.format, groups)
        self._refusals = Refusals(self._delivery, refuse)
        self._sender = Sender(self._dialler, self._delivery, self._refusals)
        self._max_payload = config.max_payload_kib * 1024
        self._portion = Portion()
        self._window = config.window
        self._last: Priority | None = None
        self._pumped_at = time.monotonic()
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
        try:
            self._events.put_nowait("wake")
        except queue.Full:
            return

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
            "sent_batches": self._sender.sent_batches,
            "resent_batches": self._sender.resent_batches,
            "sent_bytes": self._sender.sent_bytes,
            "duplicates_sent": self._delivery.duplicates,
        }

    # --- the loop ------------------------------------------------------------------------------

    def _run(self) -> None:
        if self._config.enabled:
            self._dialler.start()
        try:
            while not self._stop.is_set():
                self._beat()
                self._hear(self._pause_s())
                if self._sender.generation is not None:
                    self._pump()
        finally:
            if self._config.enabled:
                self._dialler.stop()
            self._lookout.close()

    def _pause_s(self) -> float:
        """How long only an event can change anything."""
        now = time.monotonic()
        if self._sender.generation is None:
            return IDLE_S
        since = self._lookout.history_since
        moments = [
            self._delivery.next_timeout(),
            None if since is None else since + self._config.linger_s,
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
                self._sender.generation = None
                self._portion.lost(sum(len(f.payload) for f in self._delivery.unconfirmed))
                blamed = self._delivery.lost(
                    now, by_peer=event.by_peer, stated=event.code is not None
                )
                self._refusals.judge(blamed, now)
            case Confirmed():
                flight = self._delivery.find((event.generation, event.mid))
                if flight is not None:
                    if flight.sent_at is not None:
                        self._portion.confirmed(len(flight.payload), now - flight.sent_at)
                    self._refusals.confirmed(flight, event.code, now)
                    if event.code >= FAILURE:
                        self._lookout.begin_anew()
            case Arrived():
                self._arrived(event.payload, now)
            case _:
                return

    def _connected(self, event: Connected) -> None:
        log.info("uplink up: %s", self._config.address)
        self._sender.generation = event.generation
        self._max_payload = self._config.max_payload_kib * 1024
        if event.maximum_packet is not None:
            # The limit is for the whole packet.
            room = event.maximum_packet - PACKET_OVERHEAD - self._topics.longest_batch_bytes
            self._max_payload = min(self._max_payload, max(1, room))
        self._window = min(self._config.window, event.receive_maximum or self._config.window)
        self._delivery.dissolve()
        self._lookout.begin_anew()

    def _arrived(self, payload: bytes, now: float) -> None:
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
            self._sender.watch_silence()
            self._refusals.settle()
            self._sender.send_due()
            while self._sender.generation is not None and not self._stop.is_set():
                self._beat()
                cargo = self._next_cargo()
                if cargo is None:
                    return
                self._launch(cargo)
                self._sender.send_due()
        except READ_ERRORS as error:
            # The writer replaces a damaged file; the next look finds the new one.
            log.warning("the outbox cannot be read just now: %s", error)
            self._lookout.close()
            self._stop.wait(IDLE_S)

    def _next_cargo(self) -> Cargo | None:
        if len(self._delivery.flights) >= self._window:
            return None
        now = time.monotonic()
        link = self._link(now)
        waiting = self._lookout.waiting(now, self._refusals.waiting)
        batch = plan.next_batch(waiting, link)
        if batch is None or batch.priority is not Priority.ALARM:
            split = self._refusals.next_cargo(now, alarms_only=not plan.room(link))
            if split is not None:
                return split
        if batch is None:
            return None
        self._last = batch.priority
        self._lookout.chosen(batch)
        slices = tuple(Slice.whole(head) for head in batch.heads)
        return Cargo(batch.priority, batch.epoch, slices, batch.drops)

    def _link(self, now: float) -> Link:
        unconfirmed = sum(len(f.payload) for f in self._delivery.unconfirmed)
        return Link(
            in_flight=len(self._delivery.flights),
            window=self._window,
            unconfirmed_bytes=unconfirmed,
            max_payload=self._max_payload,
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
        loaded = self._loader.load(cargo, self._lookout.reader)
        for head, reason in loaded.refused:
            self._refusals.give_up(head, reason)
        cargo = replace(cargo, slices=loaded.slices)
        if not cargo.slices and not cargo.drops:
            return
        if loaded.payload is None or len(loaded.payload) > self._max_payload:
            reason = loaded.reason or "larger than the broker takes"
            self._refusals.split(cargo, reason, time.monotonic())
            return
        if len(loaded.payload) > OVERSIZE * self._portion.nbytes and cargo.n > 1:
            # One row of a flood on a slow link.
            self._refusals.split(cargo, "more than the link carries", time.monotonic())
            return
        topic = self._topics.of(cargo.priority.storage_class)
        self._delivery.launch(cargo, topic, loaded.payload)
