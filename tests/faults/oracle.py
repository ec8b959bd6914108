"""One judgement for all fault tests: nothing lost, nothing invented, in order, accounted.

It reads what is outside the fault's domain: the log in which the agent said what is on flash, the
ledger of the cloud end, and the ledgers of the feeders. It never asks the agent.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

from tests.books import Books, books
from tests.faults.feeder import COUNT

SHOWN = 5


def judge(
    ledger: Path,
    logs: Iterable[str],
    fed: Mapping[str, int],
    deaths: Mapping[str, Sequence[int]] = MappingProxyType({}),
    forgotten: int = 0,
) -> Books:
    """The books of a run. `fed`: the last number that each feeder began to emit, by source.

    `deaths`: the same at each death of a feeder. Its ring died with it, so the last numbers of that
    life may be absent; those before the last delivered one may not.

    `forgotten`: so many records the far end had and says itself that it has no more: as dropped.

    `lost`: what was said to be on flash and is neither delivered nor in a drop, and numbers of the
    feeders that are neither (their rings hold them until they are on flash). `invented`: what no
    feeder said, what came under two identities, one identity with two contents, numbers of a class
    that do not rise with their seq, and accounts of more records than their range has.

    A drop excuses no more than it says, and no more than there are numbers without a record. What
    was delivered lies in none: a `refused` one has no record in its range, and no other counts
    more than its range has numbers without one. Of a damaged file nobody knows which those were.
    """
    found = books(ledger, logs)
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=10.0)) as db:
        db.execute("BEGIN")
        excused = _excused(db, found) + forgotten
        found.lost -= forgotten
        found.dropped += forgotten
        _delivered_in_drops(db, found)
        missing = 0
        for source, last in fed.items():
            rows = db.execute(
                "SELECT epoch, seq, kind, vals FROM record WHERE source = ? ORDER BY epoch, seq",
                (source,),
            )
            numbers: set[int] = set()
            before: dict[tuple[str, str], int] = {}
            for epoch, seq, kind, values in rows:
                number = json.loads(values)[COUNT]
                wrong = ""
                if not 0 < number <= last:
                    wrong = "was never emitted"
                elif number in numbers:
                    wrong = "came twice"
                elif number <= before.get((epoch, kind), 0):
                    wrong = f"comes after {before[epoch, kind]}"
                if wrong:
                    found.invented += 1
                    found.examples.append(f"{source} {number}, {epoch[:8]} {seq}: {wrong}")
                numbers.add(number)
                before[epoch, kind] = number
            absent = _absent(numbers, last, deaths.get(source, ()))
            missing += len(absent)
            if len(absent) > excused:
                found.examples.append(f"{source}: absent {absent[:SHOWN]} ... {absent[-SHOWN:]}")
        found.lost += max(0, missing - excused)
    return found


def _absent(numbers: set[int], last: int, deaths: Sequence[int]) -> list[int]:
    """The numbers up to `last` that are not there and that no ring took with it."""
    absent: list[int] = []
    begin = 1
    for at, end in enumerate((*deaths, last)):
        life = range(begin, end + 1)
        # The last life is not over: all of it must be there.
        alive = at == len(deaths)
        until = end if alive else max((n for n in life if n in numbers), default=begin - 1)
        absent += [number for number in life if number not in numbers and number <= until]
        begin = end + 1
    return absent


def _delivered_in_drops(db: sqlite3.Connection, found: Books) -> None:
    """Accounts of records that were delivered all the same."""
    wrong = db.execute(
        "SELECT epoch, reason, first, last, count, (SELECT count(*) FROM record r WHERE"
        " r.vehicle = d.vehicle AND r.epoch = d.epoch AND r.seq BETWEEN d.first AND d.last) AS here"
        " FROM dropped d WHERE here > 0 AND (reason = 'refused'"
        " OR (reason NOT IN ('damaged', 'missing') AND count + here > last - first + 1))"
    ).fetchall()
    for epoch, reason, first, last, count, here in wrong:
        found.invented += 1
        account = f"{epoch[:8]} {first} to {last}, {count} {reason}"
        found.examples.append(f"{here} records were delivered that lie in the drop {account}")


def _excused(db: sqlite3.Connection, found: Books) -> int:
    """How many records the accounts can stand for."""
    (dropped,) = db.execute("SELECT coalesce(sum(count), 0) FROM dropped").fetchone()
    wide = db.execute(
        "SELECT epoch, class, first, last, count FROM dropped WHERE count > last - first + 1"
    ).fetchall()
    for epoch, storage_class, first, last, count in wide:
        found.invented += 1
        account = f"{epoch[:8]} {first} to {last}"
        found.examples.append(f"an account of {count} {storage_class} records for {account}")
    (numbers,) = db.execute("SELECT coalesce(sum(last - first + 1), 0) FROM span").fetchone()
    (records,) = db.execute("SELECT count(*) FROM record").fetchone()
    return min(int(dropped), int(numbers) - int(records))
