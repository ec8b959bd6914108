"""Where the broker is and who we are there, and what a connection to it tells the pump."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from agent.uplink.settings import UplinkConfig
from agent.uplink.topics import Topics
from agent.uplink.wire import Wire

Version = Literal[5, 4]
"""The protocol level: MQTT 5, or 4 for MQTT 3.1.1."""

TAKEN_OVER = 0x8E
NOT_AUTHORIZED = 0x87
QUOTA_EXCEEDED = 0x97
RECEIVE_MAXIMUM_EXCEEDED = 0x93
FORMAT_INVALID = 0x99
PACKET_TOO_LARGE = 0x95
MESSAGE_RATE_TOO_HIGH = 0x96
RETAIN_NOT_SUPPORTED = 0x9A
QOS_NOT_SUPPORTED = 0x9B

SPEAK_OF_A_MESSAGE = frozenset(
    (0x80, 0x81, 0x82, 0x83, NOT_AUTHORIZED, 0x90, 0x94, PACKET_TOO_LARGE, FORMAT_INVALID)
)
"""Unspecified, malformed, protocol error, implementation specific, topic name, topic alias: a
DISCONNECT with another reason, such as a takeover or a shutdown, blames no message."""
CANNOT_SERVE = frozenset((0x88, 0x89, 0x8B, MESSAGE_RATE_TOO_HIGH, QUOTA_EXCEEDED, 0x9F, 0xA1))
"""Unavailable, busy, shutting down, rates, connection rate, subscriptions: come back later."""

MAX_EVENTS = 4_096


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection stands. Limits are None where the broker announced none.

    `deaf_to`: topics that the broker does not let us hear.
    """

    generation: int
    version: Version
    receive_maximum: int | None
    maximum_packet: int | None
    deaf_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is no more. `code`: the broker's reason where it stated one.

    `by_peer`: it was cut from outside; else it was silence, or our own wish. `stalled`: nothing
    that we sent was answered any more. `owed`: messages that the broker had not confirmed.
    """

    generation: int
    reason: str
    code: int | None
    by_peer: bool
    stalled: bool = False
    owed: int = 0

    @property
    def of_a_message(self) -> bool:
        """Whether what was sent may be the cause: not where the broker states another one."""
        return self.by_peer and (self.code is None or self.code in SPEAK_OF_A_MESSAGE)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The broker's PUBACK of message `mid`; from `code` 0x80 on it is a refusal. No delivery."""

    generation: int
    mid: int
    code: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message of the cloud, undecoded: acks, or what `topic` says."""

    payload: bytes
    topic: str = ""


Ear = Callable[[str, bytes, bool], None]
"""Hears commands: topic, the first MAX_COMMAND bytes, whether retained. Never blocks or raises."""
MAX_COMMAND = 8_193

Event = Connected | Lost | Confirmed | Arrived | Literal["wake"]
Events = queue.Queue[Event]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a broker lets us ask for: the highest QoS, and whether it retains messages."""

    qos: int = 1
    retain: bool = True


FULL_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker, our name there, our birth and last will.

    `certificates_utc_ms`: the UTC in ms at which its certificate is to be judged, None: the system
    clock's. `wire` is told what the connections cost. `ear` hears commands; None: nobody is
    subscribed to them.
    """

    config: UplinkConfig
    client_id: str
    status_topic: str
    acks_topic: str
    need_topic: str
    birth: bytes
    will: bytes
    certificates_utc_ms: Callable[[], int | None] = lambda: None
    wire: Wire = field(default_factory=Wire)
    commands_topic: str = ""
    ear: Ear | None = None

    @classmethod
    def of(
        cls,
        config: UplinkConfig,
        topics: Topics,
        epoch: str,
        boot: str,
        certificates_utc_ms: Callable[[], int | None] = lambda: None,
        ear: Ear | None = None,
    ) -> Endpoint:
        """The endpoint of a vehicle. The client id is the vehicle's alone."""

        def status(online: bool) -> bytes:
            stated = {"online": online, "vehicle": topics.vehicle, "epoch": epoch, "boot": boot}
            return json.dumps(stated).encode()

        return cls(
            config,
            config.broker_takes.client_id.format(vehicle=topics.vehicle),
            topics.status,
            topics.acks,
            topics.need,
            birth=status(True),
            will=status(False),
            certificates_utc_ms=certificates_utc_ms,
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
