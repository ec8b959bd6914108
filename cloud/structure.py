"""How large a message becomes, found out before anything is allocated for it.

A protobuf runtime allocates about 80 bytes for an empty nested message that takes 2 on the wire: 16
KiB of zlib can become 700 MB (measured). This walks only the fields that hold messages.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

MAX_MESSAGES = 50_000
"""Boots, offsets, drops, groups, columns and blobs together; ordinary telemetry has 50 to 500."""
MAX_FIELDS = 200_000
"""Fields that this walk looks at; packed lists are one field each."""

# Fields of telemetry.proto that hold messages, and which fields of those hold messages again.
Structure = Mapping[int, Mapping[int, object]]
BATCH: Structure = {4: {2: {}}, 5: {}, 6: {4: {}}, 10: {}, 12: {}}
CATALOGUE: Structure = {1: {3: {}}}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def inflated(data: bytes, max_bytes: int) -> bytes:
    """What a zlib stream holds. ValueError where it is cut short, goes on, or holds more."""
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"not a zlib stream: {error}") from None
    if len(body) > max_bytes:
        raise ValueError(f"zlib stream of more than {max_bytes} bytes")
    if not inflater.eof:
        raise ValueError("zlib stream is cut short")
    if inflater.unused_data:
        raise ValueError(f"{len(inflater.unused_data)} bytes after the zlib stream")
    return body


def check_structure(body: bytes, structure: Structure = BATCH) -> None:
    """Raises ValueError if a message has too many nested messages or is cut off.

    `structure`: which of its fields hold messages.

    Field kinds that proto3 does not use (groups) are refused as well.
    """
    pending: list[tuple[int, int, Mapping[int, object]]] = [(0, len(body), structure)]
    messages = fields = 0
    while pending:
        at, end, nested = pending.pop()
        while at < end:
            key, at = _varint(body, at, end)
            kind = key & 7
            fields += 1
            if kind == _VARINT:
                _, at = _varint(body, at, end)
            elif kind == _FIXED64:
                at += 8
            elif kind == _FIXED32:
                at += 4
            elif kind == _BYTES:
                size, at = _varint(body, at, end)
                inner = nested.get(key >> 3)
                if isinstance(inner, Mapping):
                    messages += 1
                    if inner and at + size <= end:
                        pending.append((at, at + size, inner))
                at += size
            else:
                raise ValueError(f"not a protobuf Batch: field kind {kind} at byte {at}")
            if messages > MAX_MESSAGES or fields > MAX_FIELDS:
                raise ValueError(f"more than {MAX_MESSAGES} nested messages in one message")
        if at > end:
            raise ValueError("not a protobuf Batch: a field is cut short")


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            break
    raise ValueError("not a protobuf Batch: a number is cut short or too long")
