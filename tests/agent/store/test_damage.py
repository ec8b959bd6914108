"""Damage: flipped bytes, torn logs, garbage. Never a wrong value, and the books balance after."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from store_samples import (
    BOOT,
    assert_balanced,
    delivered,
    heads,
    open_outbox,
    record,
    settle,
)

from agent.clock import OffsetRow, OffsetSource
from agent.record import Kind, Record
from agent.store.outbox import Outbox
from agent.store.reader import READ_ERRORS, OutboxReader
from agent.store.rows import Change, Mark, OutboxTooNew, Range, RowDamaged

PAGE = 4096
OFFSETS = [OffsetRow(BOOT, 0, 1_800_000_000_000, OffsetSource.GNSS)]
CATALOGUE = {"fms": b"groups " * 40}
Truth = dict[tuple[str, int], Record]


def filled(directory: Path, commits: int = 60, *, clean: bool) -> tuple[Truth, dict[str, int]]:
    """An outbox with a backlog, acks and drop accounts; what it must deliver, and its totals."""
    outbox = open_outbox(directory)
    truth: Truth = {}
    rng = random.Random(7)
    kinds = [Kind.SAMPLE, Kind.STATUS, Kind.EVENT, Kind.FILE]
    number = 0
    for commit in range(commits):
        records = []
        for _ in range(rng.randint(1, 12)):
            number += 1
            pad = "".join(rng.choices("abcdefghij", k=120))
            records.append(record(number, rng.choice(kinds), pad))
        change = Change(records, BOOT, {"fms": Mark("s", number)})
        if commit == 0:
            change = Change(
                records, BOOT, {"fms": Mark("s", number)}, offsets=OFFSETS, catalogue=CATALOGUE
            )
        outbox.commit(change)
    reader = OutboxReader(directory)
    rows = heads(reader)
    outbox.commit(
        Change(
            acked=[(outbox.epoch, [Range(20, 60)])],
            drops=[(row, "refused") for row in rows[100:104]],
        )
    )
    truth = delivered(reader)
    totals = dict(assert_balanced(reader))
    if clean:
        reader.close()
        outbox.close()
    else:
        copy = directory.with_name("copy")
        shutil.copytree(directory, copy)
        reader.close()
        outbox.close()
        shutil.rmtree(directory)
        copy.rename(directory)
    return truth, totals


def judged(directory: Path, truth: Truth, totals: dict[str, int]) -> Outbox:
    """Read first, as the uplink does; then salvage, and judge what is left."""
    outbox = open_outbox(directory)
    reader = OutboxReader(directory)
    try:
        early = delivered(reader)
    except READ_ERRORS:
        early = {}
    new = outbox.commit(Change([record(90_001), record(90_002, Kind.EVENT)], BOOT))
    added = {(outbox.epoch, seq) for seq in range(new.first, new.last + 1)}
    settle(outbox)
    refuse_what_is_damaged(outbox, reader)
    settle(outbox)
    late = delivered(reader)
    summary = assert_balanced(reader)
    for key, item in [*early.items(), *late.items()]:
        if key in added:
            assert item in (record(90_001), record(90_002, Kind.EVENT))
        else:
            assert truth[key] == item, f"{key} is not what was written"
    assert added <= late.keys()
    assert summary["queued"] == len(late)
    if summary["accepted"] >= totals["accepted"] + 2:
        # Nothing vanished without an account: what is not there any more is named.
        gone = set(truth) - set(late)
        for epoch, seq in gone:
            assert any(
                d["epoch"] == epoch and d["first"] <= seq <= d["last"] for d in summary["drops"]
            ), (epoch, seq, summary)
    reader.close()
    return outbox


def refuse_what_is_damaged(outbox: Outbox, reader: OutboxReader) -> None:
    """What the uplink does with a row whose checksum does not match."""
    bad = []
    for head in heads(reader):
        try:
            reader.load(head)
        except RowDamaged:
            bad.append((head, "damaged"))
    outbox.commit(Change(drops=bad))


def works_on(outbox: Outbox, directory: Path, truth: Truth) -> None:
    """After all that, life goes on: commit, acknowledge everything, reopen."""
    outbox.commit(Change([record(95_000 + i) for i in range(5)], BOOT))
    reader = OutboxReader(directory)
    for head in heads(reader):
        outbox.commit(Change(acked=[(head.epoch, [Range(head.first, head.last)])]))
    for drop in reader.drops():
        outbox.commit(Change(acked=[(drop.epoch, [Range(drop.first, drop.last)])]))
    summary = assert_balanced(reader)
    assert summary["queued"] == 0 and summary["drops"] == []
    reader.close()
    outbox.close()
    again = open_outbox(directory)
    assert again.opened == "clean"
    again.close()


@pytest.fixture(scope="module", params=["clean", "killed"])
def original(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Truth, dict[str, int]]:
    directory = tmp_path_factory.mktemp("store") / "state"
    directory.mkdir()
    truth, totals = filled(directory, clean=request.param == "clean")
    return directory, truth, totals


def pages(path: Path) -> int:
    return path.stat().st_size // PAGE


def flip(path: Path, at: int, mask: int = 0xFF, count: int = 1) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(count)
        file.seek(at)
        file.write(bytes(byte ^ mask for byte in old))


FLIPS: dict[str, Callable[[Path, int, random.Random], None]] = {
    "first byte": lambda path, page, _: flip(path, page * PAGE),
    "one bit anywhere": lambda path, page, rng: flip(
        path, page * PAGE + rng.randrange(PAGE), 1 << rng.randrange(8)
    ),
    "last bytes": lambda path, page, _: flip(path, page * PAGE + PAGE - 40, 0x11, 40),
    "cell pointers": lambda path, page, rng: flip(path, page * PAGE + 8 + rng.randrange(24), 0x05),
    "whole page": lambda path, page, _: flip(path, page * PAGE, 0x5A, PAGE),
}


@pytest.mark.parametrize("how", FLIPS)
def test_flipped_bytes_in_each_page(
    how: str, original: tuple[Path, Truth, dict[str, int]], tmp_path: Path
) -> None:
    directory, truth, totals = original
    rng = random.Random(how)
    for page in range(pages(directory / "outbox.db")):
        copy = tmp_path / str(page)
        shutil.copytree(directory, copy)
        FLIPS[how](copy / "outbox.db", page, rng)
        outbox = judged(copy, truth, totals)
        works_on(outbox, copy, truth)
        shutil.rmtree(copy)
