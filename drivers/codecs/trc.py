"""Reads captures in the TRC format of PEAK-System's tools (PCAN-View, PCAN-Explorer), text.

Versions 1.0 to 1.3, 2.0 and 2.1. Stamps are milliseconds since a start in the logger's local time,
which has no zone; it is read as UTC. Version 1.0 has no start: its stamps begin with the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drivers.codecs import log_lines
from drivers.codecs.logged_frame import CLASSIC_BYTES, FD_LENGTHS, LoggedFrame, checked, error_frame

COLUMNS = {"1.0": "NOIlD", "1.1": "NOTIlD", "1.2": "NOBTIlD", "1.3": "NOBTIRlD"}
"""Columns of a row by version, in the letters of version 2: Number, Offset in ms, Bus, Type,
Identifier, direction, Reserved, length code or length, Data."""

_KEY = re.compile(r";\$(FILEVERSION|STARTTIME|COLUMNS)\s*=\s*(\S+)\s*")
_CELLS = {
    "N": re.compile(r"\d{1,12}\)?"),
    "O": re.compile(r"\d{1,15}(?:\.\d{1,6})?"),
    "I": re.compile(r"[0-9A-Fa-f]{3,8}"),
    "l": re.compile(r"\d{1,4}"),
    "L": re.compile(r"\d{1,2}"),
    "B": re.compile(r"\d{1,3}"),
}
_BYTE = re.compile(r"[0-9A-Fa-f]{2}")

_FRAMES = {"Rx", "Tx", "DT", "RR"}
_FD_FRAMES = {"FD", "FB", "FE", "BI"}
_ERRORS = {"Error", "ER"}
# Bus state, counters, user's marks.
_NO_FRAMES = {"Warng", "ST", "EC", "EV"}
_NO_IDENTIFIER = "FFFFFFFF"

_DAY_ZERO = datetime(1899, 12, 30, tzinfo=UTC)


def read(path: Path) -> Iterator[LoggedFrame]:
    """The frames of a log, plain or gzipped, in order; rows of bus states are skipped.

    Raises ValueError with file and line where a row is damaged, after all others; OSError where the
    file cannot be read.
    """
    return log_lines.frames(path, Trc())


class Trc:
    """Parses the lines of one log, in order."""

    def __init__(self) -> None:
        self._columns = COLUMNS["1.0"]
        self._zero = 0.0

    def __call__(self, text: bytes) -> LoggedFrame | None:
        line = text.decode("latin-1").strip()
        if line.startswith(";"):
            if match := _KEY.fullmatch(line):
                self._header(match[1], match[2])
            return None
        cells = self._cells(line)
        t = round(self._zero + float(cells["O"]) / 1000, 6)
        kind = cells.get("T", "Rx")
        if kind in _ERRORS:
            return error_frame(t, cells.get("B", "1"))
        if kind in _NO_FRAMES or (kind == "Rx" and cells["I"] == _NO_IDENTIFIER):
            return None
        if kind not in _FRAMES | _FD_FRAMES:
            raise ValueError(f"{kind[:20]!r} is no type of a row")
        return self._frame(t, kind, cells)

    def _header(self, key: str, value: str) -> None:
        if key == "FILEVERSION":
            if value not in {*COLUMNS, "2.0", "2.1"}:
                raise log_lines.Unreadable(f"version {value[:20]!r} of the TRC format is not known")
            self._columns = COLUMNS.get(value, "")
        elif key == "COLUMNS":
            self._columns = value.replace(",", "")
            if not set("OTI") < set(self._columns) or not set("lL") & set(self._columns):
                raise log_lines.Unreadable(f"columns {value[:40]!r} lack O, T, I or the length")
        else:
            try:
                self._zero = (_DAY_ZERO + timedelta(days=float(value))).timestamp()
            except (ValueError, OverflowError):
                raise log_lines.Unreadable(
                    f"{value[:40]!r} is no start time (days since 1899)"
                ) from None

    def _cells(self, line: str) -> dict[str, str]:
        if not self._columns:
            raise log_lines.Unreadable("a log of version 2 needs a line ;$COLUMNS= before its rows")
        found = line.split(None, len(self._columns) - 1)
        cells = dict(zip(self._columns, found, strict=False))
        # A row of a bus state may lack what comes after its type.
        needed = "NOT" if cells.get("T") in _NO_FRAMES | _ERRORS else "NOTBIlL"
        for column in self._columns:
            if column not in needed:
                continue
            pattern = _CELLS.get(column)
            cell = cells.get(column, "")
            if not cell or (pattern is not None and pattern.fullmatch(cell) is None):
                raise ValueError(
                    f"expected a row of columns {','.join(self._columns)}, "
                    f"got {log_lines.shown(line.encode())}"
                )
        return cells

    def _frame(self, t: float, kind: str, cells: dict[str, str]) -> LoggedFrame:
        fd = kind in _FD_FRAMES
        data = cells.get("D", "").split()
        remote = kind == "RR" or data[:1] == ["RTR"]
        # `l` is a length, in version 1 that of classic CAN; `L` a length code.
        if "l" in cells:
            size = int(cells["l"])
        else:
            code = int(cells["L"])
            if code >= len(FD_LENGTHS):
                raise ValueError(f"{code} is no length code")
            size = FD_LENGTHS[code] if fd else min(code, CLASSIC_BYTES)
        if not remote and (len(data) != size or not all(map(_BYTE.fullmatch, data))):
            raise ValueError(f"expected {size} bytes, got {' '.join(data)[:60]!r}")
        payload = b"" if remote else bytes.fromhex("".join(data))
        extended = len(cells["I"]) > 4
        bus, can_id = cells.get("B", "1"), int(cells["I"], 16)
        return checked(LoggedFrame(t, bus, can_id, payload, extended, remote, fd, False))
