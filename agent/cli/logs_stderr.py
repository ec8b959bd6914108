"""Log lines to stderr, never waiting for the reader: a stopped terminal, a full pipe."""

from __future__ import annotations

import logging
import os
import select
import stat


class Stderr(logging.Handler):
    """Writes whole lines; what the far end does not take at once is dropped and counted."""

    verbose = False

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.dropped = 0
        self._waits, self._fd = _unblocked(fd)

    def emit(self, record: logging.LogRecord) -> None:
        """Write it or count it. Never raises."""
        try:
            text = self.format(record)
        except Exception:
            text = f"a log line that cannot be formatted: {record.msg!r}"
        if self.dropped and self._write(f"{self.dropped} log lines were dropped before this one\n"):
            self.dropped = 0
        if not self._write(text + "\n"):
            self.dropped += 1

    def _write(self, text: str) -> bool:
        try:
            if self._waits and not select.select([], [self._fd], [], 0)[1]:
                return False
            data = text.encode(errors="replace")
            return os.write(self._fd, data) == len(data)
        except OSError:
            return False


def _unblocked(fd: int) -> tuple[bool, int]:
    """Whether `fd` can make a writer wait, and a descriptor that does not.

    Pipes and terminals are opened anew, since O_NONBLOCK on `fd` itself would be the shell's too.
    """
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return False, fd
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return False, os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:
        pass
    return True, fd
