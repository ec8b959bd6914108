"""One connection to the broker, from its look-up to its end: the only user of paho.

Each connection has a paho client of its own, so nothing that paho queued can be sent again by
itself. All but `publish` and `reset` belong to the dialler's thread. Callbacks only put into the
pump's queue or note what `open` and `step` then act on.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.uplink import tcp
from agent.uplink.endpoint import (
    MAX_COMMAND,
    Arrived,
    Confirmed,
    Connected,
    Endpoint,
    Events,
    Lost,
    Refused,
    Version,
    explain,
)
from agent.uplink.watch import Watch

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
FAREWELL_S = 1.0
EXPIRY_S = 120
"""A broker may forget a batch that nobody took by then: it is sent again anyway, and a queue full
of repeats helps nobody."""

MAX_ARRIVAL = 256 * 1024

_PROTOCOLS = {5: MQTTProtocolVersion.MQTTv5, 4: MQTTProtocolVersion.MQTTv311}
_UNSUPPORTED_VERSION = 0x84


class _Client(mqtt.Client):
    """paho's client on a socket that was told what it must know before it connects."""

    segment: int | None = None

    def _create_socket_connection(self) -> socket.socket:
        if self._get_proxy():
            return super()._create_socket_connection()
        return tcp.connect(self._host, self._port, self._connect_timeout, self.segment)


