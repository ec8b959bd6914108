"""One record as a row of the ledger's `record` table, and whether two rows say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from cloud.batch import Batch, Record
from cloud.dating import Piece, utc_ms

_encode = msgspec.json.Encoder().encode


class Row(NamedTuple):
    """The columns of `record`, in order; `vals`, `states` and `blob` are JSON."""

    vehicle: str
    epoch: str
    seq: int
    source: str
    grp: str
    kind: str
    boot: str
    boottime_ms: int
    utc_ms: int | None
    received_boottime_ms: int
    vals: str
    states: str
    blob: str | None


def row_of(batch: Batch, record: Record, received_boottime_ms: int, dated: Sequence[Piece]) -> Row:
    """The row of one record, dated by what is known about its boot."""
    return Row(
        batch.vehicle,
        batch.epoch,
        record.seq,
        record.source,
        record.group,
        record.kind,
        record.boot,
        record.boottime_ms,
        utc_ms(record.boottime_ms, dated),
        received_boottime_ms,
        _encode(record.values).decode(),
        _encode(record.states).decode() if record.states else "{}",
        _encode(record.blob._asdict()).decode() if record.blob is not None else None,
    )


def same_content(one: Row, other: Row) -> bool:
    """Whether two rows state the same facts, whatever order or format they were sent in.

    The two payload formats may round a scaled value differently in the last bit of a double.
    """
    return (
        one[3:8] == other[3:8]
        and one.blob == other.blob
        and (one.vals == other.vals or _same_json(one.vals, other.vals))
        and (one.states == other.states or _same_json(one.states, other.states))
    )


def content(row: Row) -> str:
    """What a row says, as JSON, to be kept beside the record whose identity it took."""
    said = {
        "source": row.source,
        "grp": row.grp,
        "kind": row.kind,
        "boot": row.boot,
        "boottime_ms": row.boottime_ms,
        "vals": msgspec.Raw(row.vals.encode()),
        "states": msgspec.Raw(row.states.encode()),
        "blob": msgspec.Raw(row.blob.encode()) if row.blob is not None else None,
    }
    return _encode(said).decode()


def _same_json(one: str, other: str) -> bool:
    mine, theirs = msgspec.json.decode(one), msgspec.json.decode(other)
    return mine.keys() == theirs.keys() and all(
        _same_value(value, theirs[path]) for path, value in mine.items()
    )


def _same_value(one: object, other: object) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-12)
    if isinstance(one, int) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-12)
    return one == other
