"""Runs outbox_writer.py and judges what it leaves: what it was told of is there, once, in order."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.record import StorageClass
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader

WRITER = Path(__file__).parent / "outbox_writer.py"
NUMBER = "Vehicle.Bus.Can.FramesRead"
QUOTA = 1 << 20
Told = list[dict[str, Any]]


def run(
    directory: Path,
    *options: str,
    kill_after_lines: int | None = None,
    before: Sequence[str] = (),
) -> Told:
    """Run the writer until it ends or is killed; the lines that it wrote whole.

    `before` goes before its command line.
    """
    command = [*before, sys.executable, str(WRITER), str(directory), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        raw = b""
        deadline = time.monotonic() + 20
        try:
            while time.monotonic() < deadline:
                if select.select([writer.stdout], [], [], 0.1)[0]:
                    piece = writer.stdout.read1()
                    if not piece:
                        break
                    raw += piece
                if kill_after_lines is not None and raw.count(b"\n") >= kill_after_lines:
                    break
            else:
                raise AssertionError(f"the writer did not end: {raw[-200:]!r}")
        finally:
            writer.kill()
        raw += writer.stdout.read()
        writer.wait(5)
    return [json.loads(line) for line in raw[: raw.rfind(b"\n") + 1].splitlines()]


def judge(directory: Path, told: Told) -> int:
    """Open what is left and compare it with all that was ever told; the next record's number."""
    outbox = Outbox.open(directory, quota_bytes=dict.fromkeys(StorageClass, QUOTA))
    reader = OutboxReader(directory)
    for _ in range(500):
        if not outbox.salvage_step():
            break
    else:
        raise AssertionError("the check does not end")
    openings = [line for line in told if "opened" in line]
    commits = [line for line in told if "first" in line]
    assert {line["epoch"] for line in openings} <= {outbox.epoch}
    summary: Any = reader.summary()
    assert summary["balanced"] and summary["gaps"] == 0
    # At most the one commit that nobody was told of is there beside those that were.
    upto = outbox.marks()["fms"].upto if outbox.marks() else 0
    reached = max((line["upto"] for line in commits), default=0)
    assert reached <= upto <= reached + 7
    accepted = summary["accepted"]
    assert accepted == upto
    assert accepted >= max((line["last"] for line in commits), default=0)
    acks = [span for line in told for span in line.get("acking", ())]
    acked = {s for a, b in acks for s in range(a, b + 1)}
    dropped = {s for d in summary["drops"] for s in range(d["first"], d["last"] + 1)}
    found: dict[int, Any] = {}
    for storage_class in StorageClass:
        for head in reader.oldest(storage_class, None, 1_000_000):
            for i, record in enumerate(reader.load(head).records):
                assert head.first + i not in found
                found[head.first + i] = record.values[NUMBER]
    # Gapless: a number that is not there was acknowledged, or is accounted for as dropped.
    assert not set(range(1, accepted + 1)) - found.keys() - dropped - acked
    assert len(set(found.values())) == len(found), "a record was stored twice"
    for line in commits:
        stored = {s: found[s] for s in range(line["first"], line["last"] + 1) if s in found}
        begin = line["upto"] - (line["last"] - line["first"] + 1)
        assert all(begin <= number < line["upto"] for number in stored.values())
    acknowledged = sum(line["acknowledged"] for line in commits)
    assert acknowledged <= summary["acknowledged"] <= len(acked)
    reader.close()
    outbox.close()
    return int(upto)
