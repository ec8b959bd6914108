"""Ends a thread's wait in poll or select from elsewhere."""

from __future__ import annotations

import os


class Waker:
    """An eventfd; register `fd` for reading. `wake` is for any thread and for signal handlers."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __del__(self) -> None:
        os.close(self.fd)

    def wake(self) -> None:
        """Make the wait return, now or when it begins."""
        os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        """The wait has returned."""
        os.eventfd_read(self.fd)
