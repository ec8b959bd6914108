"""What flows through the agent: a Record, its Kind, its Blob and the State of a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

Scalar = float | int | str | bool

_NO_STATES: Mapping[str, State] = MappingProxyType({})


class Kind(StrEnum):
    """What a record is about; it decides the storage class and the topic."""

    SAMPLE = "sample"
    STATUS = "status"
    EVENT = "event"
    REPLY = "reply"
    SEGMENT = "segment"
    FILE = "file"


class StorageClass(StrEnum):
    """Which table of the outbox holds a record, first to last in importance."""

    ALARM = "alarm"
    HISTORY = "history"
    BULK = "bulk"


CLASS_OF: Mapping[Kind, StorageClass] = MappingProxyType(
    {
        Kind.EVENT: StorageClass.ALARM,
        Kind.REPLY: StorageClass.ALARM,
        Kind.SAMPLE: StorageClass.HISTORY,
        Kind.STATUS: StorageClass.HISTORY,
        Kind.SEGMENT: StorageClass.BULK,
        Kind.FILE: StorageClass.BULK,
    }
)


class State(StrEnum):
    """Why a signal has no value just now."""

    NOT_AVAILABLE = "not_available"
    ERROR = "error"
    MISSING = "missing"
    IMPLAUSIBLE = "implausible"


@dataclass(frozen=True, slots=True)
class Blob:
    """A file beside the record: `path` on this box, `size` in bytes, `sha256` in hex."""

    path: str
    media_type: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Record:
    """Facts that one source stated together at one moment.

    `boottime_ms` is CLOCK_BOOTTIME at capture. `values` maps VSS paths to finite 64-bit scalars,
    `states` maps VSS paths to the reason for having no value; a path is in one of the two.
    """

    source: str
    boottime_ms: int
    values: Mapping[str, Scalar]
    states: Mapping[str, State] = field(default_factory=lambda: _NO_STATES)
    kind: Kind = Kind.SAMPLE
    blob: Blob | None = None
