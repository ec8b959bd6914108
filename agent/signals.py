"""Signals: what a value is called, measured in, bounded by and how densely it is worth keeping.

Paths follow COVESA VSS 6, then the SDV overlay `Vehicle.Tachograph.*`, then our `Vehicle.Bus.*`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Datatype(StrEnum):
    """The VSS datatypes that a driver may declare."""

    BOOLEAN = "boolean"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    INT8 = "int8"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT = "float"
    DOUBLE = "double"
    STRING = "string"


class Keep(StrEnum):
    """Which values of a signal are kept."""

    EVERY = "every"
    CHANGE = "change"
    SAMPLED = "sampled"


@dataclass(frozen=True, slots=True)
class Thinning:
    """How `thin` treats a signal.

    `every`: all values are kept. `change`: a value is kept when it differs from the last kept one.
    `sampled`: kept when `interval_s` has passed since the last kept one and it differs from that by
    more than `deadband` (same unit as the signal; for strings and booleans: differs at all).
    A change of state counts as a change and is kept at once, in all three.
    """

    keep: Keep = Keep.CHANGE
    interval_s: float = 0.0
    deadband: float = 0.0


EVERY = Thinning(Keep.EVERY)
CHANGE = Thinning(Keep.CHANGE)


def sampled(interval_s: float, deadband: float = 0.0) -> Thinning:
    """At most one value in `interval_s` seconds, and only beyond `deadband`."""
    return Thinning(Keep.SAMPLED, interval_s, deadband)


@dataclass(frozen=True, slots=True)
class Signal:
    """One VSS leaf.

    `unit` is a VSS unit ("km/h", "percent", "degrees", ... or "" for none). `minimum`, `maximum`:
    plausible bounds in that unit, None where there are none. `steps_per_unit`: the wire resolution,
    e.g. 256 for 1/256 km/h; 0 where values are not multiples of a step. `source` names the
    standard and SPN or sentence that defines it.
    """

    path: str
    datatype: Datatype
    unit: str
    meaning: str
    thinning: Thinning = CHANGE
    minimum: float | None = None
    maximum: float | None = None
    steps_per_unit: int = 0
    source: str = ""


@dataclass(frozen=True)
class Group:
    """Signals that one driver emits together: a PGN, a fix. `name` is unique in its driver."""

    name: str
    signals: tuple[Signal, ...]
    index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {signal.path: i for i, signal in enumerate(self.signals)}
        if len(index) != len(self.signals):
            raise ValueError(f"group {self.name}: a path is declared twice")
        object.__setattr__(self, "index", MappingProxyType(index))


class Catalogue:
    """All signals of all sources: who declares what.

    Keys are (source, path): two sources may state the same signal, each in its own group.
    """

    def __init__(self) -> None:
        self._groups: dict[str, tuple[Group, ...]] = {}
        self._by_path: dict[tuple[str, str], tuple[Group, Signal]] = {}

    def declare(self, source: str, groups: Iterable[Group]) -> None:
        """Replace what `source` declares."""
        for key in [key for key in self._by_path if key[0] == source]:
            del self._by_path[key]
        self._groups[source] = tuple(groups)
        for group in self._groups[source]:
            for signal in group.signals:
                self._by_path[source, signal.path] = (group, signal)

    def sources(self) -> list[str]:
        """All sources that declared something, sorted."""
        return sorted(self._groups)

    def groups(self, source: str) -> tuple[Group, ...]:
        """The groups of `source`; empty where it is unknown."""
        return self._groups.get(source, ())

    def find(self, source: str, path: str) -> tuple[Group, Signal] | None:
        """The group and signal of a path as `source` declared it, or None."""
        return self._by_path.get((source, path))

    def __iter__(self) -> Iterator[tuple[str, Group, Signal]]:
        for source in self.sources():
            for group in self._groups[source]:
                for signal in group.signals:
                    yield source, group, signal
