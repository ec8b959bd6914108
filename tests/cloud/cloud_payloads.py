"""Telemetry messages built by hand from telemetry.proto and the JSON format, and books of them."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud import telemetry_pb2 as pb
from cloud.batch import Batch, Drop, Offset, Record
from cloud.intake import Delivery, Intake
from cloud.intervals import coalesced

VEHICLE = "bus-1"
EPOCH = "ab" * 16
BOOT = "cd" * 16
SPEED = "Vehicle.Speed"
NOTHING: Mapping[str, Any] = {}


def packed(message: pb.Batch) -> bytes:
    """The payload on the wire."""
    return b"\x01" + zlib.compress(message.SerializeToString(), 6)


def message(
    seqs: Sequence[int],
    *,
    vehicle: str = VEHICLE,
    epoch: str = EPOCH,
    boot: str = BOOT,
    speed: float | None = None,
    boottime_ms: int = 1_000,
    offsets: Sequence[tuple[int, int, int]] = (),
    drops: Sequence[tuple[int, int, int, int, str]] = (),
) -> pb.Batch:
    """Records of one group `ccvs1`, 100 ms apart; `speed` in 1/256 km/h is the seq by default."""
    runs: list[int] = []
    after = 0
    for first, last in coalesced(seqs):
        runs += [first - after, last - first + 1]
        after = last + 1
    entries = [round(seq if speed is None else speed * 256) for seq in sorted(seqs)]
    times = [boottime_ms + 100 * seq for seq in sorted(seqs)]
    column = pb.Column(path=SPEED, unit="km/h", delta=_deltas(entries), steps_per_unit=256)
    group = pb.Group(source="fms", name="ccvs1", kind="sample", columns=[column])
    return pb.Batch(
        vehicle=vehicle,
        epoch=bytes.fromhex(epoch),
        runs=runs,
        boots=[
            pb.Boot(
                boot=bytes.fromhex(boot),
                offsets=[
                    pb.Offset(from_boottime_ms=a, utc_offset_ms=b, source=c) for a, b, c in offsets
                ],
            )
        ],
        drops=[
            pb.Drop(storage_class=a, first=b, last=c, count=d, reason=e) for a, b, c, d, e in drops
        ],
        groups=[group] if seqs else [],
        order=[0] * len(seqs),
        boottime_delta_ms=_deltas(times),
        boot_runs=[0, len(seqs)] if seqs else [],
    )


def telemetry(seqs: Sequence[int], **more: Any) -> bytes:
    return packed(message(seqs, **more))


def document(**more: Any) -> dict[str, Any]:
    """A message in the JSON format with two records and a drop."""
    blob = {"path": "a.mp4", "media_type": "video/mp4", "size": 7, "sha256": "0" * 64}
    return {
        "v": 1,
        "vehicle": VEHICLE,
        "epoch": EPOCH,
        "boots": [{"boot": BOOT, "offsets": [[0, 1_800_000_000_000, "gnss"]]}],
        "drops": [["history", 3, 4, 2, "quota"]],
        "records": [
            [1, "gnss", "fix", 0, 5, "sample", {"a": 1.5, "b": True}, {"c": "error"}, None],
            [2, "cam", "clip", 0, 9, "file", {"n": 3, "t": "x"}, {}, blob],
        ],
        **more,
    }


def as_json(**more: Any) -> bytes:
    return json.dumps(document(**more)).encode()


def batch(
    seqs: Sequence[int],
    *,
    vehicle: str = VEHICLE,
    epoch: str = EPOCH,
    boot: str = BOOT,
    value: float | None = None,
    offsets: Sequence[Offset] = (),
    drops: Sequence[Drop] = (),
) -> Batch:
    """A decoded batch; the value of a record is its seq by default."""
    records = [
        Record(
            seq,
            "fms",
            "ccvs1",
            "sample",
            boot,
            100 * seq,
            {SPEED: float(seq) if value is None else value},
            NOTHING,
            None,
        )
        for seq in seqs
    ]
    return Batch(vehicle, epoch, {boot: offsets}, drops, records, coalesced(seqs))


def intake(*batches: Batch, received_boottime_ms: int = 7) -> Intake:
    return Intake(
        deliveries=[Delivery(one, received_boottime_ms) for one in batches], messages=len(batches)
    )


def _deltas(numbers: Sequence[int]) -> list[int]:
    return [b - a for a, b in zip([0, *numbers], numbers, strict=False)]


WHOLE_BOOKS = as_json()


@dataclass(frozen=True)
class Books:
    """What a ledger file says, read the way that anybody could."""

    seqs: dict[tuple[str, str], set[int]]
    spans: dict[tuple[str, str], list[tuple[int, int]]]
    duplicates: int
    conflicts: int


def books(path: Path) -> Books:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        seqs: dict[tuple[str, str], set[int]] = {}
        for vehicle, epoch, seq in db.execute("SELECT vehicle, epoch, seq FROM record"):
            seqs.setdefault((vehicle, epoch), set()).add(seq)
        spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for vehicle, epoch, *span in db.execute("SELECT * FROM span ORDER BY first"):
            spans.setdefault((vehicle, epoch), []).append((span[0], span[1]))
        counter = dict(db.execute("SELECT name, value FROM counter"))
    finally:
        db.close()
    return Books(seqs, spans, counter.get("duplicates_received", 0), counter.get("conflicts", 0))
