"""The directory of an outbox: who holds it, and the reserve for when the disk is full."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from pathlib import Path

from agent.store.rows import OutboxLocked

RESERVE_BYTES = 1 << 20
FLOOR_BYTES = 2 << 20
"""Where less is left the file does not grow any more: what comes takes the place of what goes. The
log, and what of it has to go into the file yet, need this much; without it they block each other.
"""
PROBE_BYTES = 64 << 10
_LOCK = "outbox.lock"
_RESERVE = "reserve"
_SUSPECT = "outbox.suspect"


class Lock:
    """The right to write: flock on a file of its own, freed by the kernel when the process ends."""

    def __init__(self, directory: Path) -> None:
        path = directory / _LOCK
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise OutboxLocked(
                f"{directory}: another `brain run` holds this outbox, pid {holder}. Stop it first, "
                "or give this one its own agent.state_dir"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._fd)


class Reserve:
    """A file that only holds space: released so that evictions can be written down."""

    def __init__(self, directory: Path, nbytes: int = RESERVE_BYTES) -> None:
        self._path = directory / _RESERVE
        self._nbytes = nbytes

    def release(self) -> None:
        """Give the space up."""
        self._path.unlink(missing_ok=True)

    def restore(self) -> None:
        """Take the space again where there is plenty; never fails."""
        try:
            if self._path.exists() and self._path.stat().st_blocks * 512 >= self._nbytes:
                return
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < 4 * self._nbytes:
                return
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.posix_fallocate(fd, 0, self._nbytes)
            except OSError:
                self._path.unlink(missing_ok=True)
            finally:
                os.close(fd)
        except OSError:
            return


def suspect(directory: Path) -> None:
    """Ask the writer, maybe another process, to look the whole outbox through."""
    try:
        (directory / _SUSPECT).touch()
    except OSError:
        return


def take_suspicion(directory: Path) -> bool:
    """Whether somebody asked for that since the last call."""
    try:
        (directory / _SUSPECT).unlink()
    except FileNotFoundError:
        return False
    except OSError:
        return False
    return True


def room_left(directory: Path) -> int | None:
    """Bytes that may still be written to the disk of a directory; None where that is not known."""
    try:
        disk = os.statvfs(directory)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def scarce(file: Path, nbytes: int) -> bool:
    """Whether a database that needs `nbytes`, its log included, should not grow any more."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and nbytes + 4 * PROBE_BYTES > limit:
        return True
    try:
        owed = max(0, nbytes - file.stat().st_size)
    except OSError:
        return False
    left = room_left(file.parent)
    return left is not None and left - owed < FLOOR_BYTES


def overgrown(file: Path, pages_bytes: int, log_bytes: int) -> bool:
    """Whether a database that needs `pages_bytes` would not fit any more.

    `log_bytes` are those that its log will grow by before. What is in the log and finds no room in
    the file cannot leave the log, and the log then takes nothing either: both stand still.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and pages_bytes > limit:
        return True
    try:
        owed = max(0, pages_bytes - file.stat().st_size)
    except OSError:
        return False
    left = room_left(file.parent)
    return left is not None and owed > 0 and owed + log_bytes > left


def limited(directory: Path) -> bool:
    """Whether a quota or a limit of file size keeps the files of a directory from growing."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        largest = max((file.stat().st_size for file in directory.glob("outbox.db*")), default=0)
        if limit != resource.RLIM_INFINITY and largest + PROBE_BYTES > limit:
            return True
        probe = directory / "outbox.probe"
        try:
            probe.write_bytes(bytes(PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return False


def read_only(directory: Path) -> bool:
    """Whether the file system of a directory is read-only; False where that is not known.

    ext4 that was remounted so by force takes writes to open files and lets fsync succeed.
    """
    try:
        return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def sync_directory(directory: Path) -> None:
    """Make renames and new names durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
