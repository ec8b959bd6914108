"""Where log lines go: the journal with its fields where it listens, else stderr. Never blocks."""

from __future__ import annotations

import logging
import os
import sys

from agent.cli.logs_journal import Journal, journal_listens
from agent.cli.logs_stderr import Stderr


def configure(level: str, verbosity: int = 0, driver: str = "") -> None:
    """Set the level of all log lines: `level` of the configuration; -v says debug.

    `driver` is the name of the driver whose process this is, for BRAIN_DRIVER.
    """
    root = logging.getLogger()
    chosen = logging.DEBUG if verbosity else getattr(logging, level.upper(), logging.INFO)
    # A later call, with the level of the configuration, never takes back what -v asked for.
    said_v = any(isinstance(h, (Journal, Stderr)) and h.verbose for h in root.handlers)
    root.setLevel(logging.DEBUG if said_v else chosen)
    for own in root.handlers:
        if isinstance(own, Journal) and driver:
            own.driver = driver
    if root.handlers:
        return
    target: Journal | Stderr
    try:
        fd = sys.stderr.fileno()
    except (OSError, ValueError):
        fd = 2  # stderr is an object of a test or of an embedding program
    if journal_listens(fd, os.environ):
        target = Journal(driver)
    else:
        target = Stderr(fd)
        target.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    target.verbose = verbosity > 0
    root.addHandler(target)
