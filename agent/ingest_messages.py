"""What the door passes on to the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.record import Record
from agent.signals import Group


@dataclass(frozen=True, slots=True)
class Arrival:
    """Records of one datagram, in order. Commit them with Mark(stream, upto), also when empty."""

    source: str
    stream: str
    upto: int
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """A driver said hello. `encoded` are its groups for the catalogue, see decode_groups."""

    source: str
    type: str
    version: str
    stream: str
    pid: int
    groups: tuple[Group, ...]
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Left:
    """A driver's connection ended."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reported:
    """What a driver's host counts, plus `rejected_records` that the door counted."""

    source: str
    counters: Mapping[str, int]
    device: str


Inbound = Arrival | Joined | Left | Reported
