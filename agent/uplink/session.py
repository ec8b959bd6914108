"""One connection to the broker, from its look-up to its end.

Each connection has a client of its own, so nothing that paho queued can be sent again by itself.
All but `publish` and `reset` belong to the dialler's thread. Callbacks only put into the pump's
queue or note what `open` and `step` then act on.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.uplink import handshake, tcp
from agent.uplink.client import Client, make
from agent.uplink.endpoint import (
    FULL_TERMS,
    MAX_COMMAND,
    Arrived,
    Confirmed,
    Connected,
    Endpoint,
    Events,
    Lost,
    Terms,
    Version,
)
from agent.uplink.names import Names
from agent.uplink.watch import Watch

FAREWELL_S = 1.0
EXPIRY_S = 120
"""A broker may forget a batch that nobody took by then: it is sent again anyway, and a queue full
of repeats helps nobody."""

MAX_ARRIVALS = 64
"""Messages of the cloud that wait for the pump, of up to MAX_PACKET: 8 MB. What comes beyond is
said again by a far end that hears nothing."""

_KEEPALIVE_TIMEOUT = 0x8D


class Session:
    """A connection that is opened once, served with `step`, and closed."""

    def __init__(
        self,
        endpoint: Endpoint,
        version: Version,
        generation: int,
        events: Events,
        stop: threading.Event,
        *,
        segment: int | None = None,
        terms: Terms = FULL_TERMS,
        names: Names | None = None,
    ) -> None:
        """`segment`: the largest TCP segment, None for the kernel's choice."""
        self._endpoint = endpoint
        self._segment = segment
        self._terms = terms
        self._names = names or Names()
        self._stop = stop
        self._version = version
        self._generation = generation
        self._events = events
        self._client: Client | None = None
        self._reset: str | None = None
        # Each is counted by one thread at a time; their difference is what the broker owes.
        self._handed = self._answered = 0
        self._receive_maximum: int | None = None
        self.watch: Watch | None = None
        """Looks at the connection from below; None before there is one."""
        self.dropped_events = 0

    def open(self) -> Connected:
        """Connect, subscribe to the acks and state the birth. Raises Refused."""
        at_utc_ms = self._endpoint.certificates_utc_ms()
        client = make(
            self._endpoint,
            self._version,
            self._terms,
            segment=self._segment,
            names=self._names,
            at_utc_ms=at_utc_ms,
        )
        client.on_publish, client.on_message = self._on_publish, self._on_message
        self._client = client
        handshake.connect(client, self._endpoint, self._version, at_utc_ms)
        sock = client.socket()
        if isinstance(sock, socket.socket):
            self.watch = Watch(sock, time.monotonic())
        limits = handshake.accepted(client, self._endpoint, self._version, at_utc_ms, self._stop)
        self._terms = Terms(
            min(self._terms.qos, limits.get("MaximumQoS", 1)),
            self._terms.retain and bool(limits.get("RetainAvailable", 1)),
        )
        self._receive_maximum = limits.get("ReceiveMaximum")
        deaf_to = handshake.subscribe(client, self._endpoint, self._stop)
        self.publish(self._endpoint.status_topic, self._endpoint.birth, status=True)
        return Connected(
            self._generation,
            self._version,
            receive_maximum=self._receive_maximum,
            maximum_packet=limits.get("MaximumPacketSize"),
            deaf_to=deaf_to,
        )

    def step(self, timeout_s: float) -> Lost | None:
        """Read and write for at most `timeout_s`; Lost when the connection is no more."""
        client = self._client
        assert client is not None
        rc = client.serve(timeout_s)
        now = time.monotonic()
        where = self._endpoint.address
        stalled = False
        if self.watch is not None:
            moved = self.watch.look(now)
            if moved is not None:
                return self._lost(moved)
            stalled = self.watch.stalled(now)
        if self._reset is not None:
            return self._lost(self._reset, stalled=stalled)
        if client.oversize is not None:
            return self._lost(f"{where} announced a packet of {client.oversize:,} bytes")
        # A ping after the keep alive, its answer within half of that: 1.5 in all.
        if client.ping_age_s > max(1.0, client.keepalive_in_force_s / 2):
            return self._lost(f"{where} does not answer pings any more", stalled=stalled)
        if rc == MQTTErrorCode.MQTT_ERR_SUCCESS and client.farewell is None:
            return None
        code, stated, text = client.farewell or (0, False, mqtt.error_string(rc))
        if stated:
            return self._lost(f"{where} disconnected us: {text}", code=code, by_peer=True)
        silent = stalled or code == _KEEPALIVE_TIMEOUT or rc == MQTTErrorCode.MQTT_ERR_KEEPALIVE
        reason = "does not answer any more" if silent else "closed the connection"
        return self._lost(f"{where} {reason}", by_peer=not silent, stalled=stalled)

    def publish(self, topic: str, payload: bytes, *, status: bool = False) -> int | None:
        """Hand a message to the network thread; its id, or None where it cannot go now.

        That is where the line is down, and where the broker owes as many confirmations as it takes.
        `status`: retained where possible, and of no expiry.
        """
        client = self._client
        if client is None or self.owed >= (self._receive_maximum or 65_535):
            return None
        properties = None
        if self._version == 5 and not status:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = EXPIRY_S
        retain = status and self._terms.retain
        self._handed += 1
        try:
            info = client.publish(
                topic, payload, qos=self._terms.qos, retain=retain, properties=properties
            )
        except (OSError, ValueError):
            self._handed -= 1
            return None
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._handed -= 1
            return None
        return info.mid

    @property
    def owed(self) -> int:
        """Messages that the broker has not confirmed."""
        return self._handed - self._answered

    def reset(self, reason: str) -> None:
        """Make the next `step` end with Lost."""
        self._reset = reason

    def close(self, *, say_goodbye: bool = False) -> None:
        """End it. A goodbye states `offline` itself; without one the broker publishes the will."""
        client = self._client
        if client is None:
            return
        if say_goodbye and client.farewell is None:
            self.publish(self._endpoint.status_topic, self._endpoint.will, status=True)
            client.disconnect()
            deadline = time.monotonic() + FAREWELL_S
            while client.farewell is None and time.monotonic() < deadline:
                if client.serve(0.1) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    break
        self._client = None
        client.drop_out_messages()
        self._endpoint.wire.end()
        sock = client.socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                if isinstance(sock, socket.socket) and not say_goodbye:
                    tcp.discard_unsent(sock)
                sock.close()
        client.release()

    def _lost(
        self, reason: str, *, code: int | None = None, by_peer: bool = False, stalled: bool = False
    ) -> Lost:
        return Lost(self._generation, reason, code, by_peer, stalled, self.owed)

    def _on_publish(self, _c: Any, _u: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        self._answered += 1
        self._put(Confirmed(self._generation, mid, int(reason.value)))

    def _on_message(self, _c: Any, _u: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        if topic.endswith("/commands"):
            # Past the pump's queue: a flood of them must not cost an ack.
            if self._endpoint.ear is not None:
                self._endpoint.ear(topic, bytes(message.payload[:MAX_COMMAND]), message.retain)
        elif self._events.qsize() < MAX_ARRIVALS:
            self._put(Arrived(bytes(message.payload), topic))
        else:
            self.dropped_events += 1

    def _put(self, event: Confirmed | Arrived) -> None:
        try:
            self._events.put_nowait(event)
        except queue.Full:
            # Nothing is lost: what is not seen acknowledged is sent again.
            self.dropped_events += 1
