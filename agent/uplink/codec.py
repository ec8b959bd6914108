"""Payloads to bytes and back: protobuf columns as config/telemetry.proto says, or plain JSON.

Pure: no clock, no I/O. Lossless: decoding gives the same values of the same types, or encoding
raises Unencodable. Decoding is total: any bytes give a Payload or Undecodable.
"""

from __future__ import annotations

import zlib
from itertools import pairwise

from google.protobuf.message import DecodeError, EncodeError

from agent.record import Blob, Kind, Record, Scalar
from agent.signals import Group
from agent.store.rows import Drop
from agent.uplink import batches, columns, json_format
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


class _Table:
    """The records of one source, one declared group and one kind, while they are gathered."""

    def __init__(self, key: tuple[str, str, str], group: Group | None, position: int) -> None:
        self.key = key
        self.group = group
        self.position = position
        self.n = 0
        self.columns: dict[str, columns.Column] = {}
        self._paths: tuple[str, ...] | None = None
        self._types: tuple[type, ...] = ()
        self._whole: tuple[int, ...] = ()
        self._rows: list[tuple[Scalar, ...]] = []

    def take_alike(self, record: Record) -> bool:
        """Add a record that has just the signals and types of the one before; False where not.

        Most records have: their columns are then made of many at once.
        """
        values = record.values
        if record.states or self._paths is None or tuple(values) != self._paths:
            return False
        row = tuple(values.values())
        if tuple(map(type, row)) != self._types or not all(
            columns.is_narrow(row[at]) for at in self._whole
        ):
            return False
        self._rows.append(row)
        self.n += 1
        return True

    def _spread(self) -> None:
        """What `take_alike` took goes into the columns."""
        rows, self._rows = self._rows, []
        if rows and self._paths:
            begin = self.n - len(rows)
            for path, taken in zip(self._paths, zip(*rows, strict=True), strict=True):
                column = self.columns[path]
                column.value_at.extend(range(begin, self.n))
                column.values.extend(taken)

    def _expect_alike(self, record: Record) -> None:
        values = record.values
        row = tuple(values.values())
        self._types = tuple(map(type, row))
        self._whole = tuple(at for at, kind in enumerate(self._types) if kind is int)
        narrow = all(columns.is_narrow(row[at]) for at in self._whole)
        self._paths = tuple(values) if narrow and not record.states else None

    def take(self, record: Record) -> bool:
        """Add the record; False, and nothing done, where a column holds another type."""
        if self.take_alike(record):
            return True
        self._spread()
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
        self._expect_alike(record)
        return True

    def fill(self, group: pb.Group, shapes: Shapes | None) -> bool:
        """Write it; whether it refers to the catalogue."""
        self._spread()
        source, name, group.kind = self.key
        place = shapes.place_of(source, self.group) if shapes and self.group else None
        if place is None:
            group.source, group.name = source, name
        else:
            group.shape = place + 1
        declared = self.group.index if self.group else {}
        for path in sorted(self.columns, key=lambda path: declared.get(path, len(declared))):
            signal = self.group.signals[declared[path]] if self.group and path in declared else None
            column = group.columns.add()
            if signal is not None and place is not None:
                column.leaf = declared[path] + 1
            else:
                column.path, column.unit = path, signal.unit if signal else ""
            self.columns[path].fill(column, self.n, signal.steps_per_unit if signal else 0)
        return place is not None


class _Tables:
    """Finds the table of each record; one more is opened where a signal changes its type."""

    def __init__(self, groups: GroupOf) -> None:
        self._groups = groups
        self._known: dict[tuple[object, ...], Group | None] = {}
        self._by_key: dict[tuple[str, str, str], list[_Table]] = {}
        self.all: list[_Table] = []
        self._last: tuple[str, Kind, _Table] | None = None

    def take(self, record: Record) -> int:
        """Put the record into its table; gives the table's position."""
        if self._last is not None:
            source, kind, last = self._last
            if source == record.source and kind == record.kind and last.take_alike(record):
                return last.position
        table = self._table(record)
        self._last = (record.source, record.kind, table)
        return table.position

    def _table(self, record: Record) -> _Table:
        """The table that took the record."""
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
                return table
        table = _Table(key, group, len(self.all))
        table.take(record)
        tables.append(table)
        self.all.append(table)
        return table


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
