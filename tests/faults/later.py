"""Runs a command in a time namespace whose boot time is ahead: `later.py SECONDS COMMAND ...`.

The process itself enters it and becomes the command, so its pid stays.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWTIME = 0x80


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWTIME):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/timens_offsets").write_text(f"boottime {sys.argv[1]} 0\n")
    fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY)
    if libc.setns(fd, CLONE_NEWTIME):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
