"""Accepted means on flash: whatever kills the process, what it reported as done is there after."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from agent.record import StorageClass
from agent.store.outbox import Outbox
from tests.contracts.outbox_judge import QUOTA, WRITER, Told, judge, run


@pytest.mark.parametrize("point", ["begin", "before-commit", "after-commit"])
@pytest.mark.parametrize("after", [1, 2, 5, 60])
def test_killed_at_failpoints(point: str, after: int, tmp_path: Path) -> None:
    told = run(tmp_path, "--die", point, "--after", str(after))
    assert sum("first" in line for line in told) == after - 1
    upto = judge(tmp_path, told)
    untold = (after - 1) % 7 + 1
    reached = max((line.get("upto", 0) for line in told), default=0)
    assert upto == reached + (untold if point == "after-commit" else 0)
    # And again on what the first life left.
    told += run(tmp_path, "--begin", str(upto), "--die", point, "--after", "3")
    judge(tmp_path, told)


def test_killed_at_random_again_and_again(tmp_path: Path) -> None:
    rng = random.Random(11)
    told: Told = []
    upto = 0
    for _ in range(8):
        told += run(
            tmp_path,
            *("--begin", str(upto), "--quota", "20000"),
            kill_after_lines=rng.randint(1, 120),
        )
        upto = judge(tmp_path, told)
    assert upto > 100


def test_second_writer_is_refused_by_the_first_ones_pid(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(WRITER), str(tmp_path)], stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()
        try:
            second = subprocess.run(
                [sys.executable, str(WRITER), str(tmp_path)],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
            assert second.returncode != 0
            assert f"OutboxLocked: {tmp_path}: another" in second.stderr
            assert f"pid {first.pid}." in second.stderr
            assert first.stdout.readline()
            assert first.poll() is None
        finally:
            first.kill()
    # The lock went with the process.
    Outbox.open(tmp_path, quota_bytes=dict.fromkeys(StorageClass, QUOTA)).close()
