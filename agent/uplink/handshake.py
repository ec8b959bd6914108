"""From a client to a connection that serves: TCP and TLS, CONNECT, the subscriptions.

Each step raises Refused with why it did not come about, and what to do. The dialler's thread only.
"""

from __future__ import annotations

import ssl
import threading
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.uplink import tls
from agent.uplink.client import MAX_PACKET, Client
from agent.uplink.endpoint import CANNOT_SERVE, Endpoint, Version
from agent.uplink.refused import Refused, Why, explain

RECEIVE_MAXIMUM = 20

_UNSUPPORTED_VERSION = 0x84


def connect(client: Client, endpoint: Endpoint, version: Version, at_utc_ms: int | None) -> None:
    """Connect and hand over the CONNECT; `at_utc_ms` as in `tls.context`."""
    properties = None
    if version == 5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = MAX_PACKET
    try:
        client.connect(
            endpoint.host,
            endpoint.port,
            endpoint.keepalive_s,
            clean_start=version == 5 or mqtt.MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
        )
    except ssl.SSLError as e:
        raise tls.explain(e, endpoint.address, at_utc_ms) from e
    except (OSError, ValueError) as e:
        raise explain(e, endpoint.address, endpoint.host) from e


def accepted(
    client: Client,
    endpoint: Endpoint,
    version: Version,
    at_utc_ms: int | None,
    stop: threading.Event,
) -> dict[str, Any]:
    """Wait for the CONNACK; the properties that it announces, by their names in paho."""
    where = endpoint.address
    if not client.serve_until(lambda: client.connack is not None, stop):
        if client.trouble is not None:
            raise tls.explain(client.trouble, where, at_utc_ms)
        cut = client.farewell is not None
        raise Refused(
            f"{where} {'closed the connection' if cut else 'gave no answer'} before it "
            f"accepted MQTT {'5' if version == 5 else '3.1.1'}: is it an MQTT broker?",
            why=Why.CONFUSED,
            other_version=cut,
        )
    assert client.connack is not None
    reason, properties = client.connack
    code = int(reason.value)
    if code in CANNOT_SERVE:
        raise Refused(f"{where} cannot serve now: {reason}", why=Why.BUSY, code=code)
    if reason.is_failure:
        raise Refused(
            f"{where} refuses client id {endpoint.client_id!r}: {reason}; "
            "check uplink.username, uplink.password and the broker's rules",
            why=Why.DENIED,
            other_version=code == _UNSUPPORTED_VERSION,
            code=code,
        )
    return vars(properties) if properties is not None else {}


def subscribe(client: Client, endpoint: Endpoint, stop: threading.Event) -> tuple[str, ...]:
    """Subscribe to acks, to what is needed of files, and to commands where somebody hears them.

    Gives those topics that the broker does not allow; without acks there is no connection.
    """
    where, topic = endpoint.address, endpoint.acks_topic
    wanted = [(topic, 1), (endpoint.need_topic, 1)]
    if endpoint.ear is not None:
        wanted.append((endpoint.commands_topic, 1))
    client.subscribe(wanted)
    if not client.serve_until(lambda: client.suback is not None, stop):
        raise Refused(
            f"{where} closed the connection or gave no answer to the subscription to "
            f"{topic}; the broker's rules must allow it",
            why=Why.DENIED,
            silent=True,
        )
    if not client.suback or client.suback[0].is_failure:
        raise Refused(
            f"{where} does not allow the subscription to {topic}: without "
            "acks nothing can be delivered; allow it in the broker's rules",
            why=Why.DENIED,
        )
    # A broker whose rules know nothing of files or commands costs these only.
    answers = zip(wanted, client.suback, strict=False)
    return tuple(name for (name, _), answer in answers if answer.is_failure)
