"""The topics of the uplink: `{prefix}/v1/{vehicle}/up/...` comes, `.../dn/acks` goes."""

from __future__ import annotations

from cloud.batch import is_vehicle

BATCHES = frozenset({"telemetry", "events", "files"})
"""Last level of the topics that carry batches: history, alarms, bulk."""
STATUS = "status"
CATALOGUE = "catalogue/"
"""First part of the last levels of a catalogue's topic; its hash follows."""


def subscription(prefix: str) -> str:
    """The filter for everything that vehicles send."""
    return f"{prefix}/v1/+/up/#"


def acks(prefix: str, vehicle: str) -> str:
    """Where a vehicle hears what is durable."""
    return f"{prefix}/v1/{vehicle}/dn/acks"


def parse(prefix: str, topic: str) -> tuple[str, str]:
    """(vehicle, what follows `up/`) of a topic. ValueError if it is not one of an uplink."""
    head = f"{prefix}/v1/"
    vehicle, up, leaf = [*topic.removeprefix(head).split("/", 2), "", ""][:3]
    if not topic.startswith(head) or up != "up" or not is_vehicle(vehicle):
        raise ValueError(f"the topic is not {head}VEHICLE/up/...")
    return vehicle, leaf


def sender(prefix: str, vehicle: str) -> str:
    """What all topics of a vehicle begin with."""
    return f"{prefix}/v1/{vehicle}"
