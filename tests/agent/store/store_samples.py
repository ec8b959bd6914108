"""Records to store, and how an outbox is judged: by its rows and by its books."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.record import Blob, Kind, Record, State, StorageClass
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader
from agent.store.rows import RowDamaged, RowHead

BOOT = "b" * 32
QUOTA: Mapping[StorageClass, int] = dict.fromkeys(StorageClass, 32 << 20)
KIND = {
    StorageClass.ALARM: Kind.EVENT,
    StorageClass.HISTORY: Kind.SAMPLE,
    StorageClass.BULK: Kind.FILE,
}


def record(number: int, kind: Kind = Kind.SAMPLE, pad: str = "") -> Record:
    """A record that can be told from every other; `pad` makes it large."""
    blob = None
    if kind in (Kind.SEGMENT, Kind.FILE):
        blob = Blob(f"clips/{number}.mp4", "video/mp4", number, f"{number:064x}")
    values: dict[str, float | int | str | bool] = {
        "Vehicle.Speed": number / 3,
        "Vehicle.Bus.Can.FramesRead": number,
        "Vehicle.IsMoving": number % 2 == 0,
    }
    if pad:
        values["Vehicle.Pad"] = pad
    states = {"Vehicle.Exterior.AirTemperature": State.ERROR} if number % 3 == 0 else {}
    return Record("fms", 1_000 + number, values, states, kind, blob)


def open_outbox(directory: Path, **options: Any) -> Outbox:
    """Open with large quotas where none are given."""
    return Outbox.open(directory, **{"quota_bytes": QUOTA, **options})


def heads(reader: OutboxReader) -> list[RowHead]:
    """All rows, read in pages."""
    found: list[RowHead] = []
    for storage_class in StorageClass:
        after = None
        while page := reader.oldest(storage_class, after, 7):
            found += page
            after = page[-1]
    return found


def delivered(reader: OutboxReader) -> dict[tuple[str, int], Record]:
    """Every record that an uplink would send, by epoch and seq; damaged rows are left out."""
    found: dict[tuple[str, int], Record] = {}
    for head in heads(reader):
        try:
            row = reader.load(head)
        except (KeyError, RowDamaged):
            continue
        for i, item in enumerate(row.records):
            key = (head.epoch, head.first + i)
            assert key not in found, f"{key} is delivered twice"
            found[key] = item
    return found


def in_order(reader: OutboxReader, storage_class: StorageClass) -> list[tuple[str, int]]:
    """(epoch, seq) of a class as the uplink sees them."""
    found = []
    after = None
    while page := reader.oldest(storage_class, after, 3):
        found += [(head.epoch, seq) for head in page for seq in range(head.first, head.last + 1)]
        after = page[-1]
    return found


def assert_balanced(reader: OutboxReader) -> Mapping[str, Any]:
    """The books balance per class and no number is there twice; the summary."""
    summary: Mapping[str, Any] = reader.summary()
    for name, c in summary["by_class"].items():
        assert c["accepted"] == c["acknowledged"] + c["queued"] + c["dropped"], (name, summary)
    assert summary["balanced"] is True
    assert summary["gaps"] == 0, summary
    return summary


def settle(outbox: Outbox, limit: int = 2_000) -> int:
    """Verify and salvage to the end; how many steps it took."""
    for step in range(limit):
        if not outbox.salvage_step():
            return step + 1
    raise AssertionError(f"salvage is not through after {limit} steps")
