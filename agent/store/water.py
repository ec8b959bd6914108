"""The high-water mark: the newest state, in a file of its own beside the database.

SQLite takes a log that ends early for the whole of it, and an older copy of the file for the file.
The mark tells: it was written after a commit that the database does not know, so those commits are
gone and their numbers must not be given again. It is written after each commit, in place, and never
synced but at the end: the kernel brings it to flash within its half a minute, and a mark that is
older than the database says nothing. So it costs one write into the page cache a commit.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from agent.store import state as states
from agent.store.state import State

FILE = "outbox.water"
SLOT_BYTES = 64 << 10
"""Two places take turns, so that a torn write costs the newer mark only."""


class WaterMark:
    """Writes the mark. What the disk refuses is left out: the mark is then older, no more."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._fd: int | None = None
        self._slot = 0

    def note(self, framed: bytes) -> None:
        """Keep a state, as `states.encode` gives it, that is on flash."""
        if len(framed) > SLOT_BYTES:
            return
        with contextlib.suppress(OSError):
            if self._fd is None:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            elif not os.fstat(self._fd).st_nlink:
                self.close()
                return
            self._slot ^= 1
            os.pwrite(self._fd, framed, self._slot * SLOT_BYTES)

    def close(self) -> None:
        """Bring it to flash and close."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.fdatasync(self._fd)
            os.close(self._fd)
            self._fd = None


def read(directory: Path) -> State | None:
    """The newest mark, None where there is none that is intact."""
    try:
        raw = (directory / FILE).read_bytes()[: 2 * SLOT_BYTES]
    except OSError:
        return None
    return max(states.carve(raw), key=lambda state: state.serial, default=None)


def lost(water: State | None, state: State) -> bool:
    """Whether commits that were on flash are not in the database whose state is `state`."""
    if water is None:
        return False
    return water.serial > state.serial or state.epoch(water.current.name) is None
