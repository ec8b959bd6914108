"""Payload bytes -> Batch. Pure and total: any bytes give a Batch or a ValueError with a text.

Two formats, told apart by the first byte: 0x01 is zlib(protobuf Batch) as `telemetry.proto` says,
`{` is JSON. A message of some KiB may claim to be gigabytes, so each stage has its bound before it
allocates: zlib output, nested protobuf messages (an empty one takes 2 bytes on the wire and about
80 in memory), records, values.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, compress

from google.protobuf.message import DecodeError

from cloud import telemetry_pb2 as pb
from cloud.batch import (
    CLASSES,
    INT64_MAX,
    INT64_MIN,
    MAX_TIME_MS,
    MAX_VALUES,
    OFFSET_SOURCES,
    STATES,
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
    check_text,
    check_vehicle,
    merged_boots,
)
from cloud.intervals import Range, merged
from cloud.json_format import decode_json
from cloud.structure import check_structure

FORMAT_PROTOBUF = 0x01
FORMAT_JSON = ord("{")
MAX_BODY = 16 << 20
"""Bytes of a message after decompression."""

_NO_NEWS, _VALUE, _STATE = 0, 1, 2
_UNPACKED = tuple(tuple((byte >> shift) & 3 for shift in (0, 2, 4, 6)) for byte in range(256))
"""A byte of `presence` -> its four entries, lowest bits first."""


def decode(payload: bytes) -> Batch:
    """The batch in one telemetry message. ValueError says what is wrong with it."""
    if not payload:
        raise ValueError("an empty message")
    if payload[0] == FORMAT_JSON:
        if len(payload) > MAX_BODY:
            raise ValueError(f"JSON of {len(payload)} bytes, at most {MAX_BODY}")
        return decode_json(payload)
    if payload[0] != FORMAT_PROTOBUF:
        raise ValueError(f"first byte 0x{payload[0]:02x} is no known format (0x01, 0x7b)")
    body = _inflated(payload[1:])
    check_structure(body)
    try:
        message = pb.Batch.FromString(body)
    except DecodeError as error:
        raise ValueError(f"not a protobuf Batch: {error}") from None
    return _batch(message)


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(data, MAX_BODY + 1)
    except zlib.error as error:
        raise ValueError(f"not a zlib stream: {error}") from None
    if len(body) > MAX_BODY:
        raise ValueError(f"zlib stream of more than {MAX_BODY} bytes")
    if not inflater.eof:
        raise ValueError("zlib stream is cut short")
    if inflater.unused_data:
        raise ValueError(f"{len(inflater.unused_data)} bytes after the zlib stream")
    return body


def _batch(message: pb.Batch) -> Batch:
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
    groups = _groups(message.groups, order, kept, states)
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
    return Batch(vehicle, epoch, boots, drops, list(records), merged(runs))


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
    groups: Sequence[pb.Group],
    order: Sequence[int],
    kept: Sequence[dict[str, Scalar]],
    states: Sequence[dict[str, str]],
) -> list[tuple[str, str, str]]:
    """Spreads all columns over their records; returns (source, name, kind) of each group."""
    places: list[list[int]] = [[] for _ in groups]
    if order and max(order) >= len(groups):
        raise ValueError(f"order: group {max(order)} of {len(groups)}")
    for place, at in enumerate(order):
        places[at].append(place)
    heads = []
    room = MAX_VALUES
    for group, where in zip(groups, places, strict=True):
        source, name = check_name(group.source, "source"), check_group(group.name)
        heads.append((source, name, check_kind(group.kind)))
        seen: set[str] = set()
        for column in group.columns:
            path = check_name(column.path, "path")
            if path in seen:
                raise ValueError(f"{name}: column {path[:80]!r} is stated twice")
            seen.add(path)
            room -= len(where)
            if room < 0:
                raise ValueError(f"more than {MAX_VALUES} values in one message")
            _spread(column, path, where, kept, states)
    return heads


def _spread(
    column: pb.Column,
    path: str,
    where: Sequence[int],
    kept: Sequence[dict[str, Scalar]],
    states: Sequence[dict[str, str]],
) -> None:
    """Writes one column's values and states into its records, which are at the places `where`."""
    with_value: Sequence[int] = where
    with_state: Sequence[int] = ()
    if column.presence:
        codes = _presence(column.presence, len(where), path)
        with_value = list(compress(where, [code == _VALUE for code in codes]))
        with_state = list(compress(where, [code == _STATE for code in codes]))
    values = _values(column, path)
    if len(values) != len(with_value):
        raise ValueError(f"{path}: {len(values)} values for {len(with_value)} records")
    if len(column.states) != len(with_state):
        raise ValueError(f"{path}: {len(column.states)} states for {len(with_state)} records")
    for place, value in zip(with_value, values, strict=True):
        kept[place][path] = value
    for place, state in zip(with_state, column.states, strict=True):
        if not 1 <= state <= len(STATES):
            raise ValueError(f"{path}: state {state} is not known")
        states[place][path] = STATES[state - 1]


def _presence(packed: bytes, n: int, path: str) -> list[int]:
    if len(packed) != (n + 3) // 4:
        raise ValueError(f"{path}: presence of {len(packed)} bytes for {n} records")
    codes = list(chain.from_iterable(map(_UNPACKED.__getitem__, packed)))
    if any(codes[n:]) or 3 in codes:
        raise ValueError(f"{path}: presence has a code that is not 0, 1 or 2")
    return codes[:n]


def _values(column: pb.Column, path: str) -> Sequence[Scalar]:
    """The one value list that a column uses."""
    sizes = [len(column.delta), len(column.real), len(column.flag), len(column.text)]
    if sum(map(bool, sizes)) > 1:
        raise ValueError(f"{path}: more than one list of values")
    if max(sizes) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values in one message")
    if column.delta:
        return list(_numbers(column, path))
    if column.real:
        reals = list(column.real)
        # The sum of finite doubles may overflow, so each is looked at: v - v is 0 or NaN.
        if any(value - value != 0.0 for value in reals):
            raise ValueError(f"{path}: a value that is not finite")
        return reals
    if column.text:
        return [check_text(text, path) for text in column.text]
    return list(column.flag)


def _numbers(column: pb.Column, path: str) -> Iterator[int] | Iterator[float]:
    entries = list(accumulate(column.delta))
    if min(entries) < INT64_MIN or max(entries) > INT64_MAX:
        raise ValueError(f"{path}: a number beyond 64 bits")
    steps = column.steps_per_unit
    if column.integer:
        if steps != 1:
            raise ValueError(f"{path}: an integer with {steps} steps per unit")
        return iter(entries)
    if steps == 0:
        raise ValueError(f"{path}: 0 steps per unit")
    return (entry / steps for entry in entries)
