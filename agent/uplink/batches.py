"""A decoded protobuf Batch to the payload that it states: the inverse of `codec`. Pure.

The agent itself never reads its own batches; its tests and tools do.
"""

from __future__ import annotations

from agent.clock import OffsetRow
from agent.record import Blob, Record, Scalar, State
from agent.store.rows import Drop
from agent.uplink import columns
from agent.uplink import telemetry_pb2 as pb
from agent.uplink.catalogue import Shapes
from agent.uplink.payload import CLASSES, KINDS, OFFSET_SOURCES, Payload, Run, Undecodable


def payload_of(batch: pb.Batch, shapes: Shapes | None = None) -> Payload:
    """What a Batch says. `shapes`: the catalogue that it may refer to. Raises Undecodable."""
    if batch.catalogue:
        _name(batch, shapes)
    n = len(batch.order)
    if len(batch.boottime_delta_ms) != n:
        raise Undecodable(f"{n} records with {len(batch.boottime_delta_ms)} times")
    members: list[list[int]] = [[] for _ in batch.groups]
    for at, position in enumerate(batch.order):
        if position >= len(members):
            raise Undecodable(f"record {at} names group {position} of {len(members)}")
        members[position].append(at)
    values: list[dict[str, Scalar]] = [{} for _ in range(n)]
    states: list[dict[str, State]] = [{} for _ in range(n)]
    for group, at_of in zip(batch.groups, members, strict=True):
        if group.kind not in KINDS:
            raise Undecodable(f"{group.kind!r} is no kind")
        for column in group.columns:
            _read_column(column, at_of, values, states)
    blobs = {blob.record: _blob(blob) for blob in batch.blobs}
    records = []
    time_ms = 0
    for at, position in enumerate(batch.order):
        group = batch.groups[position]
        time_ms += batch.boottime_delta_ms[at]
        kind = KINDS[group.kind]
        blob = blobs.get(at)
        records.append(Record(group.source, time_ms, values[at], states[at], kind, blob))
    return Payload(
        vehicle=batch.vehicle,
        epoch=batch.epoch.hex(),
        runs=_runs(batch, records),
        offsets=[_offset(boot, row) for boot in batch.boots for row in boot.offsets],
        drops=[_drop(batch.epoch.hex(), drop) for drop in batch.drops],
        groups=[batch.groups[position].name for position in batch.order],
        thinned=tuple(_drop(batch.epoch.hex(), drop) for drop in batch.thinned),
        settled=batch.settled,
    )


def _read_column(
    column: pb.Column,
    at_of: list[int],
    values: list[dict[str, Scalar]],
    states: list[dict[str, State]],
) -> None:
    path = column.path
    columns.read(
        column,
        len(at_of),
        lambda at, value: values[at_of[at]].__setitem__(path, value),
        lambda at, state: states[at_of[at]].__setitem__(path, state),
    )


def _name(batch: pb.Batch, shapes: Shapes | None) -> None:
    """Write the names of the catalogue into the groups and columns that refer to it."""
    if shapes is None or shapes.hash != batch.catalogue:
        raise Undecodable(f"catalogue {batch.catalogue.hex()} is not known")
    declared = {place: (source, group) for (source, _), (place, group) in shapes.places.items()}
    for group in batch.groups:
        if not group.shape:
            continue
        if group.shape - 1 not in declared:
            raise Undecodable(f"shape {group.shape} is not in the catalogue")
        group.source, shape = declared[group.shape - 1]
        group.name = shape.name
        for column in group.columns:
            if column.leaf > len(shape.signals):
                raise Undecodable(f"{shape.name}: leaf {column.leaf} of {len(shape.signals)}")
            if column.leaf:
                signal = shape.signals[column.leaf - 1]
                column.path, column.unit = signal.path, signal.unit


def _runs(batch: pb.Batch, records: list[Record]) -> list[Run]:
    """The runs of seq, cut where the boot changes."""
    if len(batch.runs) % 2 or len(batch.boot_runs) % 2:
        raise Undecodable("runs and boot runs are pairs")
    if sum(batch.runs[1::2]) != len(records) or sum(batch.boot_runs[1::2]) != len(records):
        raise Undecodable("the runs do not add up to the records")
    boot_at: list[str] = []
    for position, length in zip(batch.boot_runs[::2], batch.boot_runs[1::2], strict=True):
        if position >= len(batch.boots):
            raise Undecodable(f"boot {position} of {len(batch.boots)}")
        boot_at += [batch.boots[position].boot.hex()] * length
    runs = []
    seq = at = 0
    for skip, length in zip(batch.runs[::2], batch.runs[1::2], strict=True):
        seq += skip
        end = at + length
        while at < end:
            stop = at
            while stop < end and boot_at[stop] == boot_at[at]:
                stop += 1
            runs.append(Run(seq, boot_at[at], records[at:stop]))
            seq += stop - at
            at = stop
    return runs


def _blob(blob: pb.Blob) -> Blob:
    return Blob(blob.path, blob.media_type, blob.size, blob.sha256.hex())


def _offset(boot: pb.Boot, row: pb.Offset) -> OffsetRow:
    if row.source >= len(OFFSET_SOURCES):
        raise Undecodable(f"offset source {row.source} is unknown")
    source = OFFSET_SOURCES[row.source]
    return OffsetRow(boot.boot.hex(), row.from_boottime_ms, row.utc_offset_ms, source)


def _drop(epoch: str, drop: pb.Drop) -> Drop:
    if drop.storage_class >= len(CLASSES):
        raise Undecodable(f"storage class {drop.storage_class} is unknown")
    storage_class = CLASSES[drop.storage_class]
    return Drop(storage_class, epoch, drop.first, drop.last, drop.count, drop.reason)
