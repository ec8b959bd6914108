"""The JSON format of a telemetry message -> Batch.

`{"v":1, "vehicle":.., "epoch":hex, "boots":[{"boot":hex, "offsets":[[from, offset, source], ..]}],
"drops":[[class, first, last, count, reason], ..], "records":[[seq, source, group, boot index,
boottime_ms, kind, {path: value}, {path: state}, blob or null], ..]}` in UTF-8. A blob is
`[path, media_type, size, sha256]` or an object with these keys. Unknown keys are ignored.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from cloud.batch import (
    INT64_MAX,
    INT64_MIN,
    MAX_VALUES,
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
    check_settled,
    check_text,
    check_vehicle,
    merged_boots,
)
from cloud.intervals import coalesced


class _Boot(msgspec.Struct):
    boot: str
    offsets: list[tuple[int, int, str]] = []


class _Blob(msgspec.Struct):
    path: str
    media_type: str
    size: int
    sha256: str


class _Record(msgspec.Struct, array_like=True):
    seq: int
    source: str
    group: str
    boot: int
    boottime_ms: int
    kind: str
    values: dict[str, int | float | str | bool]
    states: dict[str, str]
    blob: tuple[str, str, int, str] | _Blob | None


class _Message(msgspec.Struct):
    v: Literal[1]
    vehicle: str
    epoch: str
    boots: list[_Boot] = []
    drops: list[tuple[str, int, int, int, str]] = []
    thinned: list[tuple[str, int, int, int, str]] = []
    settled: int = 0
    records: list[_Record] = []


_decoder = msgspec.json.Decoder(_Message)


def decode_json(payload: bytes) -> Batch:
    """The batch in one JSON message. ValueError says what is wrong with it."""
    try:
        message = _decoder.decode(payload)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError(f"not a telemetry message in JSON: {error}") from None
    check_count(len(message.records), len(message.boots))
    boots = merged_boots(
        (check_id(boot.boot, "boot"), check_offsets([Offset(*row) for row in boot.offsets]))
        for boot in message.boots
    )
    room = MAX_VALUES
    names = list(boots)
    records = []
    for row in message.records:
        room -= len(row.values) + len(row.states)
        if room < 0:
            raise ValueError(f"more than {MAX_VALUES} values in one message")
        records.append(_record(row, names))
    return Batch(
        check_vehicle(message.vehicle),
        check_id(message.epoch, "epoch"),
        boots,
        [check_drop(Drop(*row)) for row in message.drops],
        records,
        coalesced(record.seq for record in records),
        tuple(check_drop(Drop(*row)) for row in message.thinned),
        check_settled(message.settled),
    )


def _record(row: _Record, boots: list[str]) -> Record:
    if not 1 <= row.seq <= INT64_MAX:
        raise ValueError(f"records: {row.seq} is not a seq")
    if not 0 <= row.boot < len(boots):
        raise ValueError(f"records: seq {row.seq} names boot {row.boot} of {len(boots)}")
    for path, value in row.values.items():
        check_name(path, "path")
        _check_value(path, value)
    for path, state in row.states.items():
        check_name(path, "path")
        if state not in STATES:
            raise ValueError(f"{path}: state {state[:80]!r} is not known")
        if path in row.values:
            raise ValueError(f"{path}: both a value and a state in seq {row.seq}")
    return Record(
        row.seq,
        check_name(row.source, "source"),
        check_group(row.group),
        check_kind(row.kind),
        boots[row.boot],
        check_boottime(row.boottime_ms),
        row.values,
        row.states,
        _blob(row.blob),
    )


def _blob(stated: tuple[str, str, int, str] | _Blob | None) -> Blob | None:
    if stated is None:
        return None
    if isinstance(stated, _Blob):
        stated = (stated.path, stated.media_type, stated.size, stated.sha256)
    return check_blob(Blob(*stated))


def _check_value(path: str, value: Scalar) -> None:
    if isinstance(value, str):
        check_text(value, path)
    elif isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        raise ValueError(f"{path}: a number beyond 64 bits")
