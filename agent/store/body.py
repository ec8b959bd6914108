"""A row's body: its records as columns of JSON, deflated.

Deflated is one byte 0x02 and `[times, parts, steps, blobs]`. `times`: boot time of each record in
ms, as the difference to the one before. A part is
`[source, kind, [path], [state path], steps, [column of values], [column of states]]`, `steps` being
the differences between the positions of its records (the first from -1), empty where all are its.
A row that has fewer records than numbers was thinned: the `steps` of the body say how far each
record's number is from that of the one before, `[2,1,7]` from seq `first - 1` on. A blob is
`[position, path, media_type, size, sha256]`.

Before format 2 a body had a line for each record,
`[source, boottime_ms, kind, {path: value}, {path: state}, blob]`; such rows are still read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import NamedTuple, cast

import msgspec

from agent.record import Blob, Kind, Record, Scalar, State, StorageClass
from agent.store.block import Block, Part, Shape
from agent.store.rawrow import RawRow, checksum, row_id

MAX_RECORDS = 300
"""In one row; split further where the JSON would pass the next bound ..."""
MAX_PLAIN_BYTES = 256 * 1024
"""... or the deflated body this, so that one row fits one message; a lone record may pass both."""
MAX_BODY_BYTES = 64 * 1024

_COLUMNS = b"\x02"


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


class _Part(msgspec.Struct, array_like=True):
    source: str
    kind: Kind
    paths: Sequence[str]
    states: Sequence[str]
    steps: Sequence[int]
    values: Sequence[Sequence[float | int | str | bool | None]]
    reasons: Sequence[Sequence[State]]


class _Body(msgspec.Struct, array_like=True):
    times: Sequence[int]
    parts: Sequence[_Part]
    steps: Sequence[int]
    blobs: Sequence[tuple[int, str, str, int, str]]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Body).decode
_decode_line = msgspec.json.Decoder(_Line).decode
_decode_steps = msgspec.json.Decoder(list[int]).decode


def weight(record: Record) -> int:
    """Bytes of a record by itself: more than it adds to a body."""
    return len(
        _encode((record.source, record.boottime_ms, dict(record.values), dict(record.states)))
    )


def bodies(records: Sequence[Record], seqs: Sequence[int] = ()) -> Iterator[tuple[int, bytes]]:
    """The records as (number of records, body), split so that each body keeps the bounds.

    `seqs`: their numbers and before those the number before the first; empty where they are
    consecutive.
    """
    for start in range(0, len(records), MAX_RECORDS):
        end = min(len(records), start + MAX_RECORDS)
        yield from _deflated(records[start:end], seqs[start : end + 1])


def _deflated(records: Sequence[Record], seqs: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    plain = _plain_of(records, seqs)
    if len(plain) <= MAX_PLAIN_BYTES or len(records) == 1:
        body = zlib.compress(plain, 1)
        if len(body) <= MAX_BODY_BYTES or len(records) == 1:
            yield len(records), body
            return
    half = len(records) // 2
    yield from _deflated(records[:half], seqs[: half + 1])
    yield from _deflated(records[half:], seqs[half:])


def _plain_of(records: Sequence[Record], seqs: Sequence[int]) -> bytes:
    block = Block.of(records)
    times = _steps(block.boottimes_ms, 0)
    alone = len(block.parts) == 1
    parts = [
        _Part(*part.shape, [] if alone else _steps(part.members, -1), part.values, part.states)
        for part in block.parts
    ]
    steps = [b - a for a, b in pairwise(seqs)]
    if all(step == 1 for step in steps):
        steps = []
    blobs = [
        (at, blob.path, blob.media_type, blob.size, blob.sha256) for at, blob in block.blobs.items()
    ]
    return _COLUMNS + _encode((times, parts, steps, blobs))


def _steps(rising: Sequence[int], before: int) -> list[int]:
    return [b - a for a, b in pairwise(chain((before,), rising))]


def content(row: RawRow) -> tuple[Block, Sequence[int]]:
    """The records of a row and their numbers. Raises ValueError where its body is none."""
    plain = _inflated(row.body)
    if plain[:1] == _COLUMNS:
        block, steps = _columns(plain)
    else:
        lines = plain.split(b"\n")
        steps = _decode_steps(lines.pop(0)) if row.n != row.last - row.first + 1 else []
        block = Block.of(map(_record_of_line, lines))
    if steps:
        seqs: Sequence[int] = list(accumulate(steps, initial=row.first - 1))[1:]
    else:
        seqs = range(row.first, row.first + len(block))
    if len(seqs) != len(block) or len(block) != row.n or (seqs and seqs[-1] > row.last):
        raise ValueError(f"{len(block)} records with {len(seqs)} numbers, not {row.n}")
    return block, seqs


def units(row: RawRow) -> list[Unit]:
    """The records of a row with their numbers. Raises ValueError where its body is none."""
    block, seqs = content(row)
    return [Unit(seq, record) for seq, record in zip(seqs, block, strict=True)]


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
    seqs = [span[0] - 1, *(unit.seq for unit in content)]
    begin, first = 0, span[0]
    for n, body in bodies([unit.record for unit in content], seqs):
        end = begin + n
        last = span[1] if end == len(content) else content[end - 1].seq
        crc = checksum(storage_class, epoch, first, last, boot, body, n)
        rows.append(RawRow(row_id(index, first), first, last, n, epoch, boot, crc, body))
        begin, first = end, last + 1
    return rows


def _inflated(body: bytes) -> bytes:
    try:
        return zlib.decompress(body)
    except zlib.error as error:
        raise ValueError(str(error)) from error


def _columns(plain: bytes) -> tuple[Block, Sequence[int]]:
    whole = _decode(plain[1:])
    n = len(whole.times)
    parts = []
    for part in whole.parts:
        members = list(accumulate(part.steps, initial=-1))[1:] if part.steps else range(n)
        lengths = {len(column) for column in (*part.values, *part.reasons)}
        if lengths - {len(members)}:
            raise ValueError(f"columns of {lengths} entries for {len(members)} records")
        if (len(part.values), len(part.reasons)) != (len(part.paths), len(part.states)):
            raise ValueError("more columns than paths, or fewer")
        shape = Shape(part.source, part.kind, tuple(part.paths), tuple(part.states))
        # What JSON has no number for is mended below.
        values = cast("Sequence[Sequence[Scalar]]", part.values)
        parts.append(Part(shape, members, values, part.reasons))
    if sorted(chain.from_iterable(part.members for part in parts)) != list(range(n)):
        raise ValueError(f"the parts do not make up {n} records")
    blobs = {blob[0]: Blob(*blob[1:]) for blob in whole.blobs}
    block = Block(list(accumulate(whole.times)), parts, blobs)
    if b"null" in plain:
        block = Block.of(map(_without_null, block))
    return block, whole.steps


def _record_of_line(text: bytes) -> Record:
    item = _decode_line(text)
    values = cast("dict[str, Scalar]", item.values)
    blob = None if item.blob is None else Blob(*item.blob)
    return _without_null(
        Record(item.source, item.boottime_ms, values, item.states, item.kind, blob)
    )


def _without_null(record: Record) -> Record:
    """JSON has no NaN: a driver that got one past the door left a null, which is no value."""
    if None not in record.values.values():
        return record
    values = {path: value for path, value in record.values.items() if value is not None}
    states = dict(record.states)
    states |= {path: State.ERROR for path in record.values if path not in values}
    return Record(record.source, record.boottime_ms, values, states, record.kind, record.blob)
