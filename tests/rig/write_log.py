"""A dm-log-writes log replayed: the disk as a power cut leaves it, the drive's cache lost.

The log (Documentation/admin-guide/device-mapper/log-writes.rst) is a super block and then entries
in the order in which the disk completed them, each a sector of its own: where it wrote, how much,
flags, then the data. A write reaches the log with the flush that made it durable, or by itself with
FUA, so an entry is durable at the next flush behind it; before that it may or may not survive.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

FLUSH, FUA, DISCARD, MARK, METADATA = 1, 2, 4, 8, 16
MAGIC = 0x6A736677736872
UNIT = 512
"""Bytes of what a position on the disk is counted in, whatever the log's own sector size."""
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")


class NoLog(ValueError):
    """The file is not a complete dm-log-writes log; the text says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One write: `nbytes` at byte `at` of the disk, found at byte `source` of the log.

    A flush or a mark alone has no bytes. `text` is that of a mark.
    """

    at: int
    nbytes: int
    flags: int
    source: int
    text: str = ""

    @property
    def flush(self) -> bool:
        """Whether all that was completed before is durable with it."""
        return bool(self.flags & FLUSH)

    @property
    def fua(self) -> bool:
        """Whether its own bytes are durable when it completes."""
        return bool(self.flags & FUA)


def read_log(file: BinaryIO) -> list[Entry]:
    """All entries. Raises NoLog."""
    file.seek(0)
    head = file.read(_SUPER.size)
    if len(head) < _SUPER.size:
        raise NoLog("it is shorter than a super block")
    magic, version, count, sector = _SUPER.unpack(head)
    if magic != MAGIC or version != 1:
        raise NoLog(f"its magic is {magic:#x}, its version {version}")
    entries, position = [], sector
    for number in range(count):
        file.seek(position)
        raw = file.read(sector)
        if len(raw) < _ENTRY.size:
            raise NoLog(f"entry {number} of {count} is missing")
        at, sectors, flags, nbytes = _ENTRY.unpack_from(raw)
        text = raw[_ENTRY.size : _ENTRY.size + nbytes].split(b"\0")[0].decode()
        size = 0 if flags & DISCARD else sectors * sector
        entries.append(
            Entry(at * sector, size, flags, position + sector, text if flags & MARK else "")
        )
        position += sector + size
    return entries


def flushes(entries: Sequence[Entry]) -> list[int]:
    """The cuts right after each flush: how many entries precede them."""
    return [number + 1 for number, entry in enumerate(entries) if entry.flush]


def mark_before(entries: Sequence[Entry], cut: int) -> str:
    """The text of the last mark before a cut; empty where there is none."""
    return next((entry.text for entry in reversed(entries[:cut]) if entry.flags & MARK), "")


class Replay:
    """Makes the images of rising cuts, each from the one before: only what is new is written.

    What a flush made durable is on the disk always, what was in the drive's cache where the caller
    says so.
    """

    def __init__(self, log: Path, image: Path) -> None:
        """`image` is the disk as it was before the log began; it becomes that of each flush."""
        self._file = log.open("rb")
        self._image = image.open("r+b")
        self.entries = read_log(self._file)
        self._durable = 0
        """Entries that are in the image, all of them up to here."""

    def flushed(self, cut: int) -> None:
        """Bring the image to what is durable at `cut`; cuts must rise."""
        last = max((n for n in range(self._durable, cut) if self.entries[n].flush), default=None)
        if last is None:
            return
        for entry in self.entries[self._durable : last]:
            self._put(self._image, entry)
        self._durable = last
        self._image.flush()

    def cached(self, cut: int, target: Path, survives: Callable[[Entry], bool]) -> None:
        """Add what survived of the rest to `target`, a copy of the image as it is now."""
        with target.open("r+b") as image:
            for entry in self.entries[self._durable : cut]:
                if entry.nbytes and (entry.fua or survives(entry)):
                    self._put(image, entry)

    def close(self) -> None:
        """Close both files."""
        self._file.close()
        self._image.close()

    def _put(self, image: BinaryIO, entry: Entry) -> None:
        if not entry.nbytes:
            return
        self._file.seek(entry.source)
        image.seek(entry.at)
        image.write(self._file.read(entry.nbytes))
