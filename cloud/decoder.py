"""Payload bytes -> Batch. Pure and total: any bytes give a Batch or a ValueError with a text.

Two formats, told apart by the first byte: 0x01 is zlib(protobuf Batch) as `telemetry.proto` says,
`{` is JSON. A message of some KiB may claim to be gigabytes, so each stage has its bound before it
allocates: zlib output, nested protobuf messages (an empty one takes 2 bytes on the wire and about
80 in memory), records, values.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain

from google.protobuf.message import DecodeError

from cloud import telemetry_pb2 as pb
from cloud.batch import (
    CLASSES,
    INT64_MAX,
    MAX_TIME_MS,
    MAX_VALUES,
    OFFSET_SOURCES,
    Batch,
    Blob,
    Drop,
    Offset,
    Record,
    Scalar,
    check_blob,
    check_boottime,
    check_count,
    check_drop,
    check_group,
    check_id,
    check_kind,
    check_name,
    check_offsets,
    check_settled,
    check_vehicle,
    merged_boots,
)
from cloud.catalogue import CatalogueUnknown, Lookup, Shape, no_catalogue
from cloud.columns import spread
from cloud.intervals import Range, merged
from cloud.json_format import decode_json
from cloud.structure import check_structure, inflated

FORMAT_PROTOBUF = 0x01
FORMAT_JSON = ord("{")
MAX_BODY = 16 << 20
"""Bytes of a message after decompression."""


def decode(payload: bytes, catalogues: Lookup = no_catalogue) -> Batch:
    """The batch in one telemetry message. `catalogues` knows what it may refer to.

    Raises CatalogueUnknown where that must be asked for; any other ValueError says what is wrong.
    """
    if not payload:
        raise ValueError("an empty message")
    if payload[0] == FORMAT_JSON:
        if len(payload) > MAX_BODY:
            raise ValueError(f"JSON of {len(payload)} bytes, at most {MAX_BODY}")
        return decode_json(payload)
    if payload[0] != FORMAT_PROTOBUF:
        raise ValueError(f"first byte 0x{payload[0]:02x} is no known format (0x01, 0x7b)")
    body = inflated(payload[1:], MAX_BODY)
    check_structure(body)
    try:
        message = pb.Batch.FromString(body)
    except DecodeError as error:
        raise ValueError(f"not a protobuf Batch: {error}") from None
    return _batch(message, catalogues)


def _batch(message: pb.Batch, catalogues: Lookup) -> Batch:
    n = len(message.order)
    check_count(n, len(message.boots))
    vehicle = check_vehicle(message.vehicle)
    epoch = check_id(message.epoch.hex(), "epoch")
    order = list(message.order)
    runs = _runs(message.runs, n)
    boots = merged_boots(map(_boot, message.boots))
    drops = [_drop(drop) for drop in message.drops]
    kept: list[dict[str, Scalar]] = [{} for _ in order]
    states: list[dict[str, str]] = [{} for _ in order]
    groups = _groups(message, catalogues, order, kept, states)
    records = map(
        Record,
        chain.from_iterable(range(first, last + 1) for first, last in runs),
        [groups[at][0] for at in order],
        [groups[at][1] for at in order],
        [groups[at][2] for at in order],
        _boots_of(message.boot_runs, list(boots), n),
        _boottimes(message.boottime_delta_ms, n),
        kept,
        states,
        _blobs(message.blobs, n),
    )
    thinned = tuple(_drop(drop) for drop in message.thinned)
    settled = check_settled(message.settled)
    return Batch(vehicle, epoch, boots, drops, list(records), merged(runs), thinned, settled)


def _runs(pairs: Sequence[int], n: int) -> list[Range]:
    """`runs` as ranges of seq; together they have exactly n numbers."""
    if len(pairs) % 2 or len(pairs) > 2 * n:
        raise ValueError(f"runs: {len(pairs)} entries are no pairs of (skip, length)")
    runs = []
    at = total = 0
    for skip, length in zip(pairs[::2], pairs[1::2], strict=True):
        first = at + skip
        at = first + length
        total += length
        if first < 1 or length < 1 or at - 1 > INT64_MAX:
            raise ValueError(f"runs: {first}..{at - 1} is not a range of seq")
        runs.append(Range(first, at - 1))
    if total != n:
        raise ValueError(f"runs: {total} numbers for {n} records")
    return runs


def _boot(boot: pb.Boot) -> tuple[str, Sequence[Offset]]:
    offsets = []
    for offset in boot.offsets:
        if offset.source >= len(OFFSET_SOURCES):
            raise ValueError(f"boots: offset source {offset.source} is not known")
        source = OFFSET_SOURCES[offset.source]
        offsets.append(Offset(offset.from_boottime_ms, offset.utc_offset_ms, source))
    return check_id(boot.boot.hex(), "boot"), check_offsets(offsets)


def _drop(drop: pb.Drop) -> Drop:
    if drop.storage_class >= len(CLASSES):
        raise ValueError(f"drops: class {drop.storage_class} is not known")
    name = CLASSES[drop.storage_class]
    return check_drop(Drop(name, drop.first, drop.last, drop.count, drop.reason))


def _boots_of(pairs: Sequence[int], boots: Sequence[str], n: int) -> list[str]:
    """Per record the boot that it belongs to."""
    if len(pairs) % 2 or len(pairs) > 2 * n:
        raise ValueError(f"boot_runs: {len(pairs)} entries are no pairs of (boot, records)")
    total = sum(pairs[1::2])
    if total != n:
        raise ValueError(f"boot_runs: {total} places for {n} records")
    found: list[str] = []
    for at, length in zip(pairs[::2], pairs[1::2], strict=True):
        if at >= len(boots):
            raise ValueError(f"boot_runs: boot {at} of {len(boots)}")
        found.extend([boots[at]] * length)
    return found


def _boottimes(deltas: Sequence[int], n: int) -> list[int]:
    if len(deltas) != n:
        raise ValueError(f"boottime_delta_ms: {len(deltas)} entries for {n} records")
    times = list(accumulate(deltas))
    if times and (min(times) < 0 or max(times) > MAX_TIME_MS):
        check_boottime(min(times))
        check_boottime(max(times))
    return times


def _blobs(blobs: Sequence[pb.Blob], n: int) -> list[Blob | None]:
    found: list[Blob | None] = [None] * n
    for blob in blobs:
        if blob.record >= n or found[blob.record] is not None:
            raise ValueError(f"blobs: record {blob.record} of {n}, or stated twice")
        found[blob.record] = check_blob(
            Blob(blob.path, blob.media_type, blob.size, blob.sha256.hex())
        )
    return found


def _groups(
    message: pb.Batch,
    catalogues: Lookup,
    order: Sequence[int],
    kept: Sequence[dict[str, Scalar]],
    states: Sequence[dict[str, str]],
) -> list[tuple[str, str, str]]:
    """Spreads all columns over their records; returns (source, name, kind) of each group."""
    groups = message.groups
    shapes = _shapes(message, catalogues)
    places: list[list[int]] = [[] for _ in groups]
    if order and max(order) >= len(groups):
        raise ValueError(f"order: group {max(order)} of {len(groups)}")
    for place, at in enumerate(order):
        places[at].append(place)
    heads = []
    room = MAX_VALUES
    for group, where in zip(groups, places, strict=True):
        shape = _shape(group, shapes)
        source, name = shape.source, shape.name
        heads.append((source, name, check_kind(group.kind)))
        seen: set[str] = set()
        for column in group.columns:
            path = _path(column, shape)
            if path in seen:
                raise ValueError(f"{name}: column {path[:80]!r} is stated twice")
            seen.add(path)
            room -= len(where)
            if room < 0:
                raise ValueError(f"more than {MAX_VALUES} values in one message")
            spread(column, path, where, kept, states)
    return heads


def _shapes(message: pb.Batch, catalogues: Lookup) -> Sequence[Shape]:
    """The catalogue that the groups refer to; empty where they do not."""
    if not message.catalogue:
        return ()
    name = check_id(message.catalogue.hex(), "catalogue")
    shapes = catalogues(name)
    if shapes is None:
        raise CatalogueUnknown(name)
    return shapes


def _shape(group: pb.Group, shapes: Sequence[Shape]) -> Shape:
    """Source, name and leaves of a group; without leaves where it names itself."""
    if not group.shape:
        return Shape(check_name(group.source, "source"), check_group(group.name), ())
    if group.shape > len(shapes):
        raise ValueError(f"groups: shape {group.shape} of {len(shapes)} in the catalogue")
    return shapes[group.shape - 1]


def _path(column: pb.Column, shape: Shape) -> str:
    if not column.leaf:
        return check_name(column.path, "path")
    if column.leaf > len(shape.leaves):
        raise ValueError(f"{shape.name}: leaf {column.leaf} of {len(shape.leaves)}")
    return shape.leaves[column.leaf - 1][0]
