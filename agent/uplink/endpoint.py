"""Where the broker is and who we are there, and what a connection to it tells the pump."""

from __future__ import annotations

import json
import queue
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agent.uplink.settings import UplinkConfig
from agent.uplink.topics import Topics

Version = Literal[5, 4]
"""The protocol level: MQTT 5, or 4 for MQTT 3.1.1."""

TAKEN_OVER = 0x8E
NOT_AUTHORIZED = 0x87
QUOTA_EXCEEDED = 0x97
RECEIVE_MAXIMUM_EXCEEDED = 0x93
FORMAT_INVALID = 0x99
PACKET_TOO_LARGE = 0x95

MAX_EVENTS = 4_096


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection stands. Limits are None where the broker announced none."""

    generation: int
    version: Version
    receive_maximum: int | None
    maximum_packet: int | None


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is no more. `code`: the broker's reason where it stated one.

    `by_peer`: it was cut from outside; else it was silence, or our own wish. `stalled`: nothing
    that we sent was answered any more.
    """

    generation: int
    reason: str
    code: int | None
    by_peer: bool
    stalled: bool = False


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The broker's PUBACK of message `mid`; from `code` 0x80 on it is a refusal. No delivery."""

    generation: int
    mid: int
    code: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """An ack message of the cloud, undecoded."""

    payload: bytes


Ear = Callable[[str, bytes, bool], None]
"""Hears commands: topic, the first MAX_COMMAND bytes, whether retained. Never blocks or raises."""
MAX_COMMAND = 8_193

Event = Connected | Lost | Confirmed | Arrived | Literal["wake"]
Events = queue.Queue[Event]


class Refused(Exception):
    """No connection came about; the text says why and what to do.

    `other_version`: the broker may speak the other version of MQTT.
    """

    def __init__(self, text: str, *, other_version: bool = False) -> None:
        super().__init__(text)
        self.other_version = other_version


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker, our name there, our birth and last will."""

    config: UplinkConfig
    client_id: str
    status_topic: str
    acks_topic: str
    birth: bytes
    will: bytes
    commands_topic: str = ""
    ear: Ear | None = None
    """None: nobody is subscribed to commands."""

    @classmethod
    def of(
        cls,
        config: UplinkConfig,
        topics: Topics,
        epoch: str,
        boot: str,
        ear: Ear | None = None,
    ) -> Endpoint:
        """The endpoint of a vehicle. The client id is the vehicle's alone."""

        def status(online: bool) -> bytes:
            stated = {"online": online, "vehicle": topics.vehicle, "epoch": epoch, "boot": boot}
            return json.dumps(stated).encode()

        return cls(
            config,
            f"brain-{topics.vehicle}",
            topics.status,
            topics.acks,
            birth=status(True),
            will=status(False),
            commands_topic=topics.commands,
            ear=ear,
        )

    @property
    def host(self) -> str:
        """Name or address of the broker."""
        return self.config.broker

    @property
    def port(self) -> int:
        """TCP port of the broker."""
        return self.config.port

    @property
    def address(self) -> str:
        """The broker as people write it."""
        return self.config.address

    @property
    def keepalive_s(self) -> int:
        """Longest silence before a ping."""
        return self.config.keepalive_s

    @property
    def username(self) -> str | None:
        """None where the broker asks for none."""
        return self.config.username or None

    @property
    def password(self) -> str | None:
        """None where the broker asks for none."""
        return self.config.password or None

    def tls_context(self) -> ssl.SSLContext | None:
        """Read anew for each connection, so a renewed certificate is used. Raises Refused."""
        config = self.config
        if config.tls == "off":
            return None
        try:
            context = ssl.create_default_context(cafile=config.ca_file or None)
        except OSError as e:
            raise Refused(
                f"uplink.ca_file: {config.ca_file}: {e.strerror or e}; "
                "a readable file with CA certificates in PEM is expected"
            ) from e
        if config.cert_file:
            try:
                context.load_cert_chain(config.cert_file, config.key_file or None)
            except OSError as e:
                raise Refused(
                    f"uplink.cert_file, uplink.key_file: {config.cert_file}, "
                    f"{config.key_file or 'no key'}: {e.strerror or e}; a readable certificate "
                    "and its key in PEM are expected"
                ) from e
        return context


def explain(error: OSError | ValueError, endpoint: Endpoint) -> str:
    """Why connecting failed, and what to do about it."""
    where = endpoint.address
    match error:
        case socket.gaierror():
            return (
                f"the name {endpoint.host!r} is not known ({error.strerror}): "
                "check uplink.broker and the network's name service"
            )
        case ssl.SSLCertVerificationError():
            return (
                f"{where} is not trusted: {error.verify_message}; "
                "check uplink.ca_file, the name in uplink.broker, and the clock of this box"
            )
        case ssl.SSLError():
            return f"TLS with {where} failed: {error.reason or error}; check uplink.tls and port"
        case ConnectionRefusedError():
            return (
                f"{where} refuses the connection: no broker listens there; "
                "start it, or correct uplink.broker and uplink.port"
            )
        case TimeoutError():
            return f"{where} does not answer: check the network, uplink.broker and uplink.port"
        case OSError():
            return f"{where} cannot be reached: {error.strerror or error}"
        case _:
            return f"{where} is no address: {error}; check uplink.broker and uplink.port"
