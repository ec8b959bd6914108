"""The end of a run: reads the cloud's ledger, judges it, and writes the report."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from simulator.delivered import Delivered
from simulator.dtc_oracle import DTC, FaultEvent
from simulator.emission import Scalar
from simulator.ledger import Ledger
from simulator.oracle import judge
from simulator.verdict import Verdict


class CloudLedger:
    """The cloud's ledger file, read only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _rows(self, sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as db:
            return list(db.execute(sql))

    def delivered(self) -> Iterator[Delivered]:
        """Every value of every sample."""
        sql = (
            "SELECT epoch, seq, source, boottime_ms, vals FROM record "
            "WHERE kind = 'sample' ORDER BY epoch, seq"
        )
        for epoch, seq, source, at_ms, values in self._rows(sql):
            for path, value in json.loads(str(values)).items():
                yield Delivered(
                    (str(epoch), int(str(seq))), str(source), path, int(str(at_ms)), value
                )

    def fault_events(self) -> Iterator[FaultEvent]:
        """The events of trouble codes, in the order of their numbers."""
        sql = (
            "SELECT epoch, seq, source, boottime_ms, vals FROM record "
            "WHERE kind = 'event' ORDER BY epoch, seq"
        )
        for epoch, seq, source, at_ms, values in self._rows(sql):
            said = json.loads(str(values))
            if DTC in said:
                number = (str(epoch), int(str(seq)))
                yield FaultEvent.of(number, str(source), int(str(at_ms)), said)

    def latencies_ms(self) -> list[int]:
        """Capture to receipt of each sample, sorted."""
        sql = "SELECT received_boottime_ms - boottime_ms FROM record WHERE kind = 'sample'"
        return sorted(int(str(row[0])) for row in self._rows(sql))

    def counter(self, name: str) -> int:
        """One of the cloud's counters; 0 where it never counted."""
        rows = self._rows(f"SELECT value FROM counter WHERE name = '{name}'")
        return int(str(rows[0][0])) if rows else 0

    def gaps(self) -> list[dict[str, object]]:
        """Numbers below the highest seen that are neither delivered nor accounted as dropped."""
        found: list[dict[str, object]] = []
        expected: dict[tuple[str, str], int] = {}
        sql = "SELECT vehicle, epoch, first, last FROM span ORDER BY vehicle, epoch, first"
        for vehicle, epoch, first, last in self._rows(sql):
            key = str(vehicle), str(epoch)
            begin = expected.get(key, 1)
            if int(str(first)) > begin:
                found.append({"epoch": key[1], "first": begin, "last": int(str(first)) - 1})
            expected[key] = max(begin, int(str(last)) + 1)
        return found

    def signals(self) -> dict[str, dict[str, object]]:
        """Per signal: count, min, max (null for strings), last."""
        shown: dict[str, dict[str, object]] = {}
        sql = "SELECT vals FROM record ORDER BY boottime_ms, seq"
        for (values,) in self._rows(sql):
            for path, value in json.loads(str(values)).items():
                entry = shown.setdefault(path, {"count": 0, "min": None, "max": None, "last": None})
                entry["count"] = int(str(entry["count"])) + 1
                entry["last"] = value
                if not isinstance(value, str):
                    entry["min"] = value if entry["min"] is None else min(entry["min"], value)
                    entry["max"] = value if entry["max"] is None else max(entry["max"], value)
        return dict(sorted(shown.items()))

    def last(self, path: str) -> Scalar | None:
        """The newest value of a signal; None where it never came."""
        entry = self.signals().get(path)
        value = entry["last"] if entry else None
        return value if isinstance(value, (int, float, str)) else None

    def total(self, path: str) -> int:
        """Sum over restarts of a counter that starts at 0 with its driver."""
        total = last = 0
        sql = "SELECT vals FROM record WHERE kind = 'status' ORDER BY boottime_ms, seq"
        for (values,) in self._rows(sql):
            value = json.loads(str(values)).get(path)
            if value is not None:
                total += value - last if value >= last else value
                last = value
        return total


MAX_LATE_MS = 1_000
"""Beyond this a machine is too slow to judge anything, and the run fails."""


def percentile(ordered: list[int], share: float) -> int | None:
    """The value below which `share` of the sorted values lie; None where there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def make(
    facts_about_run: Mapping[str, object],
    ledger: Ledger,
    cloud: CloudLedger,
    audit: Mapping[str, object],
    *,
    zero_ms: int,
    judged: bool,
    not_judged: list[str],
) -> dict[str, object]:
    """The report as a JSON-able mapping. `judged` False: missing and invented are null."""
    verdict = Verdict()
    if judged:
        # Who is kept from writing in time cannot ask that others read in time.
        late_ms = min(ledger.stalled_ms, MAX_LATE_MS)
        events = cloud.fault_events()
        verdict = judge(ledger, cloud.delivered(), zero_ms, events=events, late_ms=late_ms)
    latencies = cloud.latencies_ms()
    counted = {s: n for s, n in verdict.missing.items() if s not in not_judged}
    invented = {s: n for s, n in verdict.invented.items() if s not in not_judged}
    report: dict[str, object] = {
        **facts_about_run,
        "facts": sum(verdict.facts.values()) if judged else None,
        "facts_by_source": verdict.facts,
        "unheard": verdict.unheard if judged else None,
        "accepted": audit.get("accepted"),
        "acknowledged": audit.get("acknowledged"),
        "queued": audit.get("queued"),
        "dropped": audit.get("dropped"),
        "balanced": audit.get("balanced"),
        "missing": sum(counted.values()) if judged else None,
        "missing_by_source": verdict.missing if judged else None,
        "invented": sum(invented.values()) if judged else None,
        "invented_by_source": verdict.invented if judged else None,
        "not_judged": not_judged,
        "duplicates_received": cloud.counter("duplicates_received"),
        "gaps": len(cloud.gaps()),
        "latency_ms": {"p50": percentile(latencies, 0.50), "p99": percentile(latencies, 0.99)},
        "emissions": ledger.emissions,
        "written": ledger.written,
        "dropped_on_wire": ledger.dropped,
        "stalled_ms": ledger.stalled_ms,
        "signals": cloud.signals(),
        "examples": verdict.examples,
    }
    report["frames_lost"] = frames_lost(report)
    report["ok"] = passed(report)
    return report


def frames_lost(report: Mapping[str, object]) -> int | None:
    """Frames of a replayed bus that nobody read; None where a fault befell the bus or its reader.

    Lines of a replayed receiver are not counted so: some logs are binary in part.
    """
    replayed, faults = report.get("replayed"), report.get("faults")
    if not isinstance(replayed, Mapping) or "can" not in replayed or not isinstance(faults, list):
        return None
    if any(":fms" in fault or fault.startswith("can_") for fault in faults):
        return None
    return int(replayed["can"]["written"]) - int(replayed["can"]["read"])


def passed(report: Mapping[str, object]) -> bool:
    """Whether the run shows what the project promises."""
    zero = (report["missing"], report["invented"], report["gaps"], report["queued"])
    books = all(value in (0, None) for value in zero) and report["balanced"] is True
    return books and not report.get("frames_lost")
