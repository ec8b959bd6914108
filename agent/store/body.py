"""A row's body: its records as JSON lines, deflated, guarded by a CRC that covers the head too.

A line is `[source, boottime_ms, kind, {path: value}]`, then `{path: state}` where there are states
or a blob, then `[path, media_type, size, sha256]` where there is a blob. A row that has fewer
records than numbers was thinned: its first line says how far each record's number is from that of
the one before, `[2,1,7]` from seq `first - 1` on.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import msgspec

from agent.record import Blob, Kind, Record, Scalar, State, StorageClass

MAX_PLAIN_BYTES = 256 * 1024
"""A row's records are split where their JSON would pass this ..."""
MAX_BODY_BYTES = 64 * 1024
"""... or the deflated body this, so that one row fits one message; a lone record may pass both."""

MASK = (1 << 48) - 1
EPOCH_SHIFT = 48


class RawRow(NamedTuple):
    """A row as the tables hold it."""

    id: int
    first: int
    last: int
    n: int
    epoch: str
    boot: str
    crc: int
    body: bytes


class Unit(NamedTuple):
    """A record with its number."""

    seq: int
    record: Record


class _Line(msgspec.Struct, array_like=True):
    source: str
    boottime_ms: int
    kind: Kind
    values: dict[str, float | int | str | bool | None]
    states: dict[str, State] = {}
    blob: tuple[str, str, int, str] | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode
_steps = msgspec.json.Decoder(list[int]).decode


def row_id(epoch_index: int, first: int) -> int:
    """The key of the row that begins with seq `first`: epochs lie side by side, oldest first."""
    return epoch_index << EPOCH_SHIFT | first


def line(record: Record) -> bytes:
    """One record as one line of JSON."""
    values = dict(record.values)
    if record.blob is not None:
        blob = record.blob
        return _encode(
            (
                record.source,
                record.boottime_ms,
                record.kind,
                values,
                dict(record.states),
                (blob.path, blob.media_type, blob.size, blob.sha256),
            )
        )
    if record.states:
        return _encode(
            (record.source, record.boottime_ms, record.kind, values, dict(record.states))
        )
    return _encode((record.source, record.boottime_ms, record.kind, values))


def bodies(lines: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines as (number of records, body), split so that each body keeps the bounds."""
    start, size = 0, 0
    for end, text in enumerate(lines):
        if end > start and size + len(text) > MAX_PLAIN_BYTES:
            yield from _deflated(lines[start:end])
            start, size = end, 0
        size += len(text) + 1
    if start < len(lines):
        yield from _deflated(lines[start:])


def units(row: RawRow) -> list[Unit]:
    """The records of a row with their numbers. Raises ValueError where its body is none."""
    lines = _plain(row.body).split(b"\n")
    if row.n == row.last - row.first + 1:
        seqs: Iterable[int] = range(row.first, row.last + 1)
    else:
        seqs = list(itertools.accumulate(_steps(lines.pop(0)), initial=row.first - 1))[1:]
    return [Unit(seq, _record(text)) for seq, text in zip(seqs, lines, strict=True)]


def packed(
    storage_class: StorageClass,
    index: int,
    epoch: str,
    boot: str,
    span: tuple[int, int],
    content: Sequence[Unit],
) -> list[RawRow]:
    """Rows that hold `content` and stand for all numbers of `span`, those of no record too."""
    rows: list[RawRow] = []
    lines = [line(unit.record) for unit in content]
    begin, first = 0, span[0]
    for n, _ in bodies(lines):
        end = begin + n
        last = span[1] if end == len(lines) else content[end].seq - 1
        own = lines[begin:end]
        if n != last - first + 1:
            before = [first - 1, *(unit.seq for unit in content[begin : end - 1])]
            steps = [unit.seq - b for unit, b in zip(content[begin:end], before, strict=True)]
            own = [_encode(steps), *own]
        body = zlib.compress(b"\n".join(own), 1)
        crc = checksum(storage_class, epoch, first, last, boot, body, n)
        rows.append(RawRow(row_id(index, first), first, last, n, epoch, boot, crc, body))
        begin, first = end, last + 1
    return rows


def _deflated(lines: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    body = zlib.compress(b"\n".join(lines), 1)
    if len(body) <= MAX_BODY_BYTES or len(lines) == 1:
        yield len(lines), body
    else:
        half = len(lines) // 2
        yield from _deflated(lines[:half])
        yield from _deflated(lines[half:])


def checksum(
    storage_class: StorageClass,
    epoch: str,
    first: int,
    last: int,
    boot: str,
    body: bytes,
    n: int,
) -> int:
    """CRC-32 of a row's identity and body: a row that was moved or relabelled fails too."""
    holes = f" {n}" if n != last - first + 1 else ""
    head = f"{storage_class} {epoch} {first} {last} {boot}{holes}".encode(errors="surrogatepass")
    return zlib.crc32(body, zlib.crc32(head))


def intact(storage_class: StorageClass, row: RawRow) -> bool:
    """Whether a row is exactly what was written."""
    return sound(row.id, row.first, row.last, row.n) and row.crc == checksum(
        storage_class, row.epoch, row.first, row.last, row.boot, row.body, row.n
    )


def sound(key: int, first: object, last: object, n: object) -> bool:
    """Whether a row's key, bounds and number of records agree with each other."""
    return (
        isinstance(first, int)
        and isinstance(last, int)
        and key & MASK == first
        and 0 < first <= last
        and isinstance(n, int)
        and 0 < n <= last - first + 1
    )


def well_typed(row: tuple[object, ...]) -> bool:
    """Whether a row's columns have the types that were written; damage can change them."""
    return (
        all(isinstance(value, int) for value in row[:4])
        and isinstance(row[4], str)
        and isinstance(row[5], str)
        and isinstance(row[6], int)
        and isinstance(row[7], bytes)
    )


def _plain(body: bytes) -> bytes:
    try:
        return zlib.decompress(body)
    except zlib.error as error:
        raise ValueError(str(error)) from error


def _record(text: bytes) -> Record:
    item = _decode(text)
    values, states = cast("dict[str, Scalar]", item.values), item.states
    if None in item.values.values():
        # JSON has no NaN: a driver that got one past the door left a null, which is no value.
        found, states, values = item.values, {**states}, {}
        for path, value in found.items():
            if value is None:
                states[path] = State.ERROR
            else:
                values[path] = value
    blob = None if item.blob is None else Blob(*item.blob)
    return Record(item.source, item.boottime_ms, values, states, item.kind, blob)