class Session:
    """A connection that is opened once, served with `step`, and closed."""

    def __init__(
        self,
        endpoint: Endpoint,
        version: Version,
        generation: int,
        events: Events,
        stop: threading.Event,
        segment: int | None = None,
    ) -> None:
        """`segment`: the largest TCP segment, None for the kernel's choice."""
        self._endpoint = endpoint
        self._segment = segment
        self._stop = stop
        self._version = version
        self._generation = generation
        self._events = events
        self._client: mqtt.Client | None = None
        self._connack: tuple[ReasonCode, Properties | None] | None = None
        self._suback: list[ReasonCode] | None = None
        self._farewell: tuple[int, bool, str] | None = None
        self._reset: str | None = None
        self.watch: Watch | None = None
        """Looks at the connection from below; None before there is one."""
        self.dropped_events = 0

    def open(self) -> Connected:
        """Connect, subscribe to the acks and state the birth. Raises Refused."""
        client = self._new_client()
        self._client = client
        where = self._endpoint.address
        try:
            client.connect(
                self._endpoint.host,
                self._endpoint.port,
                self._endpoint.keepalive_s,
                clean_start=self._version == 5 or mqtt.MQTT_CLEAN_START_FIRST_ONLY,
            )
        except (OSError, ValueError) as e:
            raise Refused(explain(e, self._endpoint)) from e
        sock = client.socket()
        if isinstance(sock, socket.socket):
            self.watch = Watch(sock, time.monotonic())
        if not self._serve_until(lambda: self._connack is not None):
            cut = self._farewell is not None
            raise Refused(
                f"{where} {'closed the connection' if cut else 'gave no answer'} before it "
                f"accepted MQTT {self._version_name}: is it an MQTT broker?",
                other_version=cut,
            )
        assert self._connack is not None
        reason, properties = self._connack
        if reason.is_failure:
            raise Refused(
                f"{where} refuses client id {self._endpoint.client_id!r}: {reason}; "
                "check uplink.username, uplink.password and the broker's rules",
                other_version=reason.value == _UNSUPPORTED_VERSION,
            )
        wanted = [(self._endpoint.acks_topic, 1)]
        if self._endpoint.ear is not None:
            wanted.append((self._endpoint.commands_topic, 1))
        client.subscribe(wanted)
        if not self._serve_until(lambda: self._suback is not None):
            raise Refused(
                f"{where} closed the connection or gave no answer to the subscription to "
                f"{self._endpoint.acks_topic}; the broker's rules must allow it"
            )
        # A broker whose rules know nothing of commands costs the commands only.
        if not self._suback or self._suback[0].is_failure:
            raise Refused(
                f"{where} does not allow the subscription to {self._endpoint.acks_topic}: without "
                "acks nothing can be delivered; allow it in the broker's rules"
            )
        limits = vars(properties) if properties is not None else {}
        retain = bool(limits.get("RetainAvailable", 1))
        client.publish(self._endpoint.status_topic, self._endpoint.birth, qos=1, retain=retain)
        return Connected(
            self._generation,
            self._version,
            receive_maximum=limits.get("ReceiveMaximum"),
            maximum_packet=limits.get("MaximumPacketSize"),
        )

    def step(self, timeout_s: float) -> Lost | None:
        """Read and write for at most `timeout_s`; Lost when the connection is no more."""
        rc = self._loop(timeout_s)
        now = time.monotonic()
        stalled = False
        if self.watch is not None:
            moved = self.watch.look(now)
            if moved is not None:
                return Lost(self._generation, moved, None, by_peer=False)
            stalled = self.watch.stalled(now)
        if self._reset is not None:
            return Lost(self._generation, self._reset, None, by_peer=False, stalled=stalled)
        if rc == MQTTErrorCode.MQTT_ERR_SUCCESS and self._farewell is None:
            return None
        code, stated, text = self._farewell or (0, False, mqtt.error_string(rc))
        where = self._endpoint.address
        if stated:
            return Lost(self._generation, f"{where} disconnected us: {text}", code, by_peer=True)
        silent = stalled or code == 0x8D or rc == MQTTErrorCode.MQTT_ERR_KEEPALIVE
        reason = "does not answer any more" if silent else "closed the connection"
        return Lost(
            self._generation, f"{where} {reason}", None, by_peer=not silent, stalled=stalled
        )

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        """Hand a QoS 1 message to the network thread; its id, or None where the line is down."""
        client = self._client
        if client is None:
            return None
        properties = None
        if self._version == 5 and not retain:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = EXPIRY_S
        try:
            info = client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        except (OSError, ValueError):
            return None
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def reset(self, reason: str) -> None:
        """Make the next `step` end with Lost."""
        self._reset = reason

    def close(self, *, say_goodbye: bool = False) -> None:
        """End it. A goodbye states `offline` itself; without one the broker publishes the will."""
        client = self._client
        if client is None:
            return
        if say_goodbye and self._farewell is None:
            self.publish(self._endpoint.status_topic, self._endpoint.will, retain=True)
            client.disconnect()
            deadline = time.monotonic() + FAREWELL_S
            while self._farewell is None and time.monotonic() < deadline:
                if self._loop(0.1) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    break
        self._client = None
        client.drop_out_messages()
        sock = client.socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                if isinstance(sock, socket.socket) and not say_goodbye:
                    tcp.discard_unsent(sock)
                sock.close()
        # Without its callbacks the client is in no reference cycle and closes its sockets now.
        client.on_connect = client.on_disconnect = client.on_message = None
        client.on_publish = client.on_subscribe = None

    @property
    def _version_name(self) -> str:
        return "5" if self._version == 5 else "3.1.1"

    def _loop(self, timeout_s: float) -> MQTTErrorCode:
        assert self._client is not None
        try:
            return self._client.loop(timeout_s)
        except Exception:
            # paho raises many kinds for bytes that are no MQTT; all mean: this line is of no use.
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _serve_until(self, reached: Callable[[], bool]) -> bool:
        """Read and write until `reached`; False where the line is cut or nothing comes in time."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while not reached():
            if time.monotonic() > deadline or self._stop.is_set():
                return False
            rc = self._loop(0.2)
            if rc != MQTTErrorCode.MQTT_ERR_SUCCESS and not reached():
                self._farewell = self._farewell or (0, False, mqtt.error_string(rc))
                return False
        return True

    def _new_client(self) -> mqtt.Client:
        endpoint = self._endpoint
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=endpoint.client_id,
            clean_session=None if self._version == 5 else True,
            protocol=_PROTOCOLS[self._version],
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = True
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(0)  # the pump's window rules
        client.will_set(endpoint.status_topic, endpoint.will, qos=1, retain=True)
        if endpoint.username is not None:
            client.username_pw_set(endpoint.username, endpoint.password)
        context = endpoint.tls_context()
        if context is not None:
            client.tls_set_context(context)
        client.segment = self._segment
        # With this set, `publish` leaves the writing to the thread that runs `loop`.
        client.on_socket_register_write = _leave_it_to_the_loop
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _on_connect(
        self, _c: Any, _u: Any, _flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._connack = (reason, properties)

    def _on_subscribe(
        self, _c: Any, _u: Any, _mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        self._suback = codes

    def _on_disconnect(
        self,
        _c: Any,
        _u: Any,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Any,
    ) -> None:
        stated = flags.is_disconnect_packet_from_server
        self._farewell = (int(reason.value), stated, str(reason))

    def _on_publish(self, _c: Any, _u: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
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
            return
        if len(message.payload) <= MAX_ARRIVAL:
            self._put(Arrived(bytes(message.payload)))

    def _put(self, event: Confirmed | Arrived) -> None:
        try:
            self._events.put_nowait(event)
        except queue.Full:
            # Nothing is lost: what is not seen acknowledged is sent again.
            self.dropped_events += 1


def _leave_it_to_the_loop(_client: Any, _userdata: Any, _sock: Any) -> None:
    return
