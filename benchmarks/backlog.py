"""An outbox with a month of backlog, as commits of 1 s leave it: a row for each record.

Written through the store's own transactions, 43,200 rows in each; the bodies of a day of 12 hours
are made once and come again on each of the 60 days, whose boot ids differ.
"""

from __future__ import annotations

import random
from pathlib import Path

from agent.record import Kind, Record, StorageClass
from agent.store import schema
from agent.store.body import bodies
from agent.store.engine import Engine
from agent.store.limits import Limits
from agent.store.rawrow import RawRow, checksum, row_id
from agent.store.transaction import Transaction

RECORDS = 30 * 86_400
A_DAY = 43_200
EVENT_EVERY, FILE_EVERY = 600, 3_600
"""Of so many records one is an event, which goes to the class of alarms, and one is a file's."""
QUOTA = dict.fromkeys(StorageClass, 1 << 34)


def fill(directory: Path, records: int = RECORDS) -> None:
    """Make the outbox of `directory`, closed cleanly and known to be in order."""
    directory.mkdir(parents=True)
    day = _day()
    engine = Engine(directory, Limits(QUOTA), schema.ignore, lambda: 0)
    for number, begin in enumerate(range(0, records, A_DAY)):
        rows, boot = day[: records - begin], f"{number:032x}"
        engine.run(lambda tx, rows=rows, boot=boot: _insert(tx, rows, boot))
    engine.close(verified=True)


def _day() -> list[tuple[StorageClass, bytes]]:
    """Class and body of each second: what changes in it at 1 Hz."""
    draw, rows = random.Random(1), []
    for second in range(A_DAY):
        values = {
            "Vehicle.Speed": draw.randrange(2_500) / 25,
            "Vehicle.Powertrain.CombustionEngine.Speed": draw.randrange(16_000) / 8,
        }
        kind, of = Kind.SAMPLE, StorageClass.HISTORY
        if second % FILE_EVERY == FILE_EVERY - 1:
            kind, of = Kind.SEGMENT, StorageClass.BULK
        elif second % EVENT_EVERY == EVENT_EVERY - 1:
            kind, of = Kind.EVENT, StorageClass.ALARM
        ((_, body),) = bodies([Record("fms", 1_000 * second, values, kind=kind)])
        rows.append((of, body))
    return rows


def _insert(tx: Transaction, rows: list[tuple[StorageClass, bytes]], boot: str) -> None:
    epoch = tx.state.current
    for of, body in rows:
        seq = epoch.seq + 1
        crc = checksum(of, epoch.name, seq, seq, boot, body, 1)
        key = row_id(epoch.index, seq)
        tx.insert(of, RawRow(key, seq, seq, 1, epoch.name, boot, crc, body))
        tx.state.tally(of).accepted += 1
        epoch.seq = seq
