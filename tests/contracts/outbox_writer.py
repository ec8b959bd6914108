"""Commits to an outbox as a process of its own and says what was done; started by test_outbox.py.

One JSON line a commit, after it: first, last, acknowledged, dropped, and how far the numbers in
the records went; before it one where it acknowledges something.
`--die POINT --after N` kills itself at the Nth time that the failpoint is passed.
`--ahead N` is a program that is N versions of the file's format ahead of this one.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path

from agent.record import Kind, Record, StorageClass
from agent.store import schema
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader
from agent.store.rows import Change, Mark, Range

KINDS = (Kind.SAMPLE, Kind.EVENT, Kind.SAMPLE, Kind.STATUS, Kind.FILE)
LATER = (
    "CREATE TABLE later (id INTEGER PRIMARY KEY, what TEXT)",
    "INSERT INTO later (what) SELECT boot FROM history",
    "ALTER TABLE later RENAME TO later_still",
    "DROP TABLE later_still",
    "CREATE TABLE kept (id INTEGER PRIMARY KEY, what TEXT)",
)
POINTS = ("begin", "before-commit", "after-commit", "migrate", "migrated")
NUMBER = "Vehicle.Bus.Can.FramesRead"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--begin", type=int, default=0, help="number of the first record")
    parser.add_argument("--commits", type=int, default=1_000_000)
    parser.add_argument("--die", choices=POINTS)
    parser.add_argument("--after", type=int, default=1)
    parser.add_argument("--quota", type=int, default=1 << 20)
    parser.add_argument("--ahead", type=int, default=0)
    args = parser.parse_args()
    for _ in range(args.ahead):
        schema.MIGRATIONS += (LATER,)
        schema.VERSION += 1
    passed = 0

    def failpoint(name: str) -> None:
        nonlocal passed
        passed += name == args.die
        if passed >= args.after and name == args.die:
            os.kill(os.getpid(), signal.SIGKILL)

    outbox = Outbox.open(
        args.directory,
        quota_bytes=dict.fromkeys(StorageClass, args.quota),
        failpoint=failpoint,
    )
    reader = OutboxReader(args.directory)
    say({"opened": outbox.opened, "epoch": outbox.epoch})
    number = args.begin
    for commit in range(args.commits):
        records = []
        for i in range(1 + commit % 7):
            records.append(Record("fms", number, {NUMBER: number}, {}, KINDS[i % len(KINDS)]))
            number += 1
        acked: list[Range] = []
        if commit % 5 == 4:
            oldest = reader.oldest(StorageClass.HISTORY, None, 2)
            acked = [Range(head.first, head.last) for head in oldest]
            say({"acking": acked})
        change = Change(records, "b" * 32, {"fms": Mark("s", number)}, [(outbox.epoch, acked)])
        done = outbox.commit(change)
        told = {"first": done.first, "last": done.last, "upto": number}
        say({**told, "acknowledged": done.acknowledged, "dropped": done.dropped})
    outbox.close()


def say(what: object) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
