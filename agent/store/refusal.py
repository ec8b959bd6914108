"""What an error of the disk means: is it full, and what is said to the one who has to help."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from agent.store import schema
from agent.store.room import limited, room_left
from agent.store.rows import OutboxFull


def is_full(directory: Path, error: Exception) -> bool:
    """Whether more room would help: then what is least worth goes; else nothing must go."""
    if isinstance(error, sqlite3.Error) and schema.is_full(error):
        return True
    # SQLite calls it an I/O error where its shared index finds no room.
    left = room_left(directory)
    if left is not None and left < schema.PAGE_BYTES * 64:
        return True
    write = isinstance(error, sqlite3.Error) and schema.is_write_error(error)
    return write and limited(directory)


def refusal(directory: Path, error: Exception) -> OutboxFull:
    """What is raised where the disk does not take a commit."""
    full = is_full(directory, error)
    if full:
        cure = "the disk is full: free space on it or lower store.quota_mb"
    else:
        cure = "check that disk (mounted read-only, failing?) and its permissions"
    return OutboxFull(
        f"{directory / schema.FILE}: nothing can be written ({error}); {cure}. What "
        "arrives waits in RAM meanwhile",
        no_space=full,
    )
