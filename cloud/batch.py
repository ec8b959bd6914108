"""What one telemetry message says once it is decoded, and the bounds that every format shares.

A Batch is of one vehicle and one epoch. Every number in it fits 64 bits, every text UTF-8, so that
the ledger can store any Batch. Errors are ValueError with a text that names the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cloud.intervals import Range

Scalar = float | int | str | bool

KINDS = frozenset({"sample", "status", "event", "reply", "segment", "file"})
CLASSES = ("alarm", "history", "bulk")
OFFSET_SOURCES = ("none", "rtc", "ntp", "gnss", "vehicle")
"""Where a UTC offset came from; the protobuf format sends the position."""
OFFSET_RANK = ("none", "rtc", "vehicle", "ntp", "gnss")
"""The same, worst first."""
STATES = ("not_available", "error", "missing", "implausible")
"""Why a signal has no value; the protobuf format sends the position + 1."""

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)
MAX_TIME_MS = 2**53
"""Bound of every time and offset in ms: 285,000 years; sums of two stay within 64 bits."""
MAX_RECORDS = 200_000
"""Records in a message. 96 KiB of the best compressed telemetry measured hold 58,000."""
MAX_VALUES = 2_000_000
"""Values and states in a message; each costs about 100 B of memory here."""
MAX_OFFSETS = 2_000
"""Rows of one boot's table of UTC offsets. A clock that drifts by 20 ppm gains 18 rows a day."""
MAX_BOOTS = 1_000
MAX_NAME = 512
"""Characters of a source, group or path."""
MAX_TEXT = 65_536
"""Characters of a text value."""
MAX_PHRASE = 4_096
"""Characters of a drop's reason, of a blob's path or media type."""

_VEHICLE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_ID = re.compile(r"[0-9a-f]{32}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class Offset(NamedTuple):
    """From `from_boottime_ms` of a boot on, UTC in ms = boot time in ms + `utc_offset_ms`."""

    from_boottime_ms: int
    utc_offset_ms: int
    source: str


class Drop(NamedTuple):
    """`n` records of a class that will never come: the range is acknowledged like records."""

    storage_class: str
    first: int
    last: int
    n: int
    reason: str


class Blob(NamedTuple):
    """A file on the vehicle: `size` in bytes, `sha256` in hex."""

    path: str
    media_type: str
    size: int
    sha256: str


class Record(NamedTuple):
    """Facts that one source stated together at one moment; `boot` in hex, `seq` its identity."""

    seq: int
    source: str
    group: str
    kind: str
    boot: str
    boottime_ms: int
    values: Mapping[str, Scalar]
    states: Mapping[str, str]
    blob: Blob | None


@dataclass(frozen=True, slots=True)
class Batch:
    """One decoded message. `runs` are the seq of `records`, ascending, coalesced.

    `thinned` says how many records were thinned away in ranges that are still to come: nothing of
    it is accounted for yet, the exact drops follow. `settled`: up to this seq the vehicle has
    nothing any more, 0 where it did not say.
    """

    vehicle: str
    epoch: str
    boots: Mapping[str, Sequence[Offset]]
    drops: Sequence[Drop]
    records: Sequence[Record]
    runs: Sequence[Range]
    thinned: Sequence[Drop] = ()
    settled: int = 0


def is_vehicle(text: str) -> bool:
    """Whether a text may be the id of a vehicle."""
    return _VEHICLE.match(text) is not None


def check_vehicle(text: str) -> str:
    if not is_vehicle(text):
        raise ValueError(f"vehicle: {text[:80]!r} is not 1 to 64 of A-Z a-z 0-9 _ -")
    return text


def check_id(text: str, what: str) -> str:
    """An epoch or a boot: 16 bytes in lower-case hex."""
    if _ID.match(text) is None:
        raise ValueError(f"{what}: {text[:80]!r} is not 32 hex digits")
    return text


def check_name(text: str, what: str) -> str:
    if not 0 < len(text) <= MAX_NAME:
        raise ValueError(f"{what}: 1 to {MAX_NAME} characters expected, got {len(text)}")
    return text


def check_group(text: str) -> str:
    """Like a name, but empty for records of which nobody declared the group."""
    return text and check_name(text, "group")


def check_text(text: str, path: str) -> str:
    """A value."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"{path}: a text of {len(text)} characters, at most {MAX_TEXT}")
    return text


def check_kind(text: str) -> str:
    if text not in KINDS:
        raise ValueError(f"kind: {text[:80]!r} is none of {', '.join(sorted(KINDS))}")
    return text


def check_boottime(at_ms: int, what: str = "boottime_ms") -> int:
    if not 0 <= at_ms <= MAX_TIME_MS:
        raise ValueError(f"{what}: {at_ms} is not a boot time in ms")
    return at_ms


def check_offsets(offsets: Sequence[Offset]) -> Sequence[Offset]:
    if len(offsets) > MAX_OFFSETS:
        raise ValueError(f"boots: a table of {len(offsets)} offsets, at most {MAX_OFFSETS}")
    for offset in offsets:
        check_boottime(offset.from_boottime_ms, "boots: from_boottime_ms")
        if abs(offset.utc_offset_ms) > MAX_TIME_MS:
            raise ValueError(f"boots: utc_offset_ms {offset.utc_offset_ms} is beyond any date")
        if offset.source not in OFFSET_SOURCES:
            raise ValueError(f"boots: offset source {offset.source[:80]!r} is not known")
    return offsets


def check_drop(drop: Drop) -> Drop:
    if drop.storage_class not in CLASSES:
        raise ValueError(f"drops: class {drop.storage_class[:80]!r} is not known")
    if not 1 <= drop.first <= drop.last <= INT64_MAX:
        raise ValueError(f"drops: {drop.first}..{drop.last} is not a range of seq")
    if not 0 <= drop.n <= drop.last - drop.first + 1:
        raise ValueError(f"drops: {drop.n} records in {drop.first}..{drop.last}")
    if len(drop.reason) > MAX_PHRASE:
        raise ValueError(f"drops: a reason of {len(drop.reason)} characters, at most {MAX_PHRASE}")
    return drop


def check_settled(seq: int) -> int:
    if not 0 <= seq <= INT64_MAX:
        raise ValueError(f"settled: {seq} is not a seq")
    return seq


def check_blob(blob: Blob) -> Blob:
    if max(len(blob.path), len(blob.media_type)) > MAX_PHRASE:
        raise ValueError(f"blobs: path or media type longer than {MAX_PHRASE} characters")
    if not 0 <= blob.size <= INT64_MAX:
        raise ValueError(f"blobs: size {blob.size} is not a number of bytes")
    if _SHA256.match(blob.sha256) is None:
        raise ValueError("blobs: sha256 has 32 bytes")
    return blob


def check_count(records: int, boots: int) -> None:
    if records > MAX_RECORDS:
        raise ValueError(f"{records} records in one message, at most {MAX_RECORDS}")
    if boots > MAX_BOOTS:
        raise ValueError(f"{boots} boots in one message, at most {MAX_BOOTS}")


def merged_boots(
    boots: Iterable[tuple[str, Sequence[Offset]]],
) -> dict[str, Sequence[Offset]]:
    """The boots of a message by id; one that is stated twice is refused."""
    found: dict[str, Sequence[Offset]] = {}
    for boot, offsets in boots:
        if boot in found:
            raise ValueError(f"boots: {boot} is stated twice")
        found[boot] = offsets
    return found
