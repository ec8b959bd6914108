"""Catalogues: what a vehicle's sources declare, sent once; batches refer to them by hash. Pure.

The message on `up/catalogue/{hash}` is 0x01 and zlib(protobuf Catalogue) as `telemetry.proto` says;
the hash is the first 16 bytes of the SHA-256 of the message, in hex.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from google.protobuf.message import DecodeError

from cloud import telemetry_pb2 as pb
from cloud.batch import check_group, check_name
from cloud.structure import CATALOGUE, check_structure, inflated

FORMAT = 0x01
HASH_BYTES = 16
MAX_BODY = 1 << 20
"""Bytes of a catalogue after decompression; that of a full bus has 20 KiB."""
MAX_UNIT = 64
MAX_KEPT = 32


class Shape(NamedTuple):
    """A declared group of a source; a leaf is (path, unit)."""

    source: str
    name: str
    leaves: Sequence[tuple[str, str]]


Shapes = Sequence[Shape]
Lookup = Callable[[str], Shapes | None]
"""Gives the catalogue of a hash in hex; None where it is not known."""


class CatalogueUnknown(ValueError):
    """A batch refers to a catalogue that is not here. `hash` in hex: ask the vehicle for it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"catalogue {name} is not known")
        self.hash = name


def hash_of(payload: bytes) -> str:
    """The hash of a catalogue message: 32 hex digits."""
    return hashlib.sha256(payload).digest()[:HASH_BYTES].hex()


def decode_catalogue(payload: bytes) -> Shapes:
    """The shapes in a catalogue message. ValueError says what is wrong with it."""
    if payload[:1] != bytes([FORMAT]):
        raise ValueError(f"first byte 0x{payload[:1].hex()} is no known format of a catalogue")
    body = inflated(payload[1:], MAX_BODY)
    check_structure(body, CATALOGUE)
    try:
        message = pb.Catalogue.FromString(body)
    except DecodeError as error:
        raise ValueError(f"not a protobuf Catalogue: {error}") from None
    return [_shape(shape) for shape in message.shapes]


def _shape(shape: pb.Shape) -> Shape:
    leaves = []
    for leaf in shape.leaves:
        if len(leaf.unit) > MAX_UNIT:
            raise ValueError(f"a unit of {len(leaf.unit)} characters, at most {MAX_UNIT}")
        leaves.append((check_name(leaf.path, "path"), leaf.unit))
    return Shape(check_name(shape.source, "source"), check_group(shape.name), leaves)


class Catalogues:
    """Some catalogues in memory, newest last; a Lookup. The oldest beyond `limit` is forgotten."""

    def __init__(self, known: Mapping[str, Shapes] | None = None, limit: int = MAX_KEPT) -> None:
        self._known = dict(known or {})
        self._limit = limit

    def add(self, payload: bytes) -> str:
        """Take a catalogue message in; its hash. ValueError says what is wrong with it."""
        shapes, name = decode_catalogue(payload), hash_of(payload)
        self._known.pop(name, None)
        self._known[name] = shapes
        while len(self._known) > self._limit:
            del self._known[next(iter(self._known))]
        return name

    def __call__(self, name: str) -> Shapes | None:
        """The catalogue of a hash, None where it is not known."""
        return self._known.get(name)


def no_catalogue(_name: str) -> Shapes | None:
    """The Lookup that knows none."""
    return None
