"""paho's client with what it leaves open: the socket below it, and a bound on what it reads."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.uplink import tcp, tls
from agent.uplink.endpoint import Endpoint, Terms, Version
from agent.uplink.names import Names

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0

MAX_PACKET = 128 * 1024
"""The largest packet that is read; a cloud has nothing larger to say. It is announced to brokers
that speak MQTT 5, and held against all."""

_PROTOCOLS = {5: MQTTProtocolVersion.MQTTv5, 4: MQTTProtocolVersion.MQTTv311}


class TooLarge(ConnectionError):
    """The broker announced a packet that is not going to be read."""


class Client(mqtt.Client):
    """Notes what the broker answers; None as long as it has not.

    `farewell`: the end of the connection, as code, whether the broker stated it, and text.
    `trouble` is what TLS said, `oversize` the bytes of a packet that was refused.
    """

    names: Names
    segment: int | None = None
    trouble: ssl.SSLError | None = None
    oversize: int | None = None
    connack: tuple[ReasonCode, Properties | None] | None = None
    suback: list[ReasonCode] | None = None
    farewell: tuple[int, bool, str] | None = None

    def serve(self, timeout_s: float) -> MQTTErrorCode:
        """Read and write for at most `timeout_s`."""
        try:
            return self.loop(timeout_s)
        except Exception:
            # paho raises many kinds for bytes that are no MQTT; all mean: this line is of no use.
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def serve_until(self, reached: Callable[[], bool], stop: threading.Event) -> bool:
        """Read and write until `reached`; False where the line is cut or nothing comes in time."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while not reached():
            if time.monotonic() > deadline or stop.is_set():
                return False
            rc = self.serve(0.2)
            if rc != MQTTErrorCode.MQTT_ERR_SUCCESS and not reached():
                self.farewell = self.farewell or (0, False, mqtt.error_string(rc))
                return False
        return True

    def release(self) -> None:
        """Without its callbacks it is in no reference cycle and closes its sockets now."""
        self.on_connect = self.on_disconnect = self.on_message = None
        self.on_publish = self.on_subscribe = None

    @property
    def ping_age_s(self) -> float:
        """How long the broker owes the answer to a ping; 0 where it owes none."""
        return time.monotonic() - self._ping_t if self._ping_t else 0.0

    @property
    def keepalive_in_force_s(self) -> int:
        """Ours, or the server's where it stated one."""
        return int(self._keepalive)

    def _create_socket_connection(self) -> socket.socket:
        if self._get_proxy():
            return super()._create_socket_connection()
        return tcp.connect(self._host, self._port, self._connect_timeout, self.segment, self.names)

    def _sock_recv(self, bufsize: int) -> Any:
        # paho asks for all that a packet announces, 256 MB at most, and gathers it in memory.
        if bufsize > MAX_PACKET:
            self.oversize = bufsize
            raise TooLarge
        try:
            return super()._sock_recv(bufsize)
        except ssl.SSLError as error:
            self.trouble = error
            raise

    def _note_connack(
        self, _c: Any, _u: Any, _flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self.connack = (reason, properties)

    def _note_suback(
        self, _c: Any, _u: Any, _mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        self.suback = codes

    def _note_farewell(
        self,
        _c: Any,
        _u: Any,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Any,
    ) -> None:
        stated = flags.is_disconnect_packet_from_server
        self.farewell = (int(reason.value), stated, str(reason))


def make(
    endpoint: Endpoint,
    version: Version,
    terms: Terms,
    *,
    segment: int | None,
    names: Names,
    at_utc_ms: int | None,
) -> Client:
    """A client that is not connected yet; `at_utc_ms` as in `tls.context`. Raises Refused."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=endpoint.client_id,
        clean_session=None if version == 5 else True,
        protocol=_PROTOCOLS[version],
        reconnect_on_failure=False,
    )
    client.suppress_exceptions = True
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages_set(0)  # the pump's window rules
    client.will_set(endpoint.status_topic, endpoint.will, qos=terms.qos, retain=terms.retain)
    if endpoint.username is not None:
        client.username_pw_set(endpoint.username, endpoint.password)
    if endpoint.config.tls == "on":
        client.tls_set_context(tls.context(endpoint.config, at_utc_ms))
    client.segment, client.names = segment, names
    # With this set, `publish` leaves the writing to the thread that runs `loop`.
    client.on_socket_register_write = _leave_it_to_the_loop
    client.on_connect = client._note_connack
    client.on_subscribe = client._note_suback
    client.on_disconnect = client._note_farewell
    return client


def _leave_it_to_the_loop(_client: Any, _userdata: Any, _sock: Any) -> None:
    return
