"""What the connection and the far end say, and who of the uplink must know. The pump's thread only.

A confirmation of the broker tells what the link carries and whether it refuses; only the
application's ack, clamped to what was sent, tells the outbox that something is done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from agent.alarms import Alarm, of
from agent.store.rows import Range
from agent.uplink import acks
from agent.uplink.accounting import Accounting
from agent.uplink.announcing import Announcing
from agent.uplink.courier import Courier
from agent.uplink.delivery import Delivery
from agent.uplink.despatch import Despatch
from agent.uplink.dialler import Dialler
from agent.uplink.endpoint import Arrived, Confirmed, Connected, Event, Lost
from agent.uplink.lookout import Lookout
from agent.uplink.refusals import FAILURE
from agent.uplink.sending import Sender

log = logging.getLogger("brain.uplink")


class Hearing:
    """Takes one event after the other."""

    def __init__(
        self,
        address: str,
        *,
        dialler: Dialler,
        sender: Sender,
        despatch: Despatch,
        delivery: Delivery,
        lookout: Lookout,
        announcing: Announcing,
        courier: Courier,
        accounting: Accounting,
        acked: Callable[[str, Sequence[Range]], None],
    ) -> None:
        """`address`: the broker as people write it. `acked`: see Uplink."""
        self._address = address
        self._dialler = dialler
        self._sender = sender
        self._refusals = sender.refusals
        self._despatch = despatch
        self._delivery = delivery
        self._lookout = lookout
        self._announcing = announcing
        self._courier = courier
        self._accounting = accounting
        self._acked = acked

    def take(self, event: Event) -> None:
        """Hear one event; one of a connection that is no more says nothing."""
        now = time.monotonic()
        match event:
            case Connected():
                self._connected(event, now)
            case Lost() if event.generation == self._sender.generation:
                self._lost(event, now)
            case Confirmed():
                self._confirmed(event, now)
            case Arrived() if not self._courier.arrived(event):
                self._arrived(event.payload, now)
            case _:
                return

    def _connected(self, event: Connected, now: float) -> None:
        log.info("uplink up: %s", self._address)
        self._sender.connected(event.generation)
        self._courier.connected(event)
        self._despatch.connected(event)
        self._announcing.connected()
        self._accounting.connected()
        self._delivery.dissolve()
        self._refusals.connected(now)
        self._lookout.begin_anew()

    def _lost(self, event: Lost, now: float) -> None:
        log.warning("uplink down: %s", event.reason, extra=of(Alarm.UPLINK_DOWN))
        self._despatch.portion.lost(self._delivery.unconfirmed_bytes)
        self._sender.lost(event.code, now)
        self._refusals.lost(event, now)
        self._courier.lost(now, by_peer=event.of_a_message)

    def _confirmed(self, event: Confirmed, now: float) -> None:
        flight = self._delivery.find((event.generation, event.mid))
        if flight is None:
            chunk = self._courier.confirmed(event, now)
            if chunk is not None:
                nbytes, sent_at = chunk
                rtt_s = self._dialler.rtt_s(event.generation)
                self._despatch.portion.confirmed(nbytes, sent_at, now, rtt_s=rtt_s)
            return
        if flight.sent_at is not None:
            self._despatch.portion.confirmed(
                *(len(flight.payload), flight.sent_at, now),
                ahead=flight.ahead,
                rtt_s=self._dialler.rtt_s(event.generation),
            )
        self._sender.answered(event.code, now)
        self._refusals.confirmed(flight, event.code, now)
        if event.code >= FAILURE:
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
