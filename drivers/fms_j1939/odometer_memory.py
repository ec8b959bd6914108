"""The last believed odometer, over restarts: where the next run may begin.

An instrument cluster that wakes up says 0, then some 37 km, then the truth. In a run that begins so
nothing on the bus tells which is right; what the last run believed does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from drivers.fms_j1939.beliefs import Statement

log = logging.getLogger(__name__)

ODOMETER = "Vehicle.TraveledDistance"

_FILE = "odometer"
_EVERY_MS = 60_000
_MOST_M = 4_294_967_295


class OdometerMemory:
    """Reads and keeps the odometer in metres in a file of `workdir`.

    `last_m` is what the run before believed last, None where that is not known. A file that cannot
    be read or written costs the memory, nothing else.
    """

    def __init__(self, workdir: Path) -> None:
        self._path = workdir / _FILE
        self._now_m: float | None = None
        self._kept_m: float | None = None
        self._kept_ms = -_EVERY_MS
        self.last_m = self._read()

    def _read(self) -> float | None:
        try:
            kept = int(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return float(kept) if 0 < kept <= _MOST_M else None

    def see(self, statements: Iterable[Statement], at_ms: int) -> None:
        """Take what is stated; at most once a minute it is kept."""
        for statement in statements:
            value = statement.values.get(ODOMETER)
            if isinstance(value, (int, float)):
                self._now_m = float(value)
        if at_ms - self._kept_ms >= _EVERY_MS:
            self._kept_ms = at_ms
            self.keep()

    def keep(self) -> None:
        """Write it now, where it is news. A power cut leaves the old file or the new one."""
        if self._now_m is None or self._now_m == self._kept_m:
            return
        aside = self._path.with_suffix(".new")
        try:
            aside.write_text(f"{int(self._now_m)}\n", encoding="ascii")
            aside.replace(self._path)
        except OSError as error:
            log.warning("%s: %s: the odometer is not remembered", self._path, error.strerror)
        self._kept_m = self._now_m
