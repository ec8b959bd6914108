"""Decides what boot time was in UTC, from what the drivers state about it. Pure.

Kinds of clocks rank as OffsetSource does: a receiver above NTP above the vehicle's own clock above
the RTC of this box. Two sources of one kind rank by the configured order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from agent.clock import OffsetRow, OffsetSource, believable
from agent.processors.contest import NOBODY, rank_in
from agent.record import Record

UTC_PATH = "Vehicle.Bus.Utc"
VEHICLE_PATH = "Vehicle.Bus.Clock.Vehicle"
KINDS: Mapping[str, OffsetSource] = MappingProxyType(
    {UTC_PATH: OffsetSource.GNSS, VEHICLE_PATH: OffsetSource.VEHICLE}
)

MOVED_MS = 100
"""A row is added when the offset moves by more than this: serial latency is no move."""
VEHICLE_MOVED_MS = 2_000
"""The same for the vehicle's clock, which counts quarters of a second and is set by hand."""
VEHICLE_CONFIRM_MS = 10_000
"""How long the vehicle's clock must run on evenly before it is believed."""
FRESH_MS = 10_000
"""While a better source of the same kind said something this lately, others do not count."""
APART_MS = 60_000
"""Two of one kind that differ by more are in disagreement: no holdover or leap second is that."""
APART_FOR_MS = 3_000
"""They must do so for that long: a receiver that just got its first fix may say anything once."""

_RANK = {source: rank for rank, source in enumerate(OffsetSource)}


@dataclass(slots=True, eq=False)
class ClockSource:
    """What one source said last: UTC minus boot time, when, and since when it has been doubted.

    `offset_ms` is None where its last word could not be UTC at all, like 2001 or 1970.
    """

    source: str
    path: str
    rank: int
    at_ms: int = 0
    offset_ms: int | None = None
    suspected_ms: int | None = None
    suspected_at_ms: int = 0
    apart_ms: int = 0
    """How far it was from the followed one of its kind when it last spoke ..."""
    apart_since_ms: int | None = None
    """... and since when that is too far."""

    @property
    def name(self) -> str:
        """As the configured order writes it."""
        return f"{self.source}:{self.path}"

    @property
    def kind(self) -> OffsetSource:
        """What kind of clock it is."""
        return KINDS[self.path]


class ClockTable:
    """The table of all boots known, and this boot's newest decision.

    `rows` is a new object whenever it changes. A fix must be confirmed by a second one, so that one
    wrong time changes nothing. `followed` names who gave the offset in force, see the signal
    Vehicle.Bus.Arbitration.Clock.
    """

    def __init__(
        self,
        boot: str,
        rows: Iterable[OffsetRow],
        order: Sequence[str] = (f"*:{UTC_PATH}", f"*:{VEHICLE_PATH}"),
    ) -> None:
        self._boot = boot
        self.rows: tuple[OffsetRow, ...] = tuple(rows)
        self._order = tuple(order)
        self.sources: dict[tuple[str, str], ClockSource] = {}
        self.changed_ms: int | None = None
        current = self.current
        self.followed = NOBODY if current is None else _origin(current)

    @property
    def current(self) -> OffsetRow | None:
        """The newest row of this boot's best kind; None where there is no row."""
        mine = [row for row in self.rows if row.boot == self._boot]
        return max(mine, key=lambda r: (_RANK[r.source], r.from_boottime_ms), default=None)

    def reorder(self, order: Sequence[str]) -> None:
        """Go on by another order. From any thread."""
        self._order = tuple(order)
        self.sources = {}

    def step(self, record: Record) -> Sequence[Record]:
        """Passes the record on as it is."""
        for path in KINDS:
            stated = record.values.get(path)
            if isinstance(stated, int) and not isinstance(stated, bool):
                self._hear(record.source, path, stated, record.boottime_ms)
        return (record,)

    def _hear(self, source: str, path: str, utc_ms: int, at_ms: int) -> None:
        known = self.sources.get((source, path))
        if known is None:
            rank = rank_in(self._order, source, path)
            if rank is None:
                return
            known = self.sources[source, path] = ClockSource(source, path, rank)
        known.at_ms = at_ms
        known.offset_ms = utc_ms - at_ms if believable(utc_ms) else None
        if known.offset_ms is not None:
            self._consider(known, known.offset_ms, at_ms)
            self._compare(known, known.offset_ms, at_ms)

    def apart(self, now_ms: int) -> list[ClockSource]:
        """Who contradicts the followed one of its own kind just now. From any thread."""
        return [
            one
            for one in list(self.sources.values())
            if one.apart_since_ms is not None
            and one.at_ms - one.apart_since_ms >= APART_FOR_MS
            and now_ms - one.at_ms <= FRESH_MS
        ]

    def _compare(self, known: ClockSource, offset_ms: int, at_ms: int) -> None:
        current = self.current
        alike = current is not None and current.source is known.kind
        known.apart_ms = offset_ms - current.utc_offset_ms if alike and current else 0
        if known.name == self.followed or abs(known.apart_ms) <= APART_MS:
            known.apart_since_ms = None
        elif known.apart_since_ms is None:
            known.apart_since_ms = at_ms

    def _consider(self, known: ClockSource, offset_ms: int, at_ms: int) -> None:
        current, kind = self.current, known.kind
        ruled = current is not None and _RANK[current.source] > _RANK[kind]
        if ruled or self._outranked(known, at_ms):
            known.suspected_ms = None
            return
        vehicle = kind is OffsetSource.VEHICLE
        tolerance_ms = VEHICLE_MOVED_MS if vehicle else MOVED_MS
        if (
            current is not None
            and current.source is kind
            and abs(offset_ms - current.utc_offset_ms) <= tolerance_ms
        ):
            known.suspected_ms = None
            self._follow(known.name, at_ms)
            return
        if known.suspected_ms is None or abs(offset_ms - known.suspected_ms) > tolerance_ms:
            known.suspected_ms, known.suspected_at_ms = offset_ms, at_ms
            return
        if vehicle and at_ms - known.suspected_at_ms < VEHICLE_CONFIRM_MS:
            return
        known.suspected_ms = None
        self.rows = (*self.rows, OffsetRow(self._boot, at_ms, offset_ms, kind))
        self._follow(known.name, at_ms)

    def _outranked(self, known: ClockSource, at_ms: int) -> bool:
        place = (known.rank, known.source)
        return any(
            other.path == known.path
            and other.offset_ms is not None
            and (other.rank, other.source) < place
            and at_ms - other.at_ms <= FRESH_MS
            for other in self.sources.values()
        )

    def _follow(self, name: str, at_ms: int) -> None:
        if self.followed != name:
            self.followed, self.changed_ms = name, at_ms


def _origin(row: OffsetRow) -> str:
    """Who gave a row that was there before any source spoke."""
    if row.source is OffsetSource.NONE:
        return NOBODY
    system = row.source in (OffsetSource.RTC, OffsetSource.NTP)
    return f"{'system' if system else 'stored'}:{row.source.value}"
