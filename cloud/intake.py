"""One MQTT message -> what to do with it: a delivery, a status, or a rejection. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from cloud import topics
from cloud.batch import Batch, check_id
from cloud.catalogue import CatalogueUnknown, Shapes, decode_catalogue, hash_of
from cloud.decoder import decode

MAX_STATUS = 4_096
"""Bytes of a status message."""


class Received(NamedTuple):
    """One MQTT message as it came in, with CLOCK_BOOTTIME and the wall clock at that moment."""

    topic: str
    payload: bytes
    boottime_ms: int
    wall_ms: int


class Delivery(NamedTuple):
    """A batch to book."""

    batch: Batch
    received_boottime_ms: int


class Status(NamedTuple):
    """What a vehicle, or the broker in its name, says about its being online.

    `epoch` and `boot` are empty where the message does not name them.
    """

    vehicle: str
    online: bool
    epoch: str
    boot: str
    wall_ms: int


class Announced(NamedTuple):
    """A catalogue to keep, and its message."""

    vehicle: str
    hash: str
    shapes: Shapes
    payload: bytes


class Needed(NamedTuple):
    """A batch that cannot be read before the vehicle sends this catalogue; not acknowledged."""

    vehicle: str
    hash: str


class Rejection(NamedTuple):
    """A message that is kept aside and not acknowledged, and why."""

    received: Received
    reason: str


@dataclass(frozen=True, slots=True)
class Intake:
    """All that one transaction of the ledger books."""

    deliveries: Sequence[Delivery] = ()
    statuses: Sequence[Status] = ()
    rejections: Sequence[Rejection] = ()
    catalogues: Sequence[Announced] = ()
    messages: int = 0
    nbytes: int = 0
    acks_sent: int = 0


class _Status(msgspec.Struct):
    online: bool
    vehicle: str
    epoch: str = ""
    boot: str = ""


_status = msgspec.json.Decoder(_Status)


Judged = Delivery | Status | Announced | Needed | Rejection
KnownShapes = Callable[[str, str], Shapes | None]
"""(vehicle, hash) -> the catalogue that the vehicle announced; None where it did not."""


def knows_none(_vehicle: str, _hash: str) -> Shapes | None:
    """The KnownShapes of a far end that was told nothing."""
    return None


def judge(prefix: str, received: Received, catalogues: KnownShapes = knows_none) -> Judged | None:
    """What a message is; None for the empty message that clears a retained status.

    A vehicle writes into its own books only: the topic, which the broker can guard, names it.
    """
    try:
        vehicle, leaf = topics.parse(prefix, received.topic)
        if leaf == topics.STATUS:
            if not received.payload:
                return None
            status = _decoded_status(received)
            _check_same(vehicle, status.vehicle)
            return status
        if leaf.startswith(topics.CATALOGUE):
            return _announced(vehicle, leaf.removeprefix(topics.CATALOGUE), received.payload)
        if leaf not in topics.BATCHES:
            raise ValueError(f"nothing is expected on up/{leaf[:80]}")
        batch = decode(received.payload, lambda name: catalogues(vehicle, name))
        _check_same(vehicle, batch.vehicle)
    except CatalogueUnknown as unknown:
        return Needed(vehicle, unknown.hash)
    except ValueError as error:
        return Rejection(received, str(error)[:500])
    return Delivery(batch, received.boottime_ms)


def _announced(vehicle: str, name: str, payload: bytes) -> Announced:
    if name != hash_of(payload):
        raise ValueError(f"catalogue {name[:80]} has the hash {hash_of(payload)}")
    return Announced(vehicle, name, decode_catalogue(payload), payload)


def _decoded_status(received: Received) -> Status:
    if len(received.payload) > MAX_STATUS:
        raise ValueError(f"status of {len(received.payload)} bytes, at most {MAX_STATUS}")
    try:
        said = _status.decode(received.payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ValueError(f"not a status message: {error}") from None
    if said.epoch:
        check_id(said.epoch, "epoch")
    if said.boot:
        check_id(said.boot, "boot")
    return Status(said.vehicle, said.online, said.epoch, said.boot, received.wall_ms)


def _check_same(topic_vehicle: str, said: str) -> None:
    if topic_vehicle != said:
        raise ValueError(f"sent as {topic_vehicle}, but says that it is {said[:80]!r}")
