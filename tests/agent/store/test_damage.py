"""Damage: flipped bytes, torn logs, garbage. Never a wrong value, and the books balance after."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

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
from agent.store import aside, schema
from agent.store.eviction import ROW_OVERHEAD_BYTES
from agent.store.outbox import Outbox
from agent.store.reader import READ_ERRORS, OutboxReader
from agent.store.rows import Change, Mark, OutboxTooNew, Range, RowDamaged

PAGE = 4096
OFFSETS = [OffsetRow(BOOT, 0, 1_800_000_000_000, OffsetSource.GNSS)]
CATALOGUE = {"fms": b"groups " * 40}
Totals = dict[str, Any]
Truth = dict[tuple[str, int], Record]


def filled(directory: Path, commits: int = 40, *, clean: bool) -> tuple[Truth, Totals]:
    """An outbox with a backlog, acks and drop accounts; what it must deliver, and its totals."""
    outbox = open_outbox(directory)
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
    truth = delivered(reader)
    outbox.commit(
        Change(
            acked=[(outbox.epoch, [Range(20, 60)])],
            drops=[(row, "refused") for row in rows[60:64]],
        )
    )
    totals = dict(assert_balanced(reader))
    totals["there"] = set(delivered(reader))
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


def judged(directory: Path, truth: Truth, totals: Totals, *, fresh_numbers: bool = True) -> Outbox:
    """Read first, as the uplink does; then salvage, and judge what is left."""
    outbox = open_outbox(directory)
    reader = OutboxReader(directory)
    try:
        early = delivered(reader)
    except READ_ERRORS:
        early = {}
    new = outbox.commit(Change([record(90_001), record(90_002, Kind.EVENT)], BOOT))
    added = {(outbox.epoch, seq) for seq in range(new.first, new.last + 1)}
    if fresh_numbers:
        assert not added & truth.keys()
    settle(outbox)
    refuse_what_is_damaged(outbox, reader)
    settle(outbox)
    late = delivered(reader)
    summary = assert_balanced(reader)
    for key, item in [*early.items(), *late.items()]:
        if key in added:
            assert item in (record(90_001), record(90_002, Kind.EVENT), truth.get(key))
        else:
            assert truth[key] == item, f"{key} is not what was written"
    assert added <= late.keys()
    assert summary["queued"] == len(late)
    for storage_class, counters in outbox.counters().items():
        rows = [head for head in heads(reader) if head.storage_class is storage_class]
        assert counters.nbytes == sum(head.nbytes + ROW_OVERHEAD_BYTES for head in rows)
    if summary["accepted"] >= totals["accepted"] + 2:
        # Nothing vanished without an account: what is not there any more is named.
        gone = totals["there"] - set(late)
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
    for _ in range(3):  # acknowledging may meet damage that nobody met before
        for head in heads(reader):
            outbox.commit(Change(acked=[(head.epoch, [Range(head.first, head.last)])]))
        for drop in reader.drops():
            outbox.commit(Change(acked=[(drop.epoch, [Range(drop.first, drop.last)])]))
        settle(outbox)
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
) -> tuple[Path, Truth, Totals]:
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


def flip_masked_bit(path: Path, page: int, _: random.Random) -> None:
    """A cell pointer that leads out of its page: SQLite notices only when it loads the page."""
    if page > 1:
        flip(path, page * PAGE + 8 + 6, 0x10)


FLIPS: dict[str, Callable[[Path, int, random.Random], None]] = {
    "first byte": lambda path, page, _: flip(path, page * PAGE),
    "one bit anywhere": lambda path, page, rng: flip(
        path, page * PAGE + rng.randrange(PAGE), 1 << rng.randrange(8)
    ),
    "last bytes": lambda path, page, _: flip(path, page * PAGE + PAGE - 40, 0x11, 40),
    "cell pointers": lambda path, page, rng: flip(path, page * PAGE + 8 + rng.randrange(24), 0x05),
    "pointer out of the page": flip_masked_bit,
    "whole page": lambda path, page, _: flip(path, page * PAGE, 0x5A, PAGE),
}


@pytest.mark.parametrize("how", FLIPS)
def test_flipped_bytes_in_each_page(
    how: str, original: tuple[Path, Truth, Totals], tmp_path: Path
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


# The reader's page is re-read from the file only where nobody cached it: flip while it is open.
@pytest.mark.parametrize("seed", range(6))
def test_garbage_over_the_open_file(
    seed: int, original: tuple[Path, Truth, Totals], tmp_path: Path
) -> None:
    directory, truth, _ = original
    copy = tmp_path / "state"
    shutil.copytree(directory, copy)
    running = open_outbox(copy)
    running.commit(Change(marks={"fms": Mark("t", 1)}))
    rng = random.Random(seed)
    with (copy / "outbox.db").open("r+b") as file:
        for page in rng.sample(range(pages(copy / "outbox.db")), 1 + seed):
            file.seek(page * PAGE)
            file.write(rng.randbytes(PAGE))
    running.commit(Change([record(70_000)], BOOT))
    reader = OutboxReader(copy)
    try:
        for key, item in delivered(reader).items():
            assert item in (truth.get(key), record(70_000))
    except READ_ERRORS:
        pass
    running.commit(Change([record(70_001)], BOOT))
    settle(running)
    late = delivered(reader)
    assert record(70_001) in late.values()
    for key, item in late.items():
        assert item in (truth.get(key), record(70_000), record(70_001))
    assert_balanced(reader)
    reader.close()
    works_on(running, copy, truth)


def test_truncated_log_at_every_frame(tmp_path: Path) -> None:
    """Commits that vanish with the end of the log are accounted for, and no number comes twice."""
    directory = tmp_path / "state"
    directory.mkdir()
    truth, totals = filled(directory, commits=12, clean=False)
    log = directory / "outbox.db-wal"
    sizes = [0, 17, 32, *range(32, log.stat().st_size, 24 + PAGE), log.stat().st_size - 9]
    for index in ("kept", "lost"):
        for size in sizes:
            copy = tmp_path / "copy"
            shutil.copytree(directory, copy)
            with (copy / log.name).open("r+b") as file:
                file.truncate(size)
            if index == "lost":
                (copy / "outbox.db-shm").unlink(missing_ok=True)
            # A log that ends between two commits looks whole: only the index knows better.
            outbox = judged(copy, truth, totals, fresh_numbers=index == "kept")
            works_on(outbox, copy, truth)
            shutil.rmtree(copy)


def test_flipped_bytes_in_every_frame_of_the_log(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    truth, totals = filled(directory, commits=12, clean=False)
    rng = random.Random(3)
    size = (directory / "outbox.db-wal").stat().st_size
    for frame in range(32, size, 24 + PAGE):
        copy = tmp_path / "copy"
        shutil.copytree(directory, copy)
        flip(copy / "outbox.db-wal", min(size - 1, frame + rng.randrange(24 + PAGE)), 0x21)
        outbox = judged(copy, truth, totals)
        works_on(outbox, copy, truth)
        shutil.rmtree(copy)


def test_log_with_a_bad_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What precedes it is read, what follows it tells how far the log went."""
    directory = tmp_path / "state"
    directory.mkdir()
    filled(directory, commits=12, clean=False)
    log = directory / "outbox.db-wal"
    newest = aside.traces(directory / "outbox.db").newest_state()
    whole, bad = log.read_bytes(), log.stat().st_size // 2 // PAGE
    pread = os.pread

    def failing(fd: int, nbytes: int, offset: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{fd}").endswith("-wal") and offset // PAGE == bad:
            raise OSError(errno.EIO, "a bad block")
        return pread(fd, nbytes, offset)

    monkeypatch.setattr(os, "pread", failing)
    assert aside.traces(directory / "outbox.db").newest_state() == newest
    number = aside.move(directory)
    db = aside.open_damaged(aside.path_of(directory, number))
    monkeypatch.undo()
    standing = schema.read_state(db)
    assert newest is not None and 0 < standing.serial < newest.serial
    db.close()
    mended = aside.path_of(directory, number).with_name(f"outbox.corrupt-{number}.db-wal")
    zeroed = whole[: bad * PAGE] + bytes(PAGE) + whole[(bad + 1) * PAGE :]
    assert mended.read_bytes() == zeroed


@pytest.mark.parametrize("content", [b"", b"\0" * PAGE, b"no database at all" * 999, bytes(50)])
def test_garbage_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(content)
    outbox = open_outbox(tmp_path)
    assert outbox.opened == ("created" if not content else "salvaging")
    assert outbox.commit(Change([record(1)], BOOT)).n == 1
    settle(outbox)
    reader = OutboxReader(tmp_path)
    assert list(delivered(reader).values()) == [record(1)]
    assert_balanced(reader)
    reader.close()
    works_on(outbox, tmp_path, {})


def test_random_bytes_for_a_whole_file(
    original: tuple[Path, Truth, Totals], tmp_path: Path
) -> None:
    """Nothing is left of the rows: what the log or RAM does not know begins anew."""
    directory, truth, totals = original
    copy = tmp_path / "state"
    shutil.copytree(directory, copy)
    (copy / "outbox.db").write_bytes(random.Random(1).randbytes(40 * PAGE))
    works_on(judged(copy, truth, totals), copy, truth)


@pytest.mark.parametrize(
    "victims", [["outbox.db"], ["outbox.db-wal"], ["outbox.db", "outbox.db-wal"]]
)
def test_files_deleted_while_open(victims: list[str], tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    for i in range(5):
        outbox.commit(Change([record(i)], BOOT))
    reader = OutboxReader(tmp_path)
    for name in victims:
        (tmp_path / name).unlink()
    outbox.commit(Change([record(5)], BOOT))
    outbox.commit(Change([record(6)], BOOT))
    assert list(delivered(reader).values()) == [record(i) for i in range(7)]
    assert_balanced(reader)
    reader.close()
    works_on(outbox, tmp_path, {})


def poke(path: Path, statement: str) -> None:
    """Change rows into what no constraint lets in, as a flipped bit does."""
    schema_of: dict[int, str] = {}
    for sql in ("UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '')", statement):
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA writable_schema = ON")
            schema_of = schema_of or dict(db.execute("SELECT rowid, sql FROM sqlite_schema"))
            db.execute(sql)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema = ON")
        for rowid, sql in schema_of.items():
            db.execute("UPDATE sqlite_schema SET sql = ? WHERE rowid = ?", (sql, rowid))


COLUMNS = [
    *(("history", name) for name in ("first", "last", "n", "epoch", "boot", "crc", "body")),
    *(("alarm", name) for name in ("last", "body")),
    *(("dropped", name) for name in ("class", "epoch", "first", "count")),
    ("offset", "utc_offset_ms"),
    ("catalogue", "groups"),
    ("state", "body"),
]


@pytest.mark.parametrize("value", ["NULL", "CAST(x'ff' AS TEXT)", "-5"])
@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_columns_that_nobody_wrote(table: str, column: str, value: str, tmp_path: Path) -> None:
    directory = tmp_path / "state"
    truth, totals = filled(directory, commits=12, clean=True)
    poke(directory / "outbox.db", f"UPDATE {table} SET {column} = {value}")
    works_on(judged(directory, truth, totals, fresh_numbers=False), directory, truth)


def test_rows_that_were_deleted_come_back(tmp_path: Path) -> None:
    """A damaged page can give a row again: acknowledged twice it would make the books negative."""
    outbox = open_outbox(tmp_path)
    outbox.commit(Change([record(0), record(1), record(2)], BOOT))
    ack = Change(acked=[(outbox.epoch, [Range(1, 3)])])
    with closing(sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)) as page:
        row = page.execute("SELECT * FROM history").fetchone()
        outbox.commit(ack)
        page.execute("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    outbox.commit(Change([record(3)], BOOT, acked=ack.acked))
    reader = OutboxReader(tmp_path)
    settle(outbox)
    summary = assert_balanced(reader)
    assert summary["accepted"] == 4 and summary["dropped"] == 0
    assert all(counters.queued >= 0 for counters in outbox.counters().values())
    assert record(3) in delivered(reader).values()
    reader.close()
    works_on(outbox, tmp_path, {})


def test_newer_file_is_refused_and_untouched(tmp_path: Path) -> None:
    open_outbox(tmp_path).close()
    path = tmp_path / "outbox.db"
    with sqlite3.connect(path) as db:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.execute(f"PRAGMA user_version = {version + 1}")
        db.execute(f"PRAGMA application_id = {application + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(OutboxTooNew, match=rf"format {version + 1}.*knows {version}"):
        open_outbox(tmp_path)
    assert path.read_bytes() == before
    assert not [p for p in tmp_path.iterdir() if "corrupt" in p.name]


@pytest.mark.parametrize("bit", range(8))
def test_flipped_write_version_is_set_right(bit: int, tmp_path: Path) -> None:
    """SQLite would take the file as read-only for ever."""
    truth, totals = filled(tmp_path / "state", commits=3, clean=True)
    flip(tmp_path / "state" / "outbox.db", 18, 1 << bit)
    outbox = judged(tmp_path / "state", truth, totals, fresh_numbers=False)
    assert outbox.opened == "clean"
    works_on(outbox, tmp_path / "state", truth)


def test_one_flipped_version_is_damage_not_news(tmp_path: Path) -> None:
    truth, totals = filled(tmp_path / "state", commits=3, clean=True)
    path = tmp_path / "state" / "outbox.db"
    raw = bytearray(path.read_bytes())
    struct.pack_into(">I", raw, 60, 9)
    path.write_bytes(raw)
    outbox = open_outbox(tmp_path / "state")
    assert outbox.opened == "salvaging"
    settle(outbox)
    reader = OutboxReader(tmp_path / "state")
    assert delivered(reader) == {key: truth[key] for key in totals["there"]}
    reader.close()
    outbox.close()


def test_an_audit_that_meets_damage_asks_for_a_look(tmp_path: Path) -> None:
    """While nothing is sent nobody else reads the rows: the audit would fail for ever."""
    outbox = open_outbox(tmp_path)
    for number in range(120):
        outbox.commit(Change([record(number, pad="ab" * 400)], BOOT))
    outbox._engine.empty_log()
    path = tmp_path / "outbox.db"
    with path.open("r+b") as file:
        for page in range(10, pages(path)):
            file.seek(page * PAGE)
            file.write(b"\xa5" * PAGE)
    reader = OutboxReader(tmp_path)
    with pytest.raises(READ_ERRORS):
        reader.summary()
    outbox.commit(Change([record(500)], BOOT))
    assert outbox.work_left()
    settle(outbox)
    assert assert_balanced(reader)["dropped"] > 0
    reader.close()
    outbox.close()


@pytest.mark.parametrize("victim", ["state", "dropped", "both"])
def test_accounts_outlive_the_page_of_the_state(victim: str, tmp_path: Path) -> None:
    """What was dropped before is told of with its count, whichever page is damaged later."""
    outbox = open_outbox(tmp_path)
    for number in range(40):
        outbox.commit(Change([record(number)], BOOT))
    reader = OutboxReader(tmp_path)
    outbox.commit(Change(drops=[(head, "refused") for head in heads(reader)[:30]]))
    reader.close()
    outbox.close()
    path = tmp_path / "outbox.db"
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT name, rootpage FROM sqlite_schema").fetchall()
    root = {name: page for name, page in found}
    for name in ("state", "dropped"):
        if victim in (name, "both"):
            flip(path, (root[name] - 1) * PAGE, 0xFF)
    outbox = open_outbox(tmp_path)
    assert outbox.opened == "salvaging"
    settle(outbox)
    reader = OutboxReader(tmp_path)
    summary = assert_balanced(reader)
    assert (summary["accepted"], summary["dropped"], summary["queued"]) == (40, 30, 10)
    assert sum(drop.count for drop in reader.drops()) == 30
    assert {drop.reason for drop in reader.drops()} == {
        "refused" if victim == "state" else "missing"
    }
    reader.close()
    outbox.close()
