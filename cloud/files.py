"""Files of vehicles on this disk: `VEHICLE/SHA256`, with `.part` while it is not whole.

Nothing that a vehicle says becomes part of a path but its checked id and the checked sha256.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from cloud.chunk import BLOCK_BYTES, Chunk
from cloud.file_books import Key


class FileStore:
    """One directory; used from one thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, chunks: Iterable[Chunk], size_of: Callable[[Key], int | None]) -> list[Chunk]:
        """Writes what belongs to a file that waits for it; what is durable when this returns.

        Raises OSError where the disk refuses: then none of them counts.
        """
        by_file: dict[Key, list[Chunk]] = {}
        for chunk in chunks:
            size = size_of((chunk.vehicle, chunk.sha256))
            if size is not None and chunk.fits(size):
                by_file.setdefault((chunk.vehicle, chunk.sha256), []).append(chunk)
        for key, parts in by_file.items():
            with self._open(key) as part:
                for chunk in parts:
                    part.seek(chunk.first * BLOCK_BYTES)
                    part.write(chunk.content)
                part.flush()
                os.fsync(part.fileno())
        return [chunk for parts in by_file.values() for chunk in parts]

    def finish(self, key: Key, size: int) -> bool:
        """All blocks are there: whether they are the file that was announced. Raises OSError.

        If so it has its name, durably; else what is here is removed.
        """
        whole, part = self._path(key), self._path(key, ".part")
        if not part.exists():
            if whole.exists():
                return True  # we ended between the new name and the books
            with self._open(key):
                pass  # an empty file has no chunk
        with part.open("r+b") as file:
            # Blocks of an earlier announcement with another size.
            file.truncate(size)
            matches = hashlib.file_digest(file, "sha256").hexdigest() == key[1]
            os.fsync(file.fileno())
        if not matches:
            part.unlink()
            return False
        part.replace(whole)
        _sync(whole.parent)
        return True

    def path(self, key: Key) -> Path:
        """Where a whole file lies."""
        return self._path(key)

    def _path(self, key: Key, suffix: str = "") -> Path:
        vehicle, sha256 = key
        return self._directory / vehicle / f"{sha256}{suffix}"

    def _open(self, key: Key) -> BinaryIO:
        path = self._path(key, ".part")
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o750, parents=True)
            _sync(self._directory)
        fresh = not path.exists()
        opened = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640), "r+b")
        if fresh:
            _sync(path.parent)
        return opened


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
