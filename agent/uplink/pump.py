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

from agent.signals import Catalogue
from agent.spool import Spool
from agent.store.reader import READ_ERRORS
from agent.store.rows import Loss, Range
from agent.uplink.accounting import Accounting
from agent.uplink.announcing import Announcing
from agent.uplink.budget import BudgetConfig
from agent.uplink.courier import Courier
from agent.uplink.delivery import Delivery
from agent.uplink.despatch import Despatch
from agent.uplink.dialler import Dialler, LinkState
from agent.uplink.endpoint import MAX_EVENTS, Ear, Endpoint, Event, Events
from agent.uplink.hearing import Hearing
from agent.uplink.loading import Loader
from agent.uplink.lookout import Lookout, Reader
from agent.uplink.payload import GroupOf
from agent.uplink.refusals import Refusals
from agent.uplink.sending import Sender
from agent.uplink.settings import UplinkConfig
from agent.uplink.topics import Topics

log = logging.getLogger("brain.uplink")

IDLE_S = 0.5
MIN_PAUSE_S = 0.01


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
        refuse: Callable[[Loss], None],
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
        self._beat = beat
        self._events: Events = queue.Queue(MAX_EVENTS)
        self._accounting = accounting or Accounting(BudgetConfig(), None)
        topics = Topics(config.prefix, vehicle)
        endpoint = Endpoint.of(config, topics, epoch, boot, certificates_utc_ms, ear)
        self._dialler = Dialler(replace(endpoint, wire=self._accounting.wire), self._events)
        self._delivery = Delivery(config.ack_timeout_s)
        self._lookout = Lookout(reader, self._delivery)
        loader = Loader(vehicle, config.format, groups)
        announcing = Announcing(catalogue if config.format == "protobuf" else None)
        self._refusals = Refusals(self._delivery, refuse)
        self._sender = Sender(
            *(self._dialler, self._delivery, self._refusals),
            messages_per_s=config.messages_per_s,
            bytes_per_s=config.kib_per_s * 1024,
            handed=self._accounting.handed,
        )
        self._courier = Courier(
            spool, config, topics, loader, self._sender, self._delivery, self.wake
        )
        self._despatch = Despatch(
            *(config, topics),
            sender=self._sender,
            delivery=self._delivery,
            lookout=self._lookout,
            loader=loader,
            announcing=announcing,
            courier=self._courier,
            accounting=self._accounting,
            acked=acked,
        )
        self._hearing = Hearing(
            config.address,
            dialler=self._dialler,
            sender=self._sender,
            despatch=self._despatch,
            delivery=self._delivery,
            lookout=self._lookout,
            announcing=announcing,
            courier=self._courier,
            accounting=self._accounting,
            acked=acked,
        )
        self._pumped_at = time.monotonic()
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
            "error": "; ".join(filter(None, (link.problem, self._refusals.problem))) or None,
            "deaf_to": list(link.deaf_to),
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
                if self._config.enabled and not self._dialler.alive:
                    raise RuntimeError("the thread of the connection has ended")
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
            None if since is None else since + self._despatch.linger_s,
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
        if event == "wake":
            self._woken = False
        else:
            self._hearing.take(event)

    def _pump(self) -> None:
        self._pumped_at = time.monotonic()
        try:
            self._despatch.send(self._going)
        except READ_ERRORS as error:
            # The writer replaces a damaged file; the next look finds the new one.
            log.warning("the outbox cannot be read just now: %s", error)
            self._lookout.close()
            self._stop.wait(IDLE_S)

    def _going(self) -> bool:
        self._beat()
        return not self._stop.is_set()
