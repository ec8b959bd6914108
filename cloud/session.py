"""The MQTT 5 session of the cloud end: what vehicles send goes into a bounded queue, acks go out.

Two threads: `mqtt-link` (ours) connects, subscribes and reconnects with backoff; paho's own reads
and writes the socket. paho's callbacks do nothing but put: an exception there would end its thread,
a lock shared with `publish` would dead-lock. Acks are not kept across connections: what a vehicle
did not hear, it asks for again.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cloud import topics
from cloud.broker_access import Access
from cloud.intake import Received

log = logging.getLogger("cloud")

FIRST_BACKOFF_S = 0.2
LAST_BACKOFF_S = 5.0
HEALTHY_S = 5.0
"""A connection that lasted this long starts the backoff anew."""
ANSWER_S = 5.0
"""How long the broker may take to accept a connection or a subscription."""
KEEPALIVE_S = 15
SESSION_EXPIRY_S = 3600
"""How long the broker keeps messages for us while we are away."""
MAX_QUEUED = 1_000
"""Messages between paho and the receiver: 96 MiB of the largest that vehicles send by default."""
MAX_ACKS_QUEUED = 1_000


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is, and as whom to come: a client id is one client's alone."""

    host: str
    port: int
    prefix: str
    client_id: str
    access: Access

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class LinkDown(Exception):
    """Why there is no connection; the text names no broker."""


class Session:
    """Keeps one subscription alive. `inbox` holds what came, `publish` sends."""

    def __init__(self, broker: Broker, *, subscribed: Callable[[], None]) -> None:
        """`subscribed` is called once, on the link thread, when messages begin to come."""
        self.inbox: queue.Queue[Received] = queue.Queue(MAX_QUEUED)
        self.overflow = 0
        self.error: str | None = None
        self._broker = broker
        self._subscribed = subscribed
        self._events: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
        self._up = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._link, name="mqtt-link", daemon=True)
        self._client = self._make_client()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Says goodbye to the broker, which keeps the session; returns within 3 s."""
        self._stop.set()
        self._events.put(("stop", None))
        self._thread.join(3.0)

    @property
    def up(self) -> bool:
        """Whether the subscription stands."""
        return self._up.is_set()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hands a message to paho; False where that cannot be: the vehicle will ask again."""
        if not self._up.is_set():
            return False
        return self._client.publish(topic, payload, qos=1).rc == mqtt.MQTT_ERR_SUCCESS

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._broker.client_id,
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = ANSWER_S
        client.max_queued_messages_set(MAX_ACKS_QUEUED)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    # The callbacks: on paho's thread, they only put.

    def _on_connect(
        self, _client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, *_: object
    ) -> None:
        self._events.put(("connect", str(reason) if reason.is_failure else None))

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, reasons: list[ReasonCode], *_: object
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self._events.put(("subscribe", refused[0] if refused else None))

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, *_: object
    ) -> None:
        self._events.put(("disconnect", str(reason)))

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        boottime_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        received = Received(topic, bytes(message.payload), boottime_ms, time.time_ns() // 1_000_000)
        # A full queue stops paho from reading, and so the broker from sending, for up to 5 s. What
        # is then given up was not acknowledged: the vehicle sends it again.
        for _ in range(10):
            try:
                self.inbox.put(received, timeout=0.5)
                return
            except queue.Full:
                if self._stop.is_set():
                    return
        self.overflow += 1

    # The link thread.

    def _link(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        said: str | None = None
        first = True
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._connect()
                if self._stop.is_set():
                    break
                if first:
                    self._subscribed()
                elif said is not None:
                    log.info("broker %s: connected again", self._broker)
                first, said, self.error = False, None, None
                began = time.monotonic()
                self._expect("disconnect", None)
            except LinkDown as error:
                self.error = str(error)
                if self.error != said and not self._stop.is_set():
                    log.warning("broker %s: %s; trying again until it works", self._broker, error)
                said = self.error
            finally:
                self._hang_up()
            if time.monotonic() - began >= HEALTHY_S:
                backoff_s = FIRST_BACKOFF_S
            self._stop.wait(max(FIRST_BACKOFF_S, backoff_s * random.uniform(0.5, 1.0)))
            backoff_s = min(2 * backoff_s, LAST_BACKOFF_S)

    def _connect(self) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        while not self._events.empty():
            self._events.get()
        access = self._broker.access
        try:
            access.apply(self._client)
            self._client.connect(
                self._broker.host,
                self._broker.port,
                keepalive=KEEPALIVE_S,
                clean_start=False,
                properties=properties,
            )
        except (OSError, ValueError) as error:
            raise LinkDown(access.explain(error)) from None
        self._client.loop_start()
        self._expect("connect", ANSWER_S)
        self._client.subscribe(topics.subscription(self._broker.prefix), qos=1)
        self._expect("subscribe", ANSWER_S)
        self._up.set()

    def _expect(self, event: str, within_s: float | None) -> None:
        """Waits for an event of paho's. LinkDown if it is bad news or does not come in time."""
        deadline = None if within_s is None else time.monotonic() + within_s
        while not self._stop.is_set():
            try:
                name, refusal = self._events.get(timeout=0.5)
            except queue.Empty:
                if deadline is not None and time.monotonic() > deadline:
                    raise LinkDown(f"no answer to {event} within {within_s:g} s") from None
                if not self._alive():
                    raise LinkDown("the network thread ended") from None
                continue
            if name == "disconnect" and event == "connect":
                raise LinkDown(self._broker.access.silence)
            if name == "disconnect":
                raise LinkDown(f"connection lost: {refusal}")
            if name == event and refusal is not None:
                why = self._broker.access.refused(refusal)
                raise LinkDown(f"{event} refused: {why}")
            if name == event:
                return

    def _alive(self) -> bool:
        thread: Any = getattr(self._client, "_thread", None)
        return thread is not None and thread.is_alive()

    def _hang_up(self) -> None:
        self._up.clear()
        self._client.disconnect()
        self._client.loop_stop()
        self._client.drop_out_messages()
