"""An outbox under a file size limit, as a process of its own; started by test_full.py.

Commits until the disk refuses, retries the same Change after the limit is lifted, and prints what
happened as one JSON line.
"""

from __future__ import annotations

import json
import random
import resource
import sys
from pathlib import Path

from agent.record import Kind, Record, StorageClass
from agent.store.outbox import RESTORE_EVERY, Outbox
from agent.store.rows import Change, Mark, OutboxFull

LIMIT_BYTES = 600_000


def change(number: int, kind: Kind) -> Change:
    rng = random.Random(number)
    records = [
        Record(
            "fms", number, {"Number": number * 10 + i, "Pad": rng.randbytes(500).hex()}, {}, kind
        )
        for i in range(10)
    ]
    return Change(records, "b" * 32, {"fms": Mark("s", number)})


def main() -> None:
    directory, kind = Path(sys.argv[1]), Kind(sys.argv[2])
    outbox = Outbox.open(directory, quota_bytes=dict.fromkeys(StorageClass, 1 << 30))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, resource.RLIM_INFINITY))
    done = 0
    refused: OutboxFull | None = None
    evicted = 0
    while refused is None and done < 400:
        try:
            evicted += outbox.commit(change(done, kind)).dropped
            done += 1
        except OutboxFull as error:
            refused = error
    reserve_gone = not (directory / "reserve").exists()
    counters = outbox.counters()
    accepted_when_refused = sum(c.accepted for c in counters.values())
    tries = 0
    for _ in range(3):
        try:
            evicted += outbox.commit(change(done, kind)).dropped
        except OutboxFull:
            tries += 1
            continue
        done += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if tries:
        outbox.commit(change(done, kind))
        done += 1
    for _ in range(RESTORE_EVERY):
        outbox.commit(change(done, kind))
        done += 1
    reserve_bytes = (directory / "reserve").stat().st_blocks * 512
    counters = outbox.counters()
    answer = {
        "reserve_bytes": reserve_bytes,
        "refusal": str(refused or ""),
        "no_space": refused is not None and refused.no_space,
        "reserve_gone": reserve_gone,
        "accepted_when_refused": accepted_when_refused,
        "done": done,
        "tries": tries,
        "evicted": evicted,
        "accepted": sum(c.accepted for c in counters.values()),
        "dropped": sum(c.dropped for c in counters.values()),
        "upto": outbox.marks()["fms"].upto,
    }
    outbox.close()
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
