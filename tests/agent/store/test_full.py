"""A disk that takes no more: nothing is half applied, the same Change is applied once later."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from store_samples import BOOT, assert_balanced, delivered, open_outbox, record, settle

from agent.record import StorageClass
from agent.store import engine, room
from agent.store.reader import OutboxReader
from agent.store.rows import Change, OutboxFull


@pytest.mark.parametrize("kind", ["sample", "event"])
def test_file_size_limit(kind: str, tmp_path: Path) -> None:
    script = Path(__file__).parent / "full_disk.py"
    ended = subprocess.run(
        [sys.executable, str(script), str(tmp_path), kind],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2_000:]
    told: dict[str, Any] = json.loads(ended.stdout)
    assert told["accepted_when_refused"] % 10 == 0
    assert told["reserve_bytes"] >= room.RESERVE_BYTES, "taken again where there is room"
    assert told["accepted"] == told["done"] * 10
    if kind == "sample":
        assert told["tries"] <= 1
        assert told["dropped"] == told["evicted"] > 0
    else:
        assert str(tmp_path) in told["refusal"] and "free space" in told["refusal"]
        assert told["no_space"] and told["reserve_gone"]
        assert told["dropped"] == 0, "an alarm is never given up for space"
    outbox = open_outbox(tmp_path)
    settle(outbox)
    reader = OutboxReader(tmp_path)
    summary = assert_balanced(reader)
    numbers = [item.values["Number"] for item in delivered(reader).values()]
    assert numbers == list(range(told["dropped"], told["done"] * 10))
    assert sum(d["count"] for d in summary["drops"]) == told["dropped"]
    assert {d["reason"] for d in summary["drops"]} <= {"disk_full"}
    reader.close()
    outbox.close()


@pytest.mark.parametrize("limit", [1_000_000, 2_000_000])
def test_lives_within_a_file_size_limit(limit: int, tmp_path: Path) -> None:
    """File and log at the limit at once: nothing could be taken out of either any more."""
    unlimited, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        outbox = open_outbox(tmp_path)
        rng = random.Random(1)
        done = 0
        for _ in range(150):
            pads = [rng.randbytes(1_000).hex() for _ in range(50)]
            change = Change([record(done + i, pad=pad) for i, pad in enumerate(pads)], BOOT)
            try:
                done += outbox.commit(change).n
            except OutboxFull:
                done += outbox.commit(change).n  # the log was emptied meanwhile
        assert done == 150 * 50
        reader = OutboxReader(tmp_path)
        summary = assert_balanced(reader)
        assert summary["queued"] >= 100 and summary["dropped"] == done - summary["queued"]
        reader.close()
        outbox.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, hard))


class Failing:
    """A failpoint that raises once at the point it is armed for."""

    def __init__(self) -> None:
        self.armed = ""

    def __call__(self, name: str) -> None:
        if name == self.armed:
            self.armed = ""
            raise RuntimeError(name)


@pytest.mark.parametrize("point", ["begin", "before-commit"])
def test_nothing_is_applied_where_a_commit_fails(point: str, tmp_path: Path) -> None:
    failing = Failing()
    outbox = open_outbox(tmp_path, failpoint=failing)
    outbox.commit(Change([record(0)], BOOT))
    before = outbox.counters()
    failing.armed = point
    change = Change([record(1), record(2)], BOOT)
    with pytest.raises(RuntimeError, match=point):
        outbox.commit(change)
    assert outbox.counters() == before
    done = outbox.commit(change)
    assert (done.first, done.last) == (2, 3)
    reader = OutboxReader(tmp_path)
    assert list(delivered(reader).values()) == [record(0), record(1), record(2)]
    assert_balanced(reader)
    reader.close()
    outbox.close()


def test_file_system_turns_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync succeeds there and writes nothing: what was committed does not count yet."""
    outbox = open_outbox(tmp_path)
    outbox.commit(Change([record(0)], BOOT))
    before = outbox.counters()
    monkeypatch.setattr(engine, "read_only", lambda _: True)
    change = Change([record(1)], BOOT)
    for _ in range(3):
        with pytest.raises(OutboxFull, match="mounted read-only"):
            outbox.commit(change)
    assert outbox.counters() == before
    monkeypatch.undo()
    assert outbox.commit(change).first == 2
    reader = OutboxReader(tmp_path)
    assert list(delivered(reader).values()) == [record(0), record(1)]
    assert_balanced(reader)
    reader.close()
    outbox.close()


def test_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A database that is a directory: nothing can be opened, the text says where."""
    (tmp_path / "outbox.db").mkdir()
    with pytest.raises(OutboxFull, match=r"outbox\.db: nothing can be written"):
        open_outbox(tmp_path)
    (tmp_path / "outbox.db").rmdir()
    open_outbox(tmp_path).close()


def test_lock_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a damaged file system answers is told with the directory and what to do."""

    def damaged(*_: object, **__: object) -> int:
        raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))

    monkeypatch.setattr(room.os, "open", damaged)
    with pytest.raises(OutboxFull, match=rf"{tmp_path}: .*Bad message.*check that disk"):
        open_outbox(tmp_path)


def test_quota_drops_the_oldest_of_its_class_only(tmp_path: Path) -> None:
    quota = {StorageClass.ALARM: 1 << 20, StorageClass.HISTORY: 2_000, StorageClass.BULK: 1 << 20}
    outbox = open_outbox(tmp_path, quota_bytes=quota)
    for i in range(30):
        outbox.commit(Change([record(i)], BOOT))
    counters = outbox.counters()[StorageClass.HISTORY]
    assert counters.dropped == 30 - counters.queued > 0
    assert counters.nbytes <= 2_000
    reader = OutboxReader(tmp_path)
    assert list(delivered(reader).values()) == [record(i) for i in range(counters.dropped, 30)]
    (drop,) = reader.drops()
    assert (drop.first, drop.last, drop.count) == (1, counters.dropped, counters.dropped)
    assert drop.reason == "quota"
    reader.close()
    outbox.close()
