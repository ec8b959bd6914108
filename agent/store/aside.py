"""Damaged files: moving them aside whole, and what can still be learnt from their bytes.

A file, its write-ahead log and its index stay together as `outbox.corrupt-<n>.db`, `-wal`, `-shm`.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.store import schema, water
from agent.store import state as states
from agent.store.room import sync_directory
from agent.store.state import State

_SUFFIXES = ("-wal", "-shm", "")
"""The order of the move: a log must never stand beside a new file that it does not belong to."""
_NAME = re.compile(r"outbox\.corrupt-(\d+)\.db(-wal|-shm)?$")
_WAL_HEADER_BYTES = 32
_FRAME_BYTES = 24 + schema.PAGE_BYTES
_MAX_CARVED_BYTES = 64 << 20


def path_of(directory: Path, number: int) -> Path:
    """The damaged file of that number."""
    return directory / f"outbox.corrupt-{number}.db"


def numbers(directory: Path) -> list[int]:
    """The numbers of all damaged files, oldest first."""
    matches = map(_NAME.match, (entry.name for entry in directory.iterdir()))
    return sorted({int(match[1]) for match in matches if match})


def move(directory: Path, number: int | None = None) -> int:
    """Move the outbox aside; `number`: finish a move that was interrupted. Returns the number."""
    if number is None:
        number = max(numbers(directory), default=0) + 1
    for suffix in _SUFFIXES:
        source = directory / (schema.FILE + suffix)
        if source.exists():
            source.rename(directory / (path_of(directory, number).name + suffix))
        elif not suffix:
            path_of(directory, number).touch()
    sync_directory(directory)
    return number


def finish_move(directory: Path) -> None:
    """Finish a move that a crash interrupted."""
    for number in numbers(directory):
        if not path_of(directory, number).exists():
            move(directory, number)


def retire(directory: Path, number: int) -> None:
    """Keep a salvaged file as `outbox.salvaged.db` where there is plenty of room, or remove it.

    What the disk does not let go stays for the next start: nothing is read from it any more. The
    file goes last, for a log without its file would be taken for a move that was interrupted.
    """
    path = path_of(directory, number)
    with suppress(OSError):
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        with suppress(OSError):
            disk = os.statvfs(directory)
            if path.stat().st_size * 4 < disk.f_bavail * disk.f_frsize:
                path.replace(directory / "outbox.salvaged.db")
        path.unlink(missing_ok=True)


def open_damaged(path: Path) -> sqlite3.Connection:
    """Open a damaged file for reading; its first page is replaced where that does not work.

    Raises sqlite3.Error, OSError or Damaged where even that does not help.
    """
    _mend_log(path.with_name(path.name + "-wal"))
    if path.stat().st_size:
        try:
            return _opened(path)
        except (sqlite3.Error, schema.Damaged):
            pass
    # SQLite would delete the log of an empty file.
    _transplant(path)
    return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    # The index is derived from the log: SQLite makes a new one.
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    db = schema.connect(path, readonly=True)
    try:
        # Whatever text is damaged: rows are judged by their CRC, not by an exception here.
        db.text_factory = lambda raw: raw.decode(errors="replace")
        schema.check(db)
    except BaseException:
        db.close()
        raise
    return db


def _mend_log(log: Path) -> None:
    """Where a log has bad blocks, a copy with zeros there takes its place.

    SQLite gives a log up as a whole where it cannot be read, and takes what precedes the zeros.
    """
    try:
        nbytes = log.stat().st_size
    except OSError:
        return
    content, bad = _read_around(log, nbytes, 0)
    if bad:
        copy = log.with_name(log.name + ".mended")
        copy.write_bytes(content)
        copy.replace(log)


def _transplant(path: Path) -> None:
    """Give a file the header and the table of tables that every outbox has."""
    with sqlite3.connect(":memory:") as db:
        db.execute(f"PRAGMA page_size = {schema.PAGE_BYTES}")
        schema.create(db, None)
        page = bytearray(db.serialize()[: schema.PAGE_BYTES])
    db.close()
    page[18:20] = b"\x02\x02"  # write-ahead log
    page[24:28], page[92:96] = b"\0\0\0\1", bytes(4)  # differ: the size is that of the file
    page[32:40] = bytes(8)  # no free pages
    with path.open("r+b") as file:
        file.write(page)


@dataclass(frozen=True, slots=True)
class Traces:
    """What the bytes of a file and its log say before SQLite touches them.

    `log` is the whole log, None where there is none; `committed` how many frames of it were
    committed by the shared index, None where that is not readable; `backfilled` how many of them
    reached the file.
    """

    log: bytes | None
    committed: int | None
    backfilled: int
    page: bytes
    water: State | None = None

    def newest_state(self) -> State | None:
        """The newest intact state in the log, on the state's own page or in the mark beside."""
        found = [*states.carve(self.log or b""), *states.carve(self.page)]
        found += [self.water] if self.water else []
        return max(found, key=lambda state: state.serial, default=None)

    def log_needed(self) -> bool:
        """Whether the log holds commits that may not have reached the file."""
        return self.committed is None or self.committed > self.backfilled

    def lost_commits(self, recovered: int) -> bool:
        """Whether commits vanished, where SQLite recovered `recovered` frames.

        Damage ends the log early without an error. The index, where it survived, says how far it
        went; else a frame of this log behind the end is suspicious (a torn commit, or worse).
        """
        if self.log is None:
            return self.log_needed()
        if self.committed is not None:
            return self.committed > recovered
        return _frames(self.log) > recovered or not _header_intact(self.log)


