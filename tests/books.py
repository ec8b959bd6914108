"""What became of accepted records: judged outside the fault's domain, by the cloud end's ledger.

Accepted is what the agent said was on flash, in a log outside the fault's domain: it said so after
its commit and before it let a driver forget. Each such number must be delivered or be in a drop.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from agent.store.intervals import IntervalSet
from agent.store.rows import Range
from simulator.oracle import Delivered

_ON_FLASH = re.compile(r"on flash: epoch (\w+) to (\d+)")


@dataclass
class Books:
    """Records by number; `lost` and `invented` are what must be 0. `examples` names a few."""

    accepted: int = 0
    delivered: int = 0
    dropped: int = 0
    lost: int = 0
    invented: int = 0
    examples: list[str] = field(default_factory=list)


def accepted_in(logs: Iterable[str]) -> dict[str, int]:
    """The highest number that was said to be on flash, by epoch."""
    highest: dict[str, int] = {}
    for log in logs:
        for epoch, number in _ON_FLASH.findall(log):
            highest[epoch] = max(int(number), highest.get(epoch, 0))
    return highest


def books(ledger: Path, logs: Iterable[str]) -> Books:
    """Compare what was accepted with what was booked: accepted = delivered + dropped + lost.

    What was booked beyond the last number that a log tells of is not counted: it was accepted too,
    but the log had not said so when it was read.
    """
    found = Books()
    with closing(_reader(ledger)) as db:
        db.execute("BEGIN")  # the cloud end goes on booking: all that follows is of one moment
        booked_spans = _spans(db)
        # The same number with two contents: one of them is not what the vehicle recorded.
        found.invented = _one(db, "SELECT count(*) FROM conflict")
        numbers = sum(last - first + 1 for spans in booked_spans.values() for first, last in spans)
        rows = _one(db, "SELECT count(*) FROM record")
        accounts = _one(db, "SELECT coalesce(sum(count), 0) FROM dropped")
        if numbers > rows + accounts:
            found.lost += numbers - rows - accounts
            found.examples.append(f"{numbers} numbers for {rows} records, {accounts} dropped")
        for epoch, last in accepted_in(logs).items():
            gaps = list(booked_spans.get(epoch, IntervalSet()).gaps(1, last))
            lost = sum(gap_last - gap_first + 1 for gap_first, gap_last in gaps)
            here = _one(db, "SELECT count(*) FROM record WHERE epoch=? AND seq<=?", epoch, last)
            found.accepted += last
            found.delivered += here
            found.dropped += last - lost - here
            found.lost += lost
            found.examples += [f"{epoch[:8]} {first} to {end}" for first, end in gaps]
    return found


def since(found: Books, before: Books) -> dict[str, int]:
    """What came between two looks at the same books; `lost` and `invented` of all of them."""
    return {
        "accepted": found.accepted - before.accepted,
        "delivered": found.delivered - before.delivered,
        "dropped": found.dropped - before.dropped,
        "lost": found.lost,
        "invented": found.invented,
    }


def uncovered(
    on_flash: Mapping[str, int], *places: Mapping[str, IntervalSet]
) -> list[tuple[str, Range]]:
    """What was said to be on flash, by epoch up to a number, and is in none of `places`."""
    missing = []
    for epoch, last in on_flash.items():
        covered = IntervalSet()
        for place in places:
            for span in place.get(epoch, ()):
                covered.add(*span)
        missing += [(epoch, gap) for gap in covered.gaps(1, last)]
    return missing


def booked(ledger: Path) -> dict[str, IntervalSet]:
    """The numbers that the cloud end has booked, delivered or dropped, by epoch."""
    with closing(_reader(ledger)) as db:
        return _spans(db)


def _spans(db: sqlite3.Connection) -> dict[str, IntervalSet]:
    found: dict[str, IntervalSet] = {}
    for epoch, first, last in db.execute("SELECT epoch, first, last FROM span"):
        found.setdefault(epoch, IntervalSet()).add(first, last)
    return found


def delivered(ledger: Path, zero_ms: Mapping[str, int]) -> Iterator[Delivered]:
    """Every delivered value with its capture on the host's clock.

    `zero_ms`: the host's boot time at which each boot of the guest, by its id, had its own 0.
    """
    with closing(_reader(ledger)) as db:
        rows = db.execute(
            "SELECT epoch, seq, source, boot, boottime_ms, vals FROM record "
            "WHERE kind = 'sample' ORDER BY epoch, seq"
        )
        for epoch, seq, source, boot, at_ms, values in rows.fetchall():
            for path, value in json.loads(values).items():
                yield Delivered((epoch, seq), source, path, at_ms + zero_ms[boot], value)


def latencies_ms(ledger: Path, zero_ms: Mapping[str, int], kinds: str = "sample") -> list[int]:
    """Capture to receipt of each record of a kind, sorted; both on the host's clock."""
    with closing(_reader(ledger)) as db:
        rows = db.execute(
            "SELECT boot, boottime_ms, received_boottime_ms FROM record WHERE kind = ?", (kinds,)
        ).fetchall()
    return sorted(received - at - zero_ms[boot] for boot, at, received in rows)


def records(ledger: Path) -> int:
    """How many records the cloud end has booked by now."""
    with closing(_reader(ledger)) as db:
        return _one(db, "SELECT count(*) FROM record")


def highest(ledger: Path) -> dict[str, int]:
    """The highest number of which the cloud end knows, by epoch."""
    with closing(_reader(ledger)) as db:
        return dict(db.execute("SELECT epoch, max(last) FROM span GROUP BY epoch").fetchall())


def _reader(ledger: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=10.0)


def _one(db: sqlite3.Connection, sql: str, *values: object) -> int:
    return int(db.execute(sql, values).fetchone()[0])
