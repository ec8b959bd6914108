"""What an agent must be after every fault: as small as before, and not a caller of many alarms.

An alarm is a line of level ERROR: what a fleet operator is called for. One fault calls once.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

MAX_RSS_KB = 60 * 1024
"""At any moment since the process began."""
SPARE_FILES = 20
"""Doors, feeders, the connection and its look-up come after the agent has said that it records."""
SPARE_THREADS = 5
_NUMBERS = re.compile(r"\b(0x)?[0-9a-f]*\d[0-9a-f]*\b")
BEGUN = "recording for"


class Sizes(NamedTuple):
    """Resident kB now and at most so far, open files and threads of a process."""

    rss_kb: int
    peak_kb: int
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Sizes:
        """What a process has now."""
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        named = dict(line.split(":", 1) for line in status if ":" in line)
        rss_kb, peak_kb = (int(named[name].split()[0]) for name in ("VmRSS", "VmHWM"))
        files, threads = Path(f"/proc/{pid}/fd"), Path(f"/proc/{pid}/task")
        return cls(rss_kb, peak_kb, len(list(files.iterdir())), len(list(threads.iterdir())))

    def grown(self, before: Sizes, peak_kb: int = MAX_RSS_KB) -> str:
        """What is more than it may be since `before`; empty where nothing is."""
        found = []
        if self.peak_kb > peak_kb:
            found.append(f"{self.peak_kb} kB resident at its peak, {peak_kb} allowed")
        if self.files > before.files + SPARE_FILES:
            found.append(f"{self.files} open files, {before.files} at the start")
        if self.threads > before.threads + SPARE_THREADS:
            found.append(f"{self.threads} threads, {before.threads} at the start")
        return "; ".join(found)


def alarms(log: str) -> list[str]:
    """The lines of level ERROR."""
    return [line for line in log.splitlines() if " ERROR " in line]


def repeated(log: str) -> list[str]:
    """Alarms that one life of the agent called more than once, but for their numbers."""
    found = []
    for life in log.split(BEGUN):
        kinds = Counter(_NUMBERS.sub("#", line.partition(" ERROR ")[2]) for line in alarms(life))
        found += [f"{n} times: {text}" for text, n in kinds.items() if n > 1]
    return found


def on_flash(log: str, since_s: float, until_s: float) -> list[str]:
    """The lines that say that something is on flash, between two moments of the wall clock."""
    found = []
    for line in log.splitlines():
        if "on flash: " in line:
            at_s = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()
            if since_s < at_s < until_s:
                found.append(line)
    return found
