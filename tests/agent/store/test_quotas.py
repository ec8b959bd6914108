"""Each limit of each class, alone: its own oldest goes, and `brain` tells the truth of it."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from store_samples import BOOT, KIND, QUOTA, assert_balanced, record

from agent.cli.main import main
from agent.record import StorageClass
from agent.store.limits import HOUR_MS, Limits
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader
from agent.store.rows import Change

NBYTES, RECORDS, HOURS = 3_000, 20, 5
COMMITS = 60


def open_limited(directory: Path, what: str, limited: StorageClass, now: list[int]) -> Outbox:
    quota = {**QUOTA, limited: NBYTES} if what == "bytes" else QUOTA
    limits = Limits(
        {},
        records={limited: RECORDS} if what == "records" else {},
        hours={limited: HOURS} if what == "hours" else {},
    )
    return Outbox.open(directory, quota_bytes=quota, limits=limits, boottime_ms=lambda: now[0])


def told(directory: Path, *verb: str) -> Mapping[str, Any]:
    """What a verb of `brain` says of it while it is in use."""
    where = ["--json", "--state-dir", str(directory), "--run-dir", str(directory / "none")]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        main([*verb, *where])
    return dict(json.loads(said.getvalue()))


@pytest.mark.parametrize("limited", list(StorageClass))
@pytest.mark.parametrize("what", ["bytes", "records", "hours"])
def test_a_limit_of_a_class(what: str, limited: StorageClass, tmp_path: Path) -> None:
    now = [0]
    outbox = open_limited(tmp_path, what, limited, now)
    reader = OutboxReader(tmp_path)
    for number in range(COMMITS):
        now[0] = number * HOUR_MS
        outbox.commit(Change([record(number, kind) for kind in KIND.values()], BOOT))
        counters = outbox.counters()
        if what == "bytes":
            assert counters[limited].nbytes <= NBYTES
        elif what == "records":
            assert counters[limited].queued <= RECORDS
        else:
            assert counters[limited].queued <= HOURS + 2
        if number % 30 == 29:
            audit, verify = told(tmp_path, "audit"), told(tmp_path, "outbox", "verify")
            assert audit["balanced"] and not audit["gaps"] and verify["sound"], (audit, verify)
    for storage_class, of_class in outbox.counters().items():
        assert of_class.accepted == COMMITS
        assert (of_class.dropped > 0) == (storage_class is limited), "one limit costs one class"
    summary = assert_balanced(reader)
    dropped = outbox.counters()[limited].dropped
    assert sum(drop["count"] for drop in summary["drops"]) == dropped
    assert {drop["class"] for drop in summary["drops"]} == {limited.value}
    reason = "age" if what == "hours" else "quota"
    assert {drop["reason"] for drop in summary["drops"]} == {reason}
    # The oldest went: what is left is the newest, without a hole.
    left = reader.oldest(limited, None, 99)
    numbers = [reader.load(head).records[0].boottime_ms for head in left]
    assert numbers == [1_000 + number for number in range(dropped, COMMITS)]
    reader.close()
    outbox.close()
