"""How much of each class is kept, and how history is thinned before it is dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.record import StorageClass

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Limits:
    """By class: bytes, records and hours; what is not in a table has no such limit.

    Hours are of powered-on time, never of a clock that can be set. `thin_s`: the intervals to which
    history is thinned, finest first, before anything of it is dropped; empty: never.
    """

    nbytes: Mapping[StorageClass, int]
    records: Mapping[StorageClass, int] = field(default_factory=dict)
    hours: Mapping[StorageClass, int] = field(default_factory=dict)
    thin_s: Sequence[int] = ()
