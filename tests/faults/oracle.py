"""One judgement for all fault tests: nothing lost, nothing invented, in order, accounted.

It reads what is outside the fault's domain: the log in which the agent said what is on flash, the
ledger of the cloud end, and the ledgers of the feeders. It never asks the agent.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from tests.books import Books, books
from tests.faults.feeder import COUNT

SHOWN = 5


def judge(ledger: Path, logs: Iterable[str], fed: Mapping[str, int]) -> Books:
    """The books of a run. `fed`: the last number that each feeder began to emit, by source.

    `lost`: what was said to be on flash and is neither delivered nor in a drop, and numbers of the
    feeders that are neither (their rings hold them until they are on flash). `invented`: what no
    feeder said, what came under two identities, one identity with two contents, and numbers of a
    class that do not rise with their seq.
    """
    found = books(ledger, logs)
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=10.0)) as db:
        db.execute("BEGIN")
        (dropped,) = db.execute("SELECT coalesce(sum(count), 0) FROM dropped").fetchone()
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
            absent = [number for number in range(1, last + 1) if number not in numbers]
            missing += len(absent)
            if len(absent) > dropped:
                found.examples.append(f"{source}: absent {absent[:SHOWN]} ... {absent[-SHOWN:]}")
        found.lost += max(0, missing - dropped)
    return found
