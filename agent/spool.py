"""Files that wait for the cloud: copies of our own, named by their sha256, within a quota.

A driver's file lies where only its own user reads it, and the driver may change or delete it. So
the coordinator copies it from an open descriptor, checks size and sha256 on the way, and has it on
flash before the record is accepted. Names are ours: nothing that a driver says is part of a path.

    <sha256>        the whole file       <sha256>.new   being copied
    <sha256>.why    one word: why the file is gone although its record waits
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable, Collection
from pathlib import Path

PIECE_BYTES = 256 * 1024
SPARE_BYTES = 32 * 1024 * 1024
"""Room on the disk that files leave to records."""
MISSING = "file_missing"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_REASON = re.compile(r"[a-z_]{1,40}")


class FileRefused(Exception):
    """The file was not taken. `reason` goes into the account: file_changed, quota, disk_full."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Spool:
    """One directory, used by one process from several threads."""

    def __init__(self, directory: Path, limit_bytes: int, spare_bytes: int = SPARE_BYTES) -> None:
        """Makes the directory if absent; what was being copied when we ended is removed.

        `spare_bytes`: room on the disk that is left to others.
        """
        self._directory = directory
        self._limit_bytes = limit_bytes
        self._spare_bytes = spare_bytes
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        # A disk that refuses costs files, not records; `take` tries again.
        with contextlib.suppress(OSError):
            self._sizes = self._look()
        self._unclaimed = set(self._sizes)

    @property
    def nbytes(self) -> int:
        """Bytes of all whole files."""
        with self._lock:
            return sum(self._sizes.values())

    @property
    def limit_bytes(self) -> int:
        """What all files together may have."""
        return self._limit_bytes

    @property
    def count(self) -> int:
        """How many whole files there are."""
        return len(self._sizes)

    def has(self, sha256: str) -> bool:
        """Whether the whole file is here; from now on it is not taken for left over."""
        with self._lock:
            self._unclaimed.discard(sha256)
            return sha256 in self._sizes

    def take(self, source: int, sha256: str, size: int, beat: Callable[[], None]) -> None:
        """Copy the file behind the descriptor `source`; durable when this returns.

        Makes room by removing the oldest files. Raises FileRefused, and ValueError where `sha256`
        is no name of ours.
        """
        if not _SHA256.fullmatch(sha256):
            raise ValueError("sha256 is not 64 hex digits")
        if self.has(sha256):
            return
        try:
            self._check(source, size)
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(size)
            self._copy(source, sha256, size, beat)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            reason = "disk_full" if full else "file_unreadable"
            refusal = FileRefused(reason, f"{self._directory}: {error.strerror or error}")
            self._note(sha256, reason)
            raise refusal from error
        except FileRefused as refusal:
            self._note(sha256, refusal.reason)
            raise

    def open(self, sha256: str) -> int | None:
        """A descriptor for reading, None where the file is not here."""
        if not _SHA256.fullmatch(sha256):
            return None
        try:
            return os.open(self._directory / sha256, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None

    def open_size(self, sha256: str) -> int | None:
        """Bytes of a whole file, None where it is not here."""
        with self._lock:
            return self._sizes.get(sha256)

    def why(self, sha256: str) -> str:
        """Why a file is not here, as one word."""
        try:
            found = (self._directory / f"{sha256}.why").read_text()[:64].strip()
        except (OSError, ValueError):
            return MISSING
        return found if _REASON.fullmatch(found) else MISSING

    def remove(self, sha256: str) -> None:
        """The file is not needed any more: delivered, or given up with an account."""
        if not _SHA256.fullmatch(sha256):
            return
        with self._lock:
            self._sizes.pop(sha256, None)
            self._unclaimed.discard(sha256)
            for suffix in ("", ".why"):
                _remove(self._directory / f"{sha256}{suffix}")

    def sweep(self, wanted: Collection[str]) -> int:
        """Remove what an earlier life left and no record names; how many there were.

        `wanted`: the files of all records that wait.
        """
        with self._lock:
            left = self._unclaimed.difference(wanted)
            self._unclaimed.clear()
        for sha256 in left:
            self.remove(sha256)
        return len(left)

    def _look(self) -> dict[str, int]:
        """The whole files that are there, oldest first."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found: list[tuple[int, str, int]] = []
        for entry in os.scandir(self._directory):
            if _SHA256.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                found.append((status.st_mtime_ns, entry.name, status.st_size))
            elif entry.name.endswith(".new"):
                _remove(Path(entry.path))
        return {name: size for _, name, size in sorted(found)}

    def _check(self, source: int, size: int) -> None:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode):
            raise FileRefused("file_unreadable", "it is no regular file")
        if status.st_size != size:
            raise FileRefused("file_changed", f"it has {status.st_size} bytes, {size} were stated")

    def _make_room(self, size: int) -> None:
        """Remove the oldest files until `size` more fit into the quota and onto the disk."""
        if size > self._limit_bytes:
            raise FileRefused("quota", f"{size} bytes, files have {self._limit_bytes} in all")
        while True:
            with self._lock:
                used = sum(self._sizes.values())
                oldest = next(iter(self._sizes), None)
            room = os.statvfs(self._directory)
            free = room.f_bavail * room.f_frsize
            if used + size <= self._limit_bytes and free >= size + self._spare_bytes:
                return
            if oldest is None:
                raise FileRefused("disk_full", f"{free} bytes are free, {size} are needed")
            self.remove(oldest)
            self._note(oldest, "quota" if used + size > self._limit_bytes else "disk_full")

    def _copy(self, source: int, sha256: str, size: int, beat: Callable[[], None]) -> None:
        fresh = self._directory / f"{sha256}.new"
        digest = hashlib.sha256()
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            target = os.open(fresh, flags, 0o600)
            try:
                at = 0
                # By position: whoever gave the descriptor shares its offset.
                while piece := os.pread(source, min(PIECE_BYTES, size + 1 - at), at):
                    digest.update(piece)
                    _write(target, piece)
                    at += len(piece)
                    beat()
                os.fsync(target)
            finally:
                os.close(target)
            if at != size or digest.hexdigest() != sha256:
                raise FileRefused("file_changed", "its content is not what was stated")
            os.replace(fresh, self._directory / sha256)
            _sync(self._directory)
        except BaseException:
            _remove(fresh)
            raise
        with self._lock:
            self._sizes[sha256] = size
            _remove(self._directory / f"{sha256}.why")

    def _note(self, sha256: str, reason: str) -> None:
        with contextlib.suppress(OSError):
            (self._directory / f"{sha256}.why").write_text(reason)


def _write(target: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(target, view) :]


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
