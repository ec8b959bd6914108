"""Bits that flip, logs that are cut, files that are overwritten, deleted or put back.

Each is done to a real agent with a backlog. Never may a wrong value arrive, and what is gone must
be in a drop: the oracle knows every number that was ever emitted.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.books import accepted_in
from tests.faults.calls import DAMAGED
from tests.faults.world import World

LOG = "the log is cut or a bit flips in it, each frame in turn; an older copy is put back"
PAGE = 4096
FRAME = 24 + PAGE
HEADER = 32


def backlog(world: World, n: int = 60) -> None:
    """An agent that is offline and has something to lose."""
    world.dial()
    world.start()
    world.feed(rate=100)
    world.accepts(40)
    world.offline()
    world.accepts(n)


def flip(path: Path, at: int, mask: int = 0xFF) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (old,) = file.read(1)
        file.seek(at)
        file.write(bytes([old ^ mask]))


def judged(world: World, began: float, *, called: bool = False) -> None:
    """The next life goes through what it finds; then the oracle.

    `called`: this costs records for certain, and calls for that once.
    """
    world.accepts(20)
    world.until(world.salvaged, "all that was damaged is looked through", 60)
    found = world.settle(healed_at=began, within_s=90, calls=1 if called else None)
    if called:
        assert found.dropped and len(world.alarms(DAMAGED)) == 1, world.alarms("")


@pytest.mark.fault("B9", "a bit flips in a page of the database, each page in turn")
def test_a_bit_flips_in_the_table_of_tables(world: World) -> None:
    backlog(world)
    world.stop()
    flip(world.state_dir / "outbox.db", 100 + 3, 0x10)
    began = time.monotonic()
    world.start()
    judged(world, began)


@pytest.mark.fault("B9", "a bit flips in a page of the database, each page in turn")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("clean", [True, False])
def test_a_bit_flips_in_each_page(clean: bool, world: World) -> None:
    """Life after life: what was replaced is small again, so the pages are gone through by turns."""
    backlog(world)
    rng, lives = random.Random(5), 24
    path = world.state_dir / "outbox.db"
    for life in range(lives):
        if clean:
            world.stop()
        else:
            world.kill()
        # A kill may come while the last one's file is moved aside: there is none just now.
        if path.exists() and (pages := path.stat().st_size // PAGE):
            at = life % pages * PAGE + rng.choice([0, 3, 8, rng.randrange(PAGE)])
            flip(path, at, 1 << rng.randrange(8))
        world.start()
        world.accepts(15)
    world.figures["runs"] = lives
    judged(world, time.monotonic())


@pytest.mark.fault("B9", "a bit flips in a page of the database, each page in turn")
def test_a_page_of_rows_cannot_be_read(world: World) -> None:
    """The rest is salvaged; what was on it is in a drop, to the record."""
    backlog(world, 300)
    world.stop()
    path = world.state_dir / "outbox.db"
    with closing(sqlite3.connect(path)) as db:
        bodies = db.execute("SELECT body FROM history ORDER BY id").fetchall()
    (body,) = bodies[len(bodies) // 2]
    at = path.read_bytes().index(body[-40:])
    flip(path, at - at % PAGE)
    world.dial()
    began = time.monotonic()
    world.start()
    judged(world, began, called=True)
    assert world.figures["dropped"], "a row of that page was delivered"


@pytest.mark.fault("B9", "a bit flips in a page of the database, each page in turn")
def test_rows_that_hold_what_others_held(world: World) -> None:
    """A write that went to the wrong place: each row is a good one, but for its checksum."""
    backlog(world)
    world.feeders["count"].tell("events 0")
    world.accepts(200)
    world.stop()
    exchanged = 0
    with closing(sqlite3.connect(world.state_dir / "outbox.db", isolation_level=None)) as db:
        rows = db.execute("SELECT id, n, body FROM history WHERE n > 4 ORDER BY id").fetchall()
        by_size: dict[int, list[tuple[int, bytes]]] = {}
        for key, n, body in rows:
            by_size.setdefault(n, []).append((key, body))
        for same in by_size.values():
            for one, other in zip(same[::2], same[1::2], strict=False):
                db.execute("UPDATE history SET body = ? WHERE id = ?", (other[1], one[0]))
                db.execute("UPDATE history SET body = ? WHERE id = ?", (one[1], other[0]))
                exchanged += 1
    assert exchanged, "no two rows have the same number of records"
    world.dial()
    began = time.monotonic()
    world.start()
    judged(world, began, called=True)
    assert world.figures["dropped"], "what is not what was written is given up, with an account"


def frames(path: Path) -> int:
    return max(0, (path.stat().st_size - HEADER) // FRAME) if path.exists() else 0


def live_frames(path: Path) -> int:
    """Those from the start of the log that belong to it; behind them are those of earlier ones."""
    log = path.read_bytes() if path.exists() else b""
    salt = log[16:24]
    found = itertools.takewhile(
        lambda at: log[at + 8 : at + 16] == salt, range(HEADER, len(log) - FRAME + 1, FRAME)
    )
    return sum(1 for _ in found)


@pytest.mark.fault("B10", LOG, slice=True)
def test_the_log_is_cut_short(world: World) -> None:
    """As after a power cut whose disk lied: a whole, shorter log. Numbers must not come twice."""
    backlog(world)
    world.kill()
    log = world.state_dir / "outbox.db-wal"
    count = frames(log)
    assert count > 4
    os.truncate(log, HEADER + FRAME * (count // 2))
    (world.state_dir / "outbox.db-shm").unlink()
    epochs = set(accepted_in([world.log()]))
    began = time.monotonic()
    world.start()
    world.accepts(20)
    assert set(accepted_in([world.log()])) - epochs, "numbers go on in another epoch"
    judged(world, began, called=True)


@pytest.mark.fault("B10", LOG)
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("how", ["flip", "cut", "cut without an index"])
def test_each_frame_of_the_log(how: str, world: World) -> None:
    """A life a frame: of the frames that a life leaves, the one whose place was hit least."""
    backlog(world)
    log = world.state_dir / "outbox.db-wal"
    rng, hit = random.Random(6), Counter[int]()
    while hit.total() < 45:
        world.kill()
        count = live_frames(log)
        if count:
            frame = min(range(count), key=lambda at: (hit[at], at))
            hit[frame] += 1
            at = HEADER + FRAME * frame
            if how == "flip":
                flip(log, at + rng.randrange(FRAME), 1 << rng.randrange(8))
            else:
                os.truncate(log, at + rng.choice([0, 0, rng.randrange(FRAME)]))
            if how == "cut without an index":
                (world.state_dir / "outbox.db-shm").unlink()
        world.start()
        world.accepts(15)
    world.figures["runs"] = hit.total()
    assert len(hit) >= 6, "the logs are too short to be a test"
    world.kill()
    began = time.monotonic()
    world.start()
    judged(world, began)


@pytest.mark.fault("B10", LOG)
def test_an_older_copy_is_put_back(world: World) -> None:
    backlog(world)
    world.stop()
    path = world.state_dir / "outbox.db"
    shutil.copy(path, world.directory / "older.db")
    world.start()
    world.accepts(100)
    world.stop()
    shutil.copy(world.directory / "older.db", path)
    began = time.monotonic()
    world.start()
    judged(world, began, called=True)


@pytest.mark.fault("B11", "random bytes over the database while it is open")
@pytest.mark.parametrize("share", [0.2, 1.0])
def test_random_bytes_over_the_open_database(share: float, world: World) -> None:
    backlog(world, 200)
    path = world.state_dir / "outbox.db"
    rng = random.Random(7)
    with path.open("r+b") as file:
        for page in range(path.stat().st_size // PAGE):
            if rng.random() < share:
                file.seek(page * PAGE)
                file.write(rng.randbytes(PAGE))
    began = time.monotonic()
    world.accepts(100)
    judged(world, began)


@pytest.mark.fault("B12", "files of the database are deleted or replaced while they are open")
@pytest.mark.parametrize(
    "victims",
    [
        ["outbox.db"],
        ["outbox.db-wal"],
        ["outbox.db-shm"],
        ["outbox.db", "outbox.db-wal", "outbox.db-shm"],
        ["outbox.water", "reserve"],
    ],
    ids=" ".join,
)
def test_files_are_deleted(victims: list[str], world: World) -> None:
    backlog(world)
    for name in victims:
        (world.state_dir / name).unlink()
    began = time.monotonic()
    took_s = world.accepts(30)
    assert took_s < 10
    judged(world, began)


@pytest.mark.fault("B12", "files of the database are deleted or replaced while they are open")
def test_the_database_is_replaced_by_another(world: World) -> None:
    backlog(world)
    other = world.directory / "other.db"
    shutil.copy(world.state_dir / "outbox.db", other)
    world.accepts(40)
    other.replace(world.state_dir / "outbox.db")
    began = time.monotonic()
    assert world.accepts(30) < 10
    judged(world, began)


@pytest.mark.fault("B12", "the database is deleted while no agent runs")
def test_the_database_is_gone_at_the_start(world: World) -> None:
    """The mark beside it still says what was there: all of that is accounted for."""
    backlog(world)
    world.stop()
    (world.state_dir / "outbox.db").unlink()
    began = time.monotonic()
    world.start()
    judged(world, began, called=True)
    assert world.figures["dropped"] >= 60
