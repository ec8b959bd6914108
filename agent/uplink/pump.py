"""The pump: takes committed rows, sends them, and hears what the cloud application has.

Its thread owns the reader, the plan and the deliveries; the connection has a thread of its own.
PUBACK is not delivery: a row is done when the application's ack covers it, and until then it is
sent again. What was sent is not remembered over a restart: the far end removes duplicates.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from agent.clock import OffsetRow
from agent.record import StorageClass
from agent.store.reader import READ_ERRORS
from agent.store.rows import Drop, Range, Row, RowHead
from agent.uplink import plan
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
from agent.uplink.flight import Cargo, Flight, Slice
from agent.uplink.loading import Loader
from agent.uplink.pace import BYTES_PER_S, MESSAGES_PER_S, TokenBucket
from agent.uplink.payload import GroupOf
from agent.uplink.plan import Link, Priority, Waiting
from agent.uplink.refusals import Refusals
from agent.uplink.settings import UplinkConfig
from agent.uplink.topics import Topics

log = logging.getLogger("brain.uplink")

LOOK_ROWS = 800
NEWEST_ROWS = 64
IDLE_S = 0.5
SILENT_S = 20.0
"""A broker that owes its confirmation this long is given up, however open the connection looks."""


class Reader(Protocol):
    """What the pump reads of the outbox."""

    def oldest(
        self, storage_class: StorageClass, after: RowHead | None, limit: int
    ) -> list[RowHead]: ...
    def newest(self, storage_class: StorageClass, limit: int) -> list[RowHead]: ...
    def load(self, head: RowHead) -> Row: ...
    def drops(self) -> list[Drop]: ...
    def offsets(self) -> list[OffsetRow]: ...
    def close(self) -> None: ...


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
        self._make_reader = reader
        self._acked = acked
        self._beat = beat
        self._events: Events = queue.Queue(MAX_EVENTS)
        self._dialler = Dialler(Endpoint.of(config, self._topics, epoch, boot), self._events)
        self._delivery = Delivery(config.ack_timeout_s)
        self._loader = Loader(vehicle, config.format, groups)
        self._refusals = Refusals(self._delivery, refuse)
        self._messages = TokenBucket(MESSAGES_PER_S)
        self._bytes = TokenBucket(BYTES_PER_S)
        self._generation: int | None = None
        self._max_payload = config.max_payload_kib * 1024
        self._window = config.window
        self._cursor: dict[StorageClass, RowHead] = {}
        self._live_after: RowHead | None = None
        self._last: Priority | None = None
        self._history_since: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink")
        self._reader: Reader | None = None
        self.sent_batches = self.resent_batches = self.sent_bytes = 0

    def start(self) -> None:
        """Start pumping, and dialling where the uplink is enabled."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is under way is sent again in the next life."""
        self._stop.set()
        self.wake()
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
            "sent_batches": self.sent_batches,
            "resent_batches": self.resent_batches,
            "sent_bytes": self.sent_bytes,
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
                if self._generation is not None:
                    self._pump()
        finally:
            if self._config.enabled:
                self._dialler.stop()
            if self._reader is not None:
                self._reader.close()

    def _pause_s(self) -> float:
        now = time.monotonic()
        timeout = self._delivery.next_timeout()
        due = IDLE_S if timeout is None else max(0.01, timeout - now)
        if self._history_since is not None:
            due = min(due, max(0.01, self._history_since + self._config.linger_s - now))
        return min(IDLE_S, due)

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
            case Lost() if event.generation == self._generation:
                log.warning("uplink down: %s", event.reason)
                self._generation = None
                blamed = self._delivery.lost(
                    now, by_peer=event.by_peer, stated=event.code is not None
                )
                self._refusals.judge(blamed)
            case Confirmed():
                flight = self._delivery.find((event.generation, event.mid))
                if flight is not None:
                    self._refusals.confirmed(flight, event.code, now)
            case Arrived():
                self._arrived(event.payload, now)
            case _:
                return

    def _connected(self, event: Connected) -> None:
        log.info("uplink up: %s", self._config.address)
        self._generation = event.generation
        limit = event.maximum_packet
        # The limit is for the whole packet: topic, properties and header included.
        room = limit - 512 if limit else self._config.max_payload_kib * 1024
        self._max_payload = max(1024, min(self._config.max_payload_kib * 1024, room))
        self._window = min(self._config.window, event.receive_maximum or self._config.window)
        self._delivery.dissolve()
        self._cursor.clear()

    def _arrived(self, payload: bytes, now: float) -> None:
        try:
            stated = json.loads(payload)
            epoch = str(stated["epoch"])
            ranges = [Range(int(first), int(last)) for first, last in stated["ranges"]]
        except (ValueError, KeyError, TypeError) as error:
            log.warning("an ack that is none was ignored: %s", error)
            return
        ranges = [span for span in ranges if 0 < span.first <= span.last < 1 << 48]
        news = self._delivery.acked(epoch, ranges, now)
        if news:
            self._dialler.useful()
            self._acked(epoch, news)

    # --- sending -------------------------------------------------------------------------------

    def _pump(self) -> None:
        try:
            self._watch_silence()
            self._send_due()
            while self._generation is not None and not self._stop.is_set():
                cargo = self._next_cargo()
                if cargo is None:
                    return
                self._launch(cargo)
                self._send_due()
        except READ_ERRORS as error:
            # The writer replaces a damaged file; the next look finds the new one.
            log.warning("the outbox cannot be read just now: %s", error)
            if self._reader is not None:
                self._reader.close()
            self._reader = None
            self._stop.wait(IDLE_S)

    def _next_cargo(self) -> Cargo | None:
        if len(self._delivery.flights) >= self._window:
            return None
        split = self._refusals.next_cargo()
        if split is not None:
            return split
        now = time.monotonic()
        waiting = self._waiting(now)
        batch = plan.next_batch(waiting, self._link(now))
        if batch is None:
            return None
        self._last = batch.priority
        if batch.priority in (Priority.LIVE, Priority.HISTORY) and batch.heads:
            newest = batch.heads[-1]
            after = self._live_after
            if after is None or after.epoch != newest.epoch or newest.last > after.last:
                self._live_after = newest
        slices = tuple(Slice.whole(head) for head in batch.heads)
        return Cargo(batch.priority, batch.epoch, slices, batch.drops)

    def _waiting(self, now: float) -> Waiting:
        reader = self._open_reader()
        split = self._refusals.waiting
        alarm, _ = self._look(reader, StorageClass.ALARM)
        history, more = self._look(reader, StorageClass.HISTORY)
        bulk, _ = self._look(reader, StorageClass.BULK)
        newest: list[RowHead] = []
        if more:
            heads = reader.newest(StorageClass.HISTORY, NEWEST_ROWS)
            newest = self._delivery.open_rows(heads, split)
        if not history:
            self._history_since = None
        elif self._history_since is None:
            self._history_since = now
        waited_s = 0.0 if self._history_since is None else now - self._history_since
        drops = self._delivery.open_drops(reader.drops(), split)
        return Waiting(alarm, history, newest, bulk, drops, waited_s, more, self._live_after)

    def _look(self, reader: Reader, storage_class: StorageClass) -> tuple[list[RowHead], bool]:
        """Open rows behind the cursor, and whether there are more than were looked at."""
        while True:
            heads = reader.oldest(storage_class, self._cursor.get(storage_class), LOOK_ROWS)
            found = self._delivery.open_rows(heads, self._refusals.waiting)
            more = len(heads) == LOOK_ROWS
            # What lies before the first open row is under way or done: do not look again.
            first = heads.index(found[0]) if found else len(heads)
            if first:
                self._cursor[storage_class] = heads[first - 1]
            if found or not more:
                return found, more

    def _link(self, now: float) -> Link:
        unconfirmed = sum(len(f.payload) for f in self._delivery.unconfirmed)
        return Link(
            in_flight=len(self._delivery.flights),
            window=self._window,
            unconfirmed_bytes=unconfirmed,
            max_payload=self._max_payload,
            expansion=self._loader.expansion,
            messages=self._messages.level(now),
            nbytes=self._bytes.level(now),
            paused=self._refusals.paused(now),
            linger_s=self._config.linger_s,
            last=self._last,
        )

    def _launch(self, cargo: Cargo) -> None:
        """Encode it and make it a flight; split it where it does not fit."""
        loaded = self._loader.load(cargo, self._open_reader())
        for head, reason in loaded.refused:
            self._refusals.give_up(head, reason)
        cargo = replace(cargo, slices=loaded.slices)
        if not cargo.slices and not cargo.drops:
            return
        if loaded.payload is None or len(loaded.payload) > self._max_payload:
            self._refusals.split(cargo, loaded.reason or "larger than the broker takes")
            return
        self._history_since = None
        topic = self._topics.of(cargo.priority.storage_class)
        self._delivery.launch(cargo, topic, loaded.payload)

    def _send_due(self) -> None:
        now = time.monotonic()
        for flight in self._delivery.due(now):
            if self._generation is None or self._messages.level(now) < 1:
                return
            in_the_air = [f for f in self._delivery.unconfirmed if f is not flight]
            if in_the_air and (flight.suspect or any(f.suspect for f in in_the_air)):
                # Alone, so that a refusal proves something.
                continue
            if flight.sent_at is not None:
                self._delivery.repeat(flight)
            if not self._publish(flight, now):
                return

    def _publish(self, flight: Flight, now: float) -> bool:
        assert self._generation is not None
        mid = self._dialler.publish(self._generation, flight.topic, flight.payload)
        if mid is None:
            return False
        if flight.times_sent:
            self.resent_batches += 1
        self.sent_batches += 1
        self.sent_bytes += len(flight.payload)
        self._messages.take(now, 1)
        self._bytes.take(now, len(flight.payload))
        self._delivery.sent(flight, (self._generation, mid), now)
        return True

    def _watch_silence(self) -> None:
        now = time.monotonic()
        oldest = min(
            (f.sent_at for f in self._delivery.unconfirmed if f.sent_at is not None), default=now
        )
        if self._generation is not None and now - oldest > SILENT_S:
            self._dialler.reset(self._generation, f"no confirmation for {SILENT_S:.0f} s")

    def _open_reader(self) -> Reader:
        if self._reader is None:
            self._reader = self._make_reader()
        return self._reader
