"""The statements of one epoch -> one fix: which sentence is believed for what. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from drivers.gnss_nmea0183.sky import Satellite
from drivers.gnss_nmea0183.statements import Statement

POSITION_KINDS = frozenset({"RMC", "GGA", "GNS", "GLL", "PVT", "SOL", "PUBX"})
"""Sentences that say whether there is a position: an epoch without any of them is no fix at all."""

# Where two sentences of an epoch state the same thing, the first of these kinds is believed: RMC
# and ZDA carry the date that belongs to their time, GLL is often cut to fewer decimals. UBX (PVT,
# SOL) is not rounded to minutes and knots.
_RANK = (
    *("PVT", "RMC", "GGA", "GNS", "PUBX", "SOL", "ZDA", "TIMEGPS", "PUBX04"),
    *("GLL", "VTG", "GSA", "GST", "DOP"),
)
_MAY_DENY = ("PVT", "RMC", "GGA", "SOL")
_USED_MAX = 255
_COUNTS_TO = 12

# eXplorist 210 and Magellan 315 round the time of one fix differently: 20.303 s in GLL, 20.30 s in
# RMC. The fastest receivers give 50 fixes a second.
SAME_TIME_MS = 9


def same_time(one: int | None, other: int | None) -> bool:
    """Whether two UTC times of day (ms) are both known and mean the same epoch."""
    return one is not None and other is not None and abs(one - other) <= SAME_TIME_MS


@dataclass(frozen=True, slots=True)
class Fix:
    """What a receiver said of one epoch.

    `at`: the caller's stamp of its first byte. `mode`: 1 no fix, 2, 3 dimensions (2 as long as
    nobody says, then `mode_known` is False); position, altitude, speed and heading are None without
    a fix. `utc_ms` since 1970, None where time or date
    are unknown; `utc_proven` once the receiver had a fix with that date, before that its clock may
    say anything. `rtk`: corrected by a ground station. `accuracy_m`: the receiver's own estimate,
    horizontal. `reckoned`: by dead reckoning alone.
    """

    at: int
    mode: int
    mode_known: bool = True
    utc_ms: int | None = None
    utc_proven: bool = False
    latitude: float | None = None
    longitude: float | None = None
    altitude_m: float | None = None
    speed_kmh: float | None = None
    heading: float | None = None
    satellites: int | None = None
    hdop: float | None = None
    rtk: bool = False
    accuracy_m: float | None = None
    reckoned: bool = False


class Epoch:
    """Collects the statements that belong together; one for each kind of sentence is kept."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.time_ms: int | None = None
        self.lead: tuple[str, str] | None = None
        """Talker and kind of the first sentence about a position."""
        self._said: dict[str, Statement] = {}
        self._used: set[Satellite] = set()

    def add(self, statement: Statement) -> None:
        """Take a statement. Where constellations report apart, the one that has a fix counts."""
        if len(self._used) <= _USED_MAX:
            self._used |= statement.used
        known = self._said.get(statement.kind)
        if known is None or not _stronger(known, statement):
            self._said[statement.kind] = statement
        if self.time_ms is None:
            self.time_ms = statement.time_ms
        if self.lead is None and statement.kind in POSITION_KINDS:
            self.lead = (statement.talker, statement.kind)

    def is_over_at(self, statement: Statement) -> bool:
        """Whether `statement` belongs to a later epoch.

        Without a time of its own, a second position sentence of one kind begins the next one.
        """
        if statement.time_ms is not None and self.time_ms is not None:
            return not same_time(statement.time_ms, self.time_ms)
        known = self._said.get(statement.kind)
        return (
            statement.kind in POSITION_KINDS
            and known is not None
            and known.talker == statement.talker
        )

    def kinds(self) -> frozenset[str]:
        """The kinds of its sentences about a position."""
        return POSITION_KINDS & self._said.keys()

    def ordered(self) -> list[Statement]:
        """What was said, the most believed first."""
        return [self._said[kind] for kind in _RANK if kind in self._said]

    def date(self) -> date | None:
        """The date that was stated, None where none was."""
        return next((s.date for s in self.ordered() if s.date is not None), None)

    def has_fix(self) -> bool:
        """Whether the receiver has a position.

        RMC, GGA, PVT, SOL and GSA each can say no; GNS, GLL and PUBX are asked where none of them
        spoke. Only a stated dimension can vouch for a doubtful position.
        """
        stated = self.stated_dimension()
        doubtful = any(s.doubtful for s in self._said.values())
        if stated == 1 or (doubtful and stated is None):
            return False
        claims = {kind: s.fix for kind, s in self._said.items() if kind in POSITION_KINDS}
        first = [claims[kind] for kind in _MAY_DENY if kind in claims]
        return all(first) if first else any(claims.values())

    def stated_dimension(self) -> int | None:
        """1, 2 or 3 as the receiver says, None where it does not."""
        said = (self._said.get(kind) for kind in ("PVT", "SOL", "GSA", "PUBX"))
        return next((s.dimension for s in said if s is not None and s.dimension is not None), None)

    def satellites(self) -> int | None:
        """Satellites used: as stated, and where a receiver stops counting at 12, as GSA lists."""
        counts = [s.satellites for s in self._said.values() if s.satellites is not None]
        listed = min(len(self._used), 99)
        if counts and max(counts) != _COUNTS_TO:
            return max(counts)
        return max([listed, *counts]) if counts or listed else None

    def concluded_dimension(self) -> int | None:
        """3 where four satellites give an altitude, else None."""
        for kind in ("GGA", "GNS"):
            said = self._said.get(kind)
            if said is not None and said.altitude_m is not None and (said.satellites or 0) >= 4:
                return 3
        return None


def _stronger(known: Statement, new: Statement) -> bool:
    if new.kind == "GSA":
        return (known.dimension or 0) > (new.dimension or 0)
    return known.talker != new.talker and bool(known.fix) and not new.fix
