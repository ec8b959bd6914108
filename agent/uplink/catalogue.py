"""What the sources declare, as one message that is sent once; batches then refer to it. Pure."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.signals import Group
from agent.uplink import telemetry_pb2 as pb

VERSION = 0x01
"""First byte of the message, before zlib(Catalogue)."""
HASH_BYTES = 16
ZLIB_LEVEL = 9
MAX_PAYLOAD_BYTES = 60 * 1024
"""A catalogue that takes more on the wire is not used: some brokers take no larger message. 30
groups of 300 signals in all take about 4 KiB."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """A catalogue: its message, and where each declared group stands in it.

    `hash`: the first 16 bytes of the SHA-256 of `payload`.
    """

    payload: bytes
    hash: bytes
    places: Mapping[tuple[str, str], tuple[int, Group]]

    @property
    def name(self) -> str:
        """The hash as topics and acks spell it: 32 hex digits."""
        return self.hash.hex()

    def place_of(self, source: str, group: Group) -> int | None:
        """The position of a group, None where it is not declared exactly so."""
        found = self.places.get((source, group.name))
        return found[0] if found is not None and found[1] == group else None


def shapes_of(declared: Iterable[tuple[str, Group]]) -> Shapes | None:
    """The catalogue of (source, group); None where there are none, or more than a message holds."""
    message = pb.Catalogue()
    places: dict[tuple[str, str], tuple[int, Group]] = {}
    for source, group in declared:
        shape = message.shapes.add(source=source, name=group.name)
        for signal in group.signals:
            shape.leaves.add(path=signal.path, unit=signal.unit)
        places[source, group.name] = (len(places), group)
    if not places:
        return None
    payload = bytes([VERSION]) + zlib.compress(message.SerializeToString(), ZLIB_LEVEL)
    if len(payload) > MAX_PAYLOAD_BYTES:
        return None
    return Shapes(payload, hashlib.sha256(payload).digest()[:HASH_BYTES], places)
