"""The interoperable payload: UTF-8 JSON, one array a record, the same identity as the columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agent.clock import OffsetRow, OffsetSource
from agent.record import Blob, Kind, Record, Scalar, State, StorageClass
from agent.store.rows import Drop
from agent.uplink.payload import GroupOf, Payload, Run, Undecodable, Unencodable, boots_of

VERSION = 1


def encode(payload: Payload, groups: GroupOf) -> bytes:
    """The JSON of a payload. Raises Unencodable for what JSON has no word for."""
    boots = boots_of(payload)
    positions = {boot: at for at, boot in enumerate(boots)}
    whole: dict[str, Any] = {
        "v": VERSION,
        "vehicle": payload.vehicle,
        "epoch": payload.epoch,
        "boots": [
            {
                "boot": boot,
                "offsets": [
                    [row.from_boottime_ms, row.utc_offset_ms, str(row.source)]
                    for row in payload.offsets
                    if row.boot == boot
                ],
            }
            for boot in boots
        ],
        "drops": [_account(drop) for drop in payload.drops],
        **({"thinned": [_account(drop) for drop in payload.thinned]} if payload.thinned else {}),
        **({"settled": payload.settled} if payload.settled else {}),
        "records": [
            _record(seq, positions[run.boot], record, groups)
            for run in payload.runs
            for seq, record in enumerate(run.records, run.first)
        ],
    }
    try:
        text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except ValueError as e:
        raise Unencodable(f"a record does not fit JSON: {e}") from e


def _account(drop: Drop) -> list[Any]:
    return [str(drop.storage_class), drop.first, drop.last, drop.count, drop.reason]


def _record(seq: int, boot: int, record: Record, groups: GroupOf) -> list[Any]:
    group = groups(record.source, [*record.values, *record.states])
    blob = record.blob
    return [
        seq,
        record.source,
        group.name if group else "",
        boot,
        record.boottime_ms,
        str(record.kind),
        dict(record.values),
        {path: str(state) for path, state in record.states.items()},
        [blob.path, blob.media_type, blob.size, blob.sha256] if blob else None,
    ]


class _Boot(msgspec.Struct):
    boot: str
    offsets: list[tuple[int, int, OffsetSource]]


class _Record(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    seq: int
    source: str
    group: str
    boot: int
    boottime_ms: int
    kind: Kind
    values: dict[str, bool | int | float | str]
    states: dict[str, State]
    blob: tuple[str, str, int, str] | None


class _Payload(msgspec.Struct):
    v: int
    vehicle: str
    epoch: str
    boots: list[_Boot]
    drops: list[tuple[StorageClass, int, int, int, str]]
    records: list[_Record]
    thinned: list[tuple[StorageClass, int, int, int, str]] = []
    settled: int = 0


def decode(data: bytes) -> Payload:
    """The payload of some JSON. Raises Undecodable."""
    try:
        # The standard parser, since it keeps integers of any size; msgspec then checks the shape.
        whole = msgspec.convert(json.loads(data), _Payload)
        return Payload(
            vehicle=whole.vehicle,
            epoch=whole.epoch,
            runs=_runs(whole),
            offsets=[
                OffsetRow(boot.boot, *offset) for boot in whole.boots for offset in boot.offsets
            ],
            drops=[Drop(d[0], whole.epoch, *d[1:]) for d in whole.drops],
            thinned=tuple(Drop(d[0], whole.epoch, *d[1:]) for d in whole.thinned),
            settled=whole.settled,
            groups=[record.group for record in whole.records],
        )
    except (ValueError, IndexError, RecursionError, msgspec.MsgspecError) as e:
        raise Undecodable(f"no payload in JSON: {e}") from e


def _runs(whole: _Payload) -> Sequence[Run]:
    if whole.v != VERSION:
        raise Undecodable(f"version {whole.v} is unknown")
    runs: list[tuple[int, str, list[Record]]] = []
    for wire in whole.records:
        values: Mapping[str, Scalar] = wire.values
        blob = Blob(*wire.blob) if wire.blob else None
        record = Record(wire.source, wire.boottime_ms, values, wire.states, wire.kind, blob)
        if wire.boot < 0:
            raise Undecodable(f"boot {wire.boot} is unknown")
        boot = whole.boots[wire.boot].boot
        last = runs[-1] if runs else None
        if last and last[1] == boot and last[0] + len(last[2]) == wire.seq:
            last[2].append(record)
        else:
            runs.append((wire.seq, boot, [record]))
    return [Run(*run) for run in runs]
