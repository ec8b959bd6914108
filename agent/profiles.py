"""Kinds of brokers: what each takes beyond MQTT itself, and under which name we come to it. Pure.

Sources: AWS IoT Core's quotas of its message broker and of Basic Ingest; EMQX's defaults for a
listener (`mqtt.max_packet_size` 1 MB, `max_topic_levels` 128). Mosquitto has no limits by default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

ProfileName = Literal["mosquitto", "aws_iot", "emqx"]

MAX_SLASHES = 7
"""AWS IoT Core takes 8 levels; `$aws/rules/<rule>/` does not count. Held at every broker: a fleet
may move."""
BASIC_INGEST = re.compile(r"\$aws/rules/[A-Za-z0-9_]{1,128}(?:/|$)")
"""Publishing below it hands a message to a rule past the broker: nobody can subscribe to it."""
MAX_TOPIC_BYTES = 256
_LONGEST = f"v1/{{vehicle}}/up/files/{'0' * 64}/4294967295"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a kind of broker takes. Bounds are inclusive.

    `client_id` has the place {vehicle}. `alpn` names the application protocol that is to be asked
    for at a port. `retain`: whether it is to keep birth and last will for whoever comes later.
    """

    client_id: str = "brain-{vehicle}"
    max_payload_kib: int = 240
    keepalive_s: tuple[int, int] = (5, 3600)
    messages_per_s: float = 1_000.0
    kib_per_s: float = 100_000.0
    basic_ingest: bool = False
    tls_only: bool = False
    retain: bool = True
    alpn: Mapping[int, str] = field(default_factory=dict)


PROFILES: Mapping[ProfileName, Profile] = {
    "mosquitto": Profile(),
    "emqx": Profile(),
    "aws_iot": Profile(
        # Policies allow a thing to connect under its own name alone.
        client_id="{vehicle}",
        max_payload_kib=128,
        keepalive_s=(30, 1200),
        messages_per_s=100.0,
        kib_per_s=512.0,
        basic_ingest=True,
        tls_only=True,
        # Without iot:RetainPublish in its policy the birth would end the connection. AWS IoT tells
        # who is connected by events of its own.
        retain=False,
        alpn={443: "x-amzn-mqtt-ca"},
    ),
}


def slashes(topic: str) -> int:
    """How many slashes of a topic a broker counts."""
    return BASIC_INGEST.sub("", topic, count=1).count("/")


def faults(uplink: Mapping[str, object], vehicle: str) -> Iterator[tuple[str, str, str]]:
    """What in a section [uplink] the broker would not take: key, what is wrong, what to do.

    `uplink` has every key of the section, each within its own bounds.
    """
    name = uplink["profile"]
    profile = next(found for known, found in PROFILES.items() if known == name)
    prefix = str(uplink["prefix"])
    longest = f"{prefix}/{_LONGEST.format(vehicle=vehicle)}"
    n, nbytes = slashes(longest), len(longest.encode())
    if nbytes > MAX_TOPIC_BYTES:
        yield (
            "prefix",
            f"the longest topic has {nbytes} bytes, {MAX_TOPIC_BYTES} are possible",
            "use a shorter prefix",
        )
    if prefix.startswith("$") and not profile.basic_ingest:
        yield (
            "prefix",
            f'got "{prefix}": topics that begin with $ belong to the broker',
            'use a name such as "brain"; $aws/rules/NAME is for profile = "aws_iot"',
        )
    elif prefix.startswith("$") and not BASIC_INGEST.match(prefix):
        yield (
            "prefix",
            f'got "{prefix}": of topics that begin with $ only "$aws/rules/NAME" is possible, '
            "NAME of letters, digits and _",
            "use the name of an AWS IoT rule, or a prefix without $",
        )
    elif n > MAX_SLASHES:
        yield (
            "prefix",
            f'got "{prefix}": the longest topic has {n} slashes, {MAX_SLASHES} are possible',
            "use a prefix with fewer levels",
        )
    low, high = profile.keepalive_s
    for key, least, most in (
        ("keepalive_s", low, high),
        ("max_payload_kib", 0, profile.max_payload_kib),
        ("messages_per_s", 0, profile.messages_per_s),
        ("kib_per_s", 0, profile.kib_per_s),
    ):
        value = uplink[key]
        assert isinstance(value, int | float)
        if not least <= value <= most:
            limit = f"{least:g}..{most:g}" if least else f"at most {most:g}"
            yield key, f'got {value:g}, profile = "{name}" takes {limit}', f"{key} = {limit}"
    if profile.tls_only and uplink["tls"] == "off":
        yield "tls", f'got "off", profile = "{name}" takes TLS alone', 'tls = "on"'
    if profile.tls_only and not (uplink["cert_file"] or uplink["username"]):
        yield (
            "cert_file",
            f'got "", profile = "{name}" knows a vehicle by its certificate',
            "set cert_file and key_file, or the username of a custom authorizer",
        )
