"""Brings one command to a vehicle: said at once, and again whenever the vehicle comes back.

Saying it twice does no harm: a vehicle does each command at most once.
"""

from __future__ import annotations

import json
import queue
import time
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cloud import topics
from cloud.session import Broker

ANSWER_S = 5.0
AGAIN_S = 15.0


class NoBroker(Exception):
    """The broker cannot be reached, or does not take the command; the text says why."""


class Sender:
    """A connection to the broker while one command is under way; use it in a `with`."""

    def __init__(self, broker: Broker, vehicle: str, token: bytes, expires_s: int) -> None:
        """`expires_s`: UTC in s after which the command is of no use."""
        self._broker = broker
        self._token = token
        self._expires_s = expires_s
        self._command = topics.commands(broker.prefix, vehicle)
        self._status = topics.status(broker.prefix, vehicle)
        self._events: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._said_at: float | None = None
        self.online: bool | None = None
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=broker.client_id, protocol=mqtt.MQTTv5
        )
        self._client.connect_timeout = ANSWER_S
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish

    def __enter__(self) -> Self:
        """Raises NoBroker."""
        access = self._broker.access
        try:
            access.apply(self._client)
            self._client.connect(self._broker.host, self._broker.port, keepalive=15)
        except (OSError, ValueError) as error:
            raise NoBroker(f"broker {self._broker}: {access.explain(error)}") from error
        self._client.loop_start()
        try:
            said = self._events.get(timeout=ANSWER_S)
        except queue.Empty:
            said = "no answer"
        if said != "connected":
            self._client.loop_stop()
            why = access.silence if said == "closed" else access.refused(said)
            raise NoBroker(f"broker {self._broker}: {why}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def step(self, wait_s: float) -> None:
        """Say the command where it is time to; wait a little. Raises NoBroker where refused."""
        now = time.monotonic()
        due = self._said_at is None or now - self._said_at >= AGAIN_S
        if due and self._client.is_connected() and time.time() < self._expires_s:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = max(1, int(self._expires_s - time.time()))
            self._client.publish(self._command, self._token, qos=1, properties=properties)
            self._said_at = now
        try:
            event = self._events.get(timeout=wait_s)
        except queue.Empty:
            return
        if event == "online":
            self._said_at = None
        elif event not in ("connected", "closed"):
            raise NoBroker(f"broker {self._broker} refuses the command: {event}")

    # On paho's thread: they only put.

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, *_: object
    ) -> None:
        if reason.is_failure:
            self._events.put(str(reason))
            return
        client.subscribe(self._status, qos=1)
        self._events.put("connected")

    def _on_disconnect(self, *_: object) -> None:
        self._events.put("closed")

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            online = json.loads(message.payload)["online"] is True
        except (ValueError, KeyError, TypeError):
            return
        came = online and self.online is False
        self.online = online
        if came:
            self._events.put("online")

    def _on_publish(
        self, _client: mqtt.Client, _data: object, _mid: int, reason: ReasonCode, _props: Any
    ) -> None:
        if reason.is_failure:
            self._events.put(str(reason))
