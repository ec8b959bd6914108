"""Payloads to bytes and back: protobuf columns as config/telemetry.proto says, or plain JSON.

Pure: no clock, no I/O. Lossless: decoding gives the same values of the same types, or encoding
raises Unencodable. Decoding is total: any bytes give a Payload or Undecodable.
"""

from __future__ import annotations

import zlib
from itertools import pairwise

from google.protobuf.message import DecodeError, EncodeError

from agent.record import Blob
from agent.store.block import Block
from agent.store.rows import Drop
from agent.uplink import batches, json_format
from agent.uplink import telemetry_pb2 as pb
from agent.uplink.catalogue import Shapes
from agent.uplink.payload import (
    CLASSES,
    OFFSET_SOURCES,
    Format,
    GroupOf,
    Payload,
    Undecodable,
    Unencodable,
    boots_of,
    nobody_declared,
)
from agent.uplink.tables import Tables

VERSION = 0x01
"""First byte of a protobuf payload. A JSON payload begins with `{`."""

ZLIB_LEVEL = 6
MAX_DECODED_BYTES = 64 << 20
"""A payload that unpacks to more is refused: it is none of ours."""


def encode(
    payload: Payload,
    groups: GroupOf = nobody_declared,
    form: Format = "protobuf",
    shapes: Shapes | None = None,
) -> bytes:
    """The bytes of a payload. Raises Unencodable where a record does not fit the wire.

    `shapes`: a catalogue that the far end has; protobuf then refers to it instead of naming.
    """
    if form == "json":
        return json_format.encode(payload, groups)
    try:
        packed = _batch(payload, groups, shapes).SerializeToString()
    except (EncodeError, ValueError, TypeError) as e:
        raise Unencodable(f"a record does not fit the wire: {e}") from e
    return bytes([VERSION]) + zlib.compress(packed, ZLIB_LEVEL)


def decode(data: bytes, shapes: Shapes | None = None) -> Payload:
    """The payload of some bytes, in either format. `shapes`: what it may refer to.

    Raises Undecodable.
    """
    if data[:1] == b"{":
        return json_format.decode(data)
    if data[:1] != bytes([VERSION]):
        raise Undecodable(f"the first byte is {data[:1].hex() or 'missing'}, not 01 and not '{{'")
    try:
        unpacker = zlib.decompressobj()
        packed = unpacker.decompress(data[1:], MAX_DECODED_BYTES)
        if not unpacker.eof or unpacker.unused_data:
            raise Undecodable("the compressed part is cut, too long or too large")
        return batches.payload_of(pb.Batch.FromString(packed), shapes)
    except (zlib.error, DecodeError) as e:
        raise Undecodable(str(e)) from e


def _batch(payload: Payload, groups: GroupOf, shapes: Shapes | None) -> pb.Batch:
    batch = pb.Batch(vehicle=payload.vehicle, epoch=bytes.fromhex(payload.epoch))
    boots = boots_of(payload)
    boot_position = {boot: at for at, boot in enumerate(boots)}
    for boot in boots:
        wire_boot = batch.boots.add(boot=bytes.fromhex(boot))
        for row in payload.offsets:
            if row.boot == boot:
                wire_boot.offsets.add(
                    from_boottime_ms=row.from_boottime_ms,
                    utc_offset_ms=row.utc_offset_ms,
                    source=OFFSET_SOURCES.index(row.source),
                )
    batch.drops.extend(map(_wire_drop, payload.drops))
    batch.thinned.extend(map(_wire_drop, payload.thinned))
    batch.settled = payload.settled
    tables = Tables(groups)
    order: list[int] = []
    times_ms = [0]
    after, boot = 0, ""
    for run in payload.runs:
        n = len(run.records)
        if not n:
            continue
        if order and run.first == after:
            batch.runs[-1] += n
        else:
            batch.runs.extend((run.first - after, n))
        if order and run.boot == boot:
            batch.boot_runs[-1] += n
        else:
            batch.boot_runs.extend((boot_position[run.boot], n))
        after, boot = run.first + n, run.boot
        block = Block.of(run.records)
        for at, blob in block.blobs.items():
            batch.blobs.append(_wire_blob(len(order) + at, blob))
        order.extend(tables.take(block))
        times_ms.extend(block.boottimes_ms)
    batch.order.extend(order)
    batch.boottime_delta_ms.extend([b - a for a, b in pairwise(times_ms)])
    referring = [table.fill(batch.groups.add(), shapes) for table in tables.all]
    if shapes is not None and any(referring):
        batch.catalogue = shapes.hash
    return batch


def _wire_drop(drop: Drop) -> pb.Drop:
    return pb.Drop(
        storage_class=CLASSES.index(drop.storage_class),
        first=drop.first,
        last=drop.last,
        count=drop.count,
        reason=drop.reason,
    )


def _wire_blob(at: int, blob: Blob) -> pb.Blob:
    return pb.Blob(
        record=at,
        path=blob.path,
        media_type=blob.media_type,
        size=blob.size,
        sha256=bytes.fromhex(blob.sha256),
    )
