"""Replaying a write log: a table of what survives a cut, then the property, on made-up logs."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rig.write_log import (
    FLUSH,
    FUA,
    MAGIC,
    MARK,
    Entry,
    NoLog,
    Replay,
    flushes,
    mark_before,
    read_log,
)

SECTOR = 512
Made = tuple[int, int, bytes]
"""Flags, sector, data (whole sectors; the text of a mark)."""


def log_of(made: list[Made], sector: int = SECTOR) -> bytes:
    """A log as the kernel writes it."""
    raw = struct.pack("<QQQI", MAGIC, 1, len(made), sector).ljust(sector, b"\0")
    for flags, at, content in made:
        if flags & MARK:
            raw += (struct.pack("<QQQQ", 0, 0, flags, len(content)) + content).ljust(sector, b"\0")
        else:
            sectors = len(content) // sector
            raw += struct.pack("<QQQQ", at, sectors, flags, 0).ljust(sector, b"\0") + content
    return raw


def block(letter: str) -> bytes:
    return letter.encode() * SECTOR


LOG: list[Made] = [
    (0, 0, block("a")),
    (FLUSH, 0, b""),
    (0, 1, block("b")),
    (MARK, 0, b"told 2"),
    (FUA, 2, block("c")),
    (FLUSH | FUA, 3, block("d")),
    (FLUSH, 0, block("e")),
]


@pytest.mark.parametrize(
    ("cut", "certain", "possible", "mark"),
    [
        (0, "", "", ""),
        (1, "", "a", ""),
        (2, "a", "a", ""),
        (3, "a", "ab", ""),
        (4, "a", "ab", "told 2"),
        (5, "ac", "abc", "told 2"),
        (6, "abcd", "abcd", "told 2"),
        # The preflush of a write covers what came before it, not its own data.
        (7, "abcd", "ebcd", "told 2"),
    ],
)
def test_what_survives_a_cut(
    cut: int, certain: str, possible: str, mark: str, tmp_path: Path
) -> None:
    for survives, expected in ((False, certain), (True, possible)):
        (tmp_path / "log").write_bytes(log_of(LOG))
        (tmp_path / "disk").write_bytes(bytes(8 * SECTOR))
        replay = Replay(tmp_path / "log", tmp_path / "disk")
        replay.flushed(cut)
        replay.cached(cut, tmp_path / "disk", lambda _, survives=survives: survives)
        replay.close()
        found = (tmp_path / "disk").read_bytes().replace(bytes(SECTOR), b"")
        assert found[::SECTOR].decode() == expected
    assert mark_before(replay.entries, cut) == mark
    assert flushes(replay.entries) == [2, 6, 7]


def test_larger_sectors() -> None:
    entries = read_log(io.BytesIO(log_of([(0, 3, bytes(8192)), (MARK, 0, b"x")], sector=4096)))
    assert entries == [Entry(3 * 4096, 8192, 0, 8192), Entry(0, 0, MARK, 20_480, "x")]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "shorter"),
        (bytes(4096), "magic is 0x0"),
        (log_of(LOG)[:-1024], "entry 6 of 7 is missing"),
    ],
)
def test_what_is_no_log_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(NoLog, match=why):
        read_log(io.BytesIO(raw))


writes = st.tuples(
    st.sampled_from([0, 0, 0, FLUSH, FUA, FLUSH | FUA]),
    st.integers(0, 7),
    st.integers(0, 255).map(lambda byte: bytes([byte]) * SECTOR),
)


@given(st.lists(writes, max_size=30), st.integers(0, 2**32))
def test_replay_agrees_with_a_disk_that_has_a_cache(
    tmp_path_factory: pytest.TempPathFactory, made: list[Made], seed: int
) -> None:
    directory = tmp_path_factory.mktemp("log")
    (directory / "log").write_bytes(log_of(made))
    (directory / "disk").write_bytes(bytes(8 * SECTOR))
    replay = Replay(directory / "log", directory / "disk")
    chance = random.Random(seed)
    lives = {entry.source: chance.random() < 0.5 for entry in replay.entries}
    for cut in range(len(made) + 1):
        replay.flushed(cut)
        (directory / "cut").write_bytes((directory / "disk").read_bytes())
        replay.cached(cut, directory / "cut", lambda entry: lives[entry.source])
        assert (directory / "cut").read_bytes() == disk_after(made[:cut], replay.entries, lives)
    replay.close()


def disk_after(made: list[Made], entries: list[Entry], lives: dict[int, bool]) -> bytes:
    """The same by another way: a platter, a cache that a flush empties, a cut."""
    platter = bytearray(8 * SECTOR)
    cache: list[tuple[int, int, bytes]] = []
    for entry, (flags, at, content) in zip(entries, made, strict=False):
        if flags & FLUSH:
            for _, where, data in cache:
                platter[where : where + SECTOR] = data
            cache = []
        cache.append((entry.source if not flags & FUA else -1, at * SECTOR, content))
    for source, where, data in cache:
        if source < 0 or lives[source]:
            platter[where : where + SECTOR] = data
    return bytes(platter)
