"""Where log lines go: stderr, with a level that journald understands where it reads them."""

from __future__ import annotations

import logging
import os
import sys

_PRIORITY = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


class _Journal(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITY.get(record.levelname, 6)}>"
        return prefix + super().format(record).replace("\n", f"\n{prefix}")


def configure(level: str, verbosity: int = 0) -> None:
    """Set the level of all log lines: `level` of the configuration; -v says debug."""
    root = logging.getLogger()
    chosen = logging.DEBUG if verbosity else getattr(logging, level.upper(), logging.INFO)
    # A later call, with the level of the configuration, never takes back what -v asked for.
    root.setLevel(min(chosen, root.level) if root.handlers and root.level == 10 else chosen)
    if root.handlers:
        return
    stream = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in os.environ:
        stream.setFormatter(_Journal("%(message)s"))
    else:
        stream.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    root.addHandler(stream)
