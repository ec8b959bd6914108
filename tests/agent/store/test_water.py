"""The mark beside the database: commits that vanished are accounted for, no number comes twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import BOOT, assert_balanced, delivered, open_outbox, record, settle

from agent.store import state as states
from agent.store import water
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader
from agent.store.rows import Change, Range


def commits(outbox: Outbox, first: int, n: int) -> None:
    for number in range(first, first + n):
        outbox.commit(Change([record(number)], BOOT))


def older(directory: Path, *, clean: bool = True) -> None:
    """Ten commits; then the database is put back as it was after four."""
    outbox = open_outbox(directory)
    commits(outbox, 0, 4)
    outbox.close()
    shutil.copy(directory / "outbox.db", directory / "copy")
    outbox = open_outbox(directory)
    commits(outbox, 4, 6)
    if clean:
        outbox.close()
    else:
        outbox._engine._water._fd = None  # as a kill leaves it: nothing was synced or closed
        outbox._engine._abandon()
        outbox._lock.release()
    (directory / "outbox.db-wal").unlink(missing_ok=True)
    (directory / "outbox.db-shm").unlink(missing_ok=True)
    (directory / "copy").replace(directory / "outbox.db")


def gone(directory: Path) -> None:
    """The database is deleted, nothing else of it is there."""
    older(directory)
    (directory / "outbox.db").unlink()


@pytest.mark.parametrize(
    ("how", "survive"), [(older, 4), (lambda d: older(d, clean=False), 4), (gone, 0)]
)
def test_what_vanished_is_accounted_for(
    how: Callable[[Path], None], survive: int, tmp_path: Path
) -> None:
    how(tmp_path)
    before = water.read(tmp_path)
    assert before is not None and before.current.seq == 10
    outbox = open_outbox(tmp_path)
    settle(outbox)
    assert outbox.epoch != before.current.name, "its numbers may have been seen"
    reader = OutboxReader(tmp_path)
    summary = assert_balanced(reader)
    assert (summary["accepted"], summary["dropped"]) == (10, 10 - survive)
    drops = [(d.epoch, d.first, d.last, d.count) for d in reader.drops()]
    assert drops == [(before.current.name, survive + 1, 10, 10 - survive)]
    assert list(delivered(reader).values()) == [record(i) for i in range(survive)]
    done = outbox.commit(Change([record(11)], BOOT))
    assert done.first == 1
    # The far end had the last ones: the account is settled as it would be otherwise.
    outbox.commit(Change(acked=[(before.current.name, [Range(1, 10)])]))
    assert reader.drops() == [] and assert_balanced(reader)["queued"] == 1
    reader.close()
    outbox.close()
    again = open_outbox(tmp_path)
    assert (again.opened, again.epoch) == ("clean", outbox.epoch)
    again.close()


@pytest.mark.parametrize("missing", ["outbox.water", "nothing"])
def test_nothing_vanished(missing: str, tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    commits(outbox, 0, 3)
    outbox.close()
    (tmp_path / missing).unlink(missing_ok=True)
    again = open_outbox(tmp_path)
    assert (again.opened, again.epoch) == ("clean", outbox.epoch)
    assert again.commit(Change([record(3)], BOOT)).first == 4
    again.close()


def test_a_mark_that_is_older_says_nothing(tmp_path: Path) -> None:
    """After a power cut the kernel had no time to write it."""
    outbox = open_outbox(tmp_path)
    commits(outbox, 0, 2)
    old = (tmp_path / water.FILE).read_bytes()
    commits(outbox, 2, 5)
    outbox.close()
    (tmp_path / water.FILE).write_bytes(old)
    again = open_outbox(tmp_path)
    assert (again.opened, again.epoch) == ("clean", outbox.epoch)
    again.close()


def test_a_torn_mark_is_the_one_before(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    commits(outbox, 0, 3)
    serial = outbox._engine.books.state.serial
    outbox._engine._abandon()
    path = tmp_path / water.FILE
    raw = bytearray(path.read_bytes())
    newest = water.read(tmp_path)
    assert newest is not None and newest.serial == serial
    for slot in (0, water.SLOT_BYTES):
        (found,) = states.carve(bytes(raw[slot : slot + water.SLOT_BYTES]))
        if found.serial == serial:
            raw[slot + 30] ^= 1
    path.write_bytes(raw)
    before = water.read(tmp_path)
    assert before is not None and before.serial == serial - 1
    outbox._lock.release()


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_mark_or_none(raw: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        (Path(name) / water.FILE).write_bytes(raw)
        assert water.read(Path(name)) is None


def test_a_mark_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / water.FILE).mkdir()
    outbox = open_outbox(tmp_path)
    commits(outbox, 0, 3)
    outbox.close()
    assert open_outbox(tmp_path).opened == "clean"
