"""How far each issuer of commands counted, in a file of its own beside the journal."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

from agent.store.room import sync_directory

FILE = "commands.mark"


def read(directory: Path) -> dict[str, int]:
    """The counters by issuer; none where the file is missing or damaged. Raises OSError."""
    try:
        crc, _, text = (directory / FILE).read_text().rstrip("\n").partition(" ")
        if int(crc, 16) == zlib.crc32(text.encode()):
            return {str(name): int(ctr) for name, ctr in json.loads(text).items()}
    except (FileNotFoundError, ValueError):
        pass
    return {}


def write(directory: Path, counters: Mapping[str, int]) -> None:
    """Replace them, whole and durable. Raises OSError."""
    text = json.dumps(counters, sort_keys=True)
    new = directory / f"{FILE}.new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, f"{zlib.crc32(text.encode()):08x} {text}\n".encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    new.replace(directory / FILE)
    sync_directory(directory)
