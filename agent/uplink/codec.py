"""Payloads to bytes and back: protobuf columns as config/telemetry.proto says, or plain JSON.

Pure: no clock, no I/O. Lossless: decoding gives the same values of the same types, or encoding
raises Unencodable. Decoding is total: any bytes give a Payload or Undecodable.
"""

from __future__ import annotations

import zlib
from itertools import pairwise

from google.protobuf.message import DecodeError, EncodeError

from agent.clock import OffsetRow
from agent.record import Blob, Record, Scalar, State
from agent.signals import Group
from agent.store.rows import Drop
from agent.uplink import columns, json_format
from agent.uplink import telemetry_pb2 as pb
from agent.uplink.payload import (
    CLASSES,
    KINDS,
    OFFSET_SOURCES,
    Format,
    GroupOf,
    Payload,
    Run,
    Undecodable,
    Unencodable,
    boots_of,
    nobody_declared,
)

VERSION = 0x01
"""First byte of a protobuf payload. A JSON payload begins with `{`."""

ZLIB_LEVEL = 6
MAX_DECODED_BYTES = 64 << 20
"""A payload that unpacks to more is refused: it is none of ours."""


def encode(payload: Payload, groups: GroupOf = nobody_declared, form: Format = "protobuf") -> bytes:
    """The bytes of a payload. Raises Unencodable where a record does not fit the wire."""
    if form == "json":
        return json_format.encode(payload, groups)
    try:
        packed = _batch(payload, groups).SerializeToString()
    except (EncodeError, ValueError, TypeError) as e:
        raise Unencodable(f"a record does not fit the wire: {e}") from e
    return bytes([VERSION]) + zlib.compress(packed, ZLIB_LEVEL)


def decode(data: bytes) -> Payload:
    """The payload of some bytes, in either format. Raises Undecodable."""
    if data[:1] == b"{":
        return json_format.decode(data)
    if data[:1] != bytes([VERSION]):
        raise Undecodable(f"the first byte is {data[:1].hex() or 'missing'}, not 01 and not '{{'")
    try:
        unpacker = zlib.decompressobj()
        packed = unpacker.decompress(data[1:], MAX_DECODED_BYTES)
        if not unpacker.eof or unpacker.unused_data:
            raise Undecodable("the compressed part is cut, too long or too large")
        return _payload(pb.Batch.FromString(packed))
    except (zlib.error, DecodeError) as e:
        raise Undecodable(str(e)) from e


class _Table:
    """The records of one source, one declared group and one kind, while they are gathered."""

    def __init__(self, key: tuple[str, str, str], group: Group | None, position: int) -> None:
        self.key = key
        self.group = group
        self.position = position
        self.n = 0
        self.columns: dict[str, columns.Column] = {}

    def take(self, record: Record) -> bool:
        """Add the record; False, and nothing done, where a column holds another type."""
        chosen = []
        for path, value in record.values.items():
            column = self.columns.get(path)
            sort = columns.sort_of(value)
            if column is not None and column.sort and column.sort != sort:
                return False
            chosen.append((path, column, sort, value))
        for path, column, sort, value in chosen:
            if column is None:
                column = self.columns[path] = columns.Column(path)  # noqa: PLW2901
            column.sort = sort
            column.value_at.append(self.n)
            column.values.append(value)
        for path, state in record.states.items():
            if path in record.values:
                raise Unencodable(f"{path} has a value and a state")
            column = self.columns.get(path)
            if column is None:
                column = self.columns[path] = columns.Column(path)
            column.state_at.append(self.n)
            column.states.append(state)
        self.n += 1
        return True

    def fill(self, group: pb.Group) -> None:
        group.source, group.name, group.kind = self.key
        declared = self.group.index if self.group else {}
        for path in sorted(self.columns, key=lambda path: declared.get(path, len(declared))):
            signal = self.group.signals[declared[path]] if self.group and path in declared else None
            unit, steps = (signal.unit, signal.steps_per_unit) if signal else ("", 0)
            self.columns[path].fill(group.columns.add(), self.n, unit, steps)


class _Tables:
    """Finds the table of each record; one more is opened where a signal changes its type."""

    def __init__(self, groups: GroupOf) -> None:
        self._groups = groups
        self._known: dict[tuple[object, ...], Group | None] = {}
        self._by_key: dict[tuple[str, str, str], list[_Table]] = {}
        self.all: list[_Table] = []

    def take(self, record: Record) -> int:
        """Put the record into its table; gives the table's position."""
        known = (record.source, *record.values, *record.states)
        if known in self._known:
            group = self._known[known]
        else:
            paths = [*record.values, *record.states]
            group = self._known[known] = self._groups(record.source, paths)
        key = (record.source, group.name if group else "", str(record.kind))
        tables = self._by_key.setdefault(key, [])
        for table in tables:
            if table.take(record):
                return table.position
        table = _Table(key, group, len(self.all))
        table.take(record)
        tables.append(table)
        self.all.append(table)
        return table.position


def _batch(payload: Payload, groups: GroupOf) -> pb.Batch:
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
    for drop in payload.drops:
        batch.drops.add(
            storage_class=CLASSES.index(drop.storage_class),
            first=drop.first,
            last=drop.last,
            count=drop.count,
            reason=drop.reason,
        )

    tables = _Tables(groups)
    order: list[int] = []
    times_ms = [0]
    after = 0
    for run in payload.runs:
        if not run.records:
            continue
        batch.runs.extend((run.first - after, len(run.records)))
        batch.boot_runs.extend((boot_position[run.boot], len(run.records)))
        after = run.first + len(run.records)
        for record in run.records:
            if record.blob is not None:
                batch.blobs.append(_wire_blob(len(order), record.blob))
            order.append(tables.take(record))
            times_ms.append(record.boottime_ms)
    batch.order.extend(order)
    batch.boottime_delta_ms.extend([b - a for a, b in pairwise(times_ms)])
    for table in tables.all:
        table.fill(batch.groups.add())
    return batch


def _wire_blob(at: int, blob: Blob) -> pb.Blob:
    return pb.Blob(
        record=at,
        path=blob.path,
        media_type=blob.media_type,
        size=blob.size,
        sha256=bytes.fromhex(blob.sha256),
    )


def _payload(batch: pb.Batch) -> Payload:
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
