"""The world's ledger: what each device wrote on its wire, when, and whether anybody could hear it.

Equal values that follow each other are one run, so that a bus standing still costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from simulator.emission import Dtc, Heard, Scalar

OPEN_FOR_MS = 1_000
"""A port must have been open this long before a writing counts as heard."""
KILL_MARGIN_MS = 2_000
"""A driver holds this much in its RAM at most; what it read just before its death may be lost."""
DYING_MS = 1_000
"""What is written while a driver dies goes into a port that nobody reads any more."""


@dataclass(slots=True)
class Run:
    """A value that stood on the wire from `first_ms` to `last_ms` (boot time), `heard` or not."""

    first_ms: int
    last_ms: int
    value: Scalar
    heard: bool


@dataclass(slots=True)
class Fix:
    """One written position fix."""

    at_ms: int
    latitude: float
    longitude: float
    heard: bool


@dataclass(frozen=True, slots=True)
class FaultReport:
    """One whole DM1: the active trouble codes of the control unit `sa`, perhaps none."""

    source: str
    at_ms: int
    sa: int
    dtcs: tuple[Dtc, ...]
    heard: bool


LATITUDE = "Vehicle.CurrentLocation.Latitude"
LONGITUDE = "Vehicle.CurrentLocation.Longitude"


@dataclass
class Ledger:
    """Runs by (source, signal), fixes, and the outages that make writings unheard."""

    runs: dict[tuple[str, str], list[Run]] = field(default_factory=dict)
    alternatives: dict[tuple[str, str], list[Run]] = field(default_factory=dict)
    """What is to be believed only where `runs` of the same signal were not heard."""
    fault_reports: list[FaultReport] = field(default_factory=list)
    openings: dict[str, list[int]] = field(default_factory=dict)
    """Boot times in ms at which the port of a source was opened."""
    fixes: list[Fix] = field(default_factory=list)
    emissions: dict[str, int] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    """Lines (frames, sentences) that went out whole while the port was open, by source."""
    dropped: dict[str, int] = field(default_factory=dict)
    kills: list[tuple[str, int]] = field(default_factory=list)
    """(driver, boot time in ms) of each death of a driver."""
    outages: list[tuple[int, int | None]] = field(default_factory=list)
    """(down, back) in boot time ms of the coordinator; back None: not yet."""
    stalled_ms: int = 0
    """Longest time that the machine kept a device on the wires waiting for its turn."""

    def enter(self, heard: Iterable[Heard]) -> None:
        """Enter what became of emissions, in the order of each wire."""
        for entry in heard:
            emission = entry.emission
            source = emission.source
            self.emissions[source] = self.emissions.get(source, 0) + 1
            at_ms = entry.written_boottime_ms
            is_open = entry.open_since_boottime_ms is not None
            if entry.dropped:
                self.dropped[source] = self.dropped.get(source, 0) + 1
            elif is_open:
                self.written[source] = self.written.get(source, 0) + _lines(emission.data)
            ok = (
                entry.open_since_boottime_ms is not None
                and not entry.dropped
                and at_ms - entry.open_since_boottime_ms >= OPEN_FOR_MS
            )
            if entry.open_since_boottime_ms is not None:
                openings = self.openings.setdefault(source, [])
                if not openings or openings[-1] != entry.open_since_boottime_ms:
                    openings.append(entry.open_since_boottime_ms)
            if emission.dm1 is not None:
                sa, dtcs = emission.dm1
                self.fault_reports.append(FaultReport(source, at_ms, sa, dtcs, ok))
            for path, value in emission.alternatives:
                _extend(self.alternatives.setdefault((source, path), []), value, at_ms, ok)
            latitude = longitude = 0.0
            for path, value in emission.writings:
                _extend(self.runs.setdefault((source, path), []), value, at_ms, ok)
                if path == LATITUDE:
                    latitude = float(value)
                elif path == LONGITUDE:
                    longitude = float(value)
            if emission.fix:
                self.fixes.append(Fix(at_ms, latitude, longitude, ok))

    def deaf(self, source: str) -> list[tuple[int, int]]:
        """Boot times in ms within which nothing that `source` wrote counts as heard.

        Sorted; they neither overlap nor touch. Its driver was killed within KILL_MARGIN_MS after
        it, or was killed before a coordinator that had been down was back for that long: a
        driver's ring is RAM.
        """
        spans: list[tuple[int, int]] = []
        absences = self._absences()
        for driver, at_ms in self.kills:
            if driver != source:
                continue
            start = at_ms - KILL_MARGIN_MS
            for down_ms, back_ms in absences:
                settled = back_ms is not None and at_ms >= back_ms + KILL_MARGIN_MS
                if down_ms <= at_ms and not settled:
                    start = min(start, down_ms - KILL_MARGIN_MS)
            spans.append((start, at_ms + DYING_MS))
        deaf: list[tuple[int, int]] = []
        for start, end in sorted(spans):
            if deaf and start <= deaf[-1][1] + 1:
                deaf[-1] = (deaf[-1][0], max(end, deaf[-1][1]))
            else:
                deaf.append((start, end))
        return deaf

    def _absences(self) -> list[tuple[int, int | None]]:
        """The outages; two between which it was back for less than KILL_MARGIN_MS are one."""
        found: list[tuple[int, int | None]] = []
        for down_ms, back_ms in self.outages:
            before = found[-1][1] if found else None
            if before is not None and down_ms - before < KILL_MARGIN_MS:
                found[-1] = (found[-1][0], back_ms)
            else:
                found.append((down_ms, back_ms))
        return found

    def died_after(self, at_ms: int) -> bool:
        """Whether a driver died, or the coordinator was down, after that boot time."""
        downs = any(back is None or back >= at_ms for _, back in self.outages)
        return downs or any(killed_ms >= at_ms for _, killed_ms in self.kills)


def _extend(runs: list[Run], value: Scalar, at_ms: int, heard: bool) -> None:
    last = runs[-1] if runs else None
    if last is not None and last.value == value and last.heard == heard:
        last.last_ms = at_ms
    else:
        runs.append(Run(at_ms, at_ms, value, heard))


def _lines(data: bytes) -> int:
    """SLCAN frames, or NMEA sentences whatever their line ends are."""
    sentences = data.count(b"\n$") + data.startswith(b"$")
    return sentences or data.count(b"\r")
