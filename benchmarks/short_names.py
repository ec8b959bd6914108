"""The record of the bus as JSON systems get it: short names and UTC in ms, which favours them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from agent.record import Scalar
from benchmarks.bus_record import FIELDS, drive

NAMES = (
    *("lat", "lon", "alt", "gspd", "hdg", "sat", "spd", "rpm", "trq"),
    *("acc", "cool", "lvl", "fuel", "odo", "gear", "door", "brk"),
)
UTC_MS = 1_800_000_000_000


def records(n: int) -> Iterator[tuple[int, dict[str, Scalar]]]:
    """(UTC in ms, value by name) of the first `n` seconds."""
    short = {path: name for (path, _, _), name in zip(FIELDS, NAMES, strict=True)}
    for record in islice(drive(), n):
        values = {short[path]: value for path, value in record.values.items()}
        yield UTC_MS + record.boottime_ms, values