def traces(path: Path) -> Traces:
    """Look at a file that nobody has open (closing it would drop SQLite's locks)."""
    log = _read(path.with_name(path.name + "-wal"), _MAX_CARVED_BYTES)
    index = _read(path.with_name(path.name + "-shm"), 136) or b""
    page = _read(path, schema.PAGE_BYTES, schema.PAGE_BYTES * (schema.STATE_PAGE - 1)) or b""
    committed, backfilled = None, 0
    if len(index) == 136 and index[:48] == index[48:96] and _index_intact(index):
        (frames,) = struct.unpack_from("=I", index, 16)
        if not log or index[32:40] == log[16:24] or not frames:
            committed = frames
            (backfilled,) = struct.unpack_from("=I", index, 96)
    return Traces(log, committed, backfilled, page, water.read(path.parent))


def recovered_frames(path: Path) -> int:
    """Let SQLite recover the log without writing to the file; the number of frames it believes.

    Raises sqlite3.Error where the file is no database. As `traces`: only while nobody has it open.
    """
    db = schema.connect(path, readonly=True)
    try:
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        index = _read(path.with_name(path.name + "-shm"), 136) or b""
    finally:
        db.close()
    return struct.unpack_from("=I", index, 16)[0] if len(index) == 136 else 0


def _read(path: Path, nbytes: int, offset: int = 0) -> bytes | None:
    """Bytes of a file, zeros where they cannot be read; None where it cannot be opened."""
    try:
        return _read_around(path, nbytes, offset)[0]
    except OSError:
        return None


def _read_around(path: Path, nbytes: int, offset: int) -> tuple[bytes, bool]:
    """Bytes of a file with zeros in place of bad blocks, and whether there were any."""
    bad = False
    parts = []
    with path.open("rb", buffering=0) as file:
        end = min(offset + nbytes, file.seek(0, os.SEEK_END))
        while offset < end:
            size = min(schema.PAGE_BYTES - offset % schema.PAGE_BYTES, end - offset)
            try:
                parts.append(os.pread(file.fileno(), size, offset))
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                parts.append(bytes(size))
                bad = True
            offset += size
    return b"".join(parts), bad


def _frames(log: bytes) -> int:
    """How many frames from the start belong to this generation of the log, intact or not."""
    salt, count = log[16:24], 0
    for at in range(_WAL_HEADER_BYTES, len(log) - 23, _FRAME_BYTES):
        if log[at + 8 : at + 16] != salt:
            break
        count += 1
    return count


def _header_intact(log: bytes) -> bool:
    if not log:
        return True
    if len(log) < _WAL_HEADER_BYTES:
        return False
    (magic,) = struct.unpack_from(">I", log)
    if magic not in (0x377F0682, 0x377F0683):
        return False
    words = struct.unpack_from(">8I" if magic & 1 else "<8I", log)
    sums = struct.unpack_from(">2I", log, 24)
    return _checksum(words[:6]) == sums


def _index_intact(index: bytes) -> bool:
    words = struct.unpack_from("=10I", index)
    return index[12] == 1 and _checksum(words) == struct.unpack_from("=2I", index, 40)


def _checksum(words: Iterable[int]) -> tuple[int, int]:
    """SQLite's checksum of headers: two running sums over pairs of words."""
    first = second = 0
    pairs = iter(words)
    for left, right in zip(pairs, pairs, strict=True):
        first = (first + left + second) & 0xFFFFFFFF
        second = (second + right + first) & 0xFFFFFFFF
    return first, second
