"""Life after life whose log is cut, also while a damaged file is looked through.

What the far end was given and told must cover every number that was on flash.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from store_samples import BOOT, assert_balanced, heads, open_outbox, record, settle

from agent.record import Kind
from agent.store.intervals import IntervalSet
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader
from agent.store.rows import Change, Drop, Mark, Range

HEADER, FRAME = 32, 24 + 4096
KINDS = [*[Kind.SAMPLE] * 8, Kind.EVENT]


class FarEnd:
    """Keeps what it was given, and of the numbers that were lost those that it never had."""

    def __init__(self) -> None:
        self.given: dict[str, IntervalSet] = {}
        self.told: list[Drop] = []

    def hear(self, reader: OutboxReader, limit: int) -> Change:
        """Take rows and all accounts; the acknowledgement."""
        acked = []
        for head in heads(reader)[:limit]:
            reader.load(head)
            self.given.setdefault(head.epoch, IntervalSet()).add(head.first, head.last)
            acked.append((head.epoch, [Range(head.first, head.last)]))
        self.told += reader.drops()
        for drop in reader.drops():
            acked.append((drop.epoch, [Range(drop.first, drop.last)]))
        return Change(acked=acked)

    def judge(self, highest: Mapping[str, int]) -> None:
        """Every number up to `highest` was given or told."""
        known = {epoch: given.copy() for epoch, given in self.given.items()}
        for drop in self.told:
            assert drop.reason == "missing"
            known.setdefault(drop.epoch, IntervalSet()).add(drop.first, drop.last)
        for epoch, last in highest.items():
            assert not list(known.get(epoch, IntervalSet()).gaps(1, last)), epoch


def live(outbox: Outbox, rng: random.Random, number: int, highest: dict[str, int]) -> int:
    """Some commits; the last number given."""
    for _ in range(rng.randint(1, 6)):
        records = []
        for _ in range(rng.randint(1, 40)):
            number += 1
            records.append(record(number, rng.choice(KINDS), "x" * rng.randint(0, 60)))
        done = outbox.commit(Change(records, BOOT, {"fms": Mark("s", number)}))
        highest[outbox.epoch] = max(highest.get(outbox.epoch, 0), done.last)
    for _ in range(rng.choice([0, 0, 1, 3, 50])):
        if not outbox.salvage_step():
            break
    return number


def die(directory: Path, outbox: Outbox, rng: random.Random) -> None:
    """As after kill -9; then perhaps the log ends early, perhaps without its index."""
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    outbox.close()
    shutil.rmtree(directory)
    copy.rename(directory)
    log = directory / "outbox.db-wal"
    frames = max(0, (log.stat().st_size - HEADER) // FRAME) if log.exists() else 0
    how = rng.choice(["whole", "cut", "cut, no index", "cut, no index"])
    if how == "whole" or not frames:
        return
    os.truncate(log, HEADER + FRAME * rng.randrange(frames) + rng.choice([0, 0, 99]))
    if how == "cut, no index":
        (directory / "outbox.db-shm").unlink(missing_ok=True)


# Each of the first four once lost records without an account, or with one of too few.
@pytest.mark.parametrize("seed", [50, 312, 334, 435, *range(12)])
@pytest.mark.parametrize("online", [False, True])
def test_lives_whose_log_is_cut(seed: int, online: bool, tmp_path: Path) -> None:
    rng, number, highest, far = random.Random(seed), 0, dict[str, int](), FarEnd()
    directory = tmp_path / "state"
    directory.mkdir()
    for _ in range(20):
        outbox = open_outbox(directory)
        number = live(outbox, rng, number, highest)
        if online and rng.random() < 0.5:
            reader = OutboxReader(directory)
            outbox.commit(far.hear(reader, rng.randrange(20)))
            reader.close()
        die(directory, outbox, rng)
    outbox = open_outbox(directory)
    settle(outbox)
    reader = OutboxReader(directory)
    assert_balanced(reader)
    outbox.commit(far.hear(reader, 1 << 30))
    far.judge(highest)
    assert assert_balanced(reader)["queued"] == 0
    reader.close()
    outbox.close()
