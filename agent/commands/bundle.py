"""The support archive: what a person needs to help from afar, without secrets."""

from __future__ import annotations

import io
import json
import logging
import os
import tarfile
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from agent.commands import redaction
from agent.store.room import sync_directory

MAX_LINES, MAX_LINE = 2_000, 500
KEPT = 3
"""Archives on flash; the oldest go."""


class RecentLog(logging.Handler):
    """The last lines that were logged, in at most 1 MB of memory."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self._lines.append(self.format(record)[:MAX_LINE])

    def text(self) -> str:
        """All lines, secrets taken out."""
        return redaction.text("\n".join([*self._lines, ""]))


def write(directory: Path, name: str, parts: Mapping[str, object], log: RecentLog) -> Path:
    """Write `directory`/`name`.tar.gz, whole or not at all; `parts` become JSON files.

    Writing it again under the same name replaces it. Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.tar.gz"
    new = directory / f".{name}.new"
    try:
        with new.open("wb") as file:
            os.fchmod(file.fileno(), 0o640)
            with tarfile.open(fileobj=file, mode="w:gz") as archive:
                for part, value in parts.items():
                    body = json.dumps(redaction.tree(value), indent=1, default=str).encode()
                    _add(archive, f"{part}.json", body)
                _add(archive, "log.txt", log.text().encode(errors="replace"))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    sync_directory(directory)
    _make_room(directory)
    return path


def _add(archive: tarfile.TarFile, name: str, body: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size, about.mode, about.mtime = len(body), 0o640, int(time.time())
    archive.addfile(about, io.BytesIO(body))


def _make_room(directory: Path) -> None:
    found = sorted(directory.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime_ns)
    for path in found[:-KEPT]:
        path.unlink(missing_ok=True)
