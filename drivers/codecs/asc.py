"""Reads captures in the ASC format of Vector's tools (CANoe, CANalyzer, loggers), text.

Stamps are relative to a date in the logger's local time, which has no zone; it is read as UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path

from drivers.codecs import log_lines
from drivers.codecs.logged_frame import (
    CLASSIC_BYTES,
    LARGEST_BASE_ID,
    LONGEST_CODE,
    LoggedFrame,
    checked,
    error_frame,
)

_DATE = re.compile(r"(?:date|begin\s+triggerblock)\b\s*(.*)", re.I)
_BASE = re.compile(r"base\s+(hex|dec)(?:\s+timestamps\s+(absolute|relative))?", re.I)
_EVENT = re.compile(r"(-?\d{1,10}\.\d{1,9})\s+(\S.*)")
_CLASSIC = re.compile(r"(\d{1,4})\s+(\S+)\s+(Rx|Tx|TxRq)\b\s*(.*)", re.I)
_ERROR = re.compile(r"(?:(\d{1,4})|CANFD\s+(\d{1,4})\s+(?:Rx|Tx))\s+ErrorFrame\b", re.I)
_FD = re.compile(r"CANFD\s+(\d{1,4})\s+(Rx|Tx|TxRq)\s+(\S+)\s+(.*)", re.I)
_NUMBER = re.compile(r"\bID\s*=\s*(\d{1,9})(x?)", re.I)
_WHEN = re.compile(
    r"(?:\S+\s+)?(\S{3,4})\s+(\d{1,2})\s+(\d{1,2}):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
    r"\s*(am|pm)?\s+(\d{4})\b",
    re.I,
)
# English and German, as the logger's Windows spells them; the last is UTF-8 read as Latin-1.
_MONTHS = {
    **{"jan": 1, "feb": 2, "mar": 3, "mär": 3, "mrz": 3, "mã¤": 3, "apr": 4, "may": 5, "mai": 5},
    **{"jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "okt": 10, "nov": 11},
    **{"dec": 12, "dez": 12},
}

# Flags of a CANFD event: a logger of CAN FD writes frames of classic CAN as such events, too.
_REMOTE, _EDL = 0x10, 0x1000

_HEAD_LINES = 500


def read(path: Path) -> Iterator[LoggedFrame]:
    """The frames of a log, plain or gzipped, in order; other events of the log are skipped.

    Raises ValueError with file and line where a frame is damaged, after all others; OSError where
    the file cannot be read.
    """
    return log_lines.frames(path, Asc(differences=_has_differences(path)))


def _has_differences(path: Path) -> bool:
    """Whether stamps count from the event before. What the header says is not always true."""
    stamps: list[float] = []
    relative = False
    try:
        for _, text, _ in islice(log_lines.lines(path), _HEAD_LINES):
            line = text.decode("latin-1").strip()
            if match := _BASE.match(line):
                relative = (match[2] or "").lower() == "relative"
            elif event := _EVENT.fullmatch(line):
                stamps.append(float(event[1]))
    except ValueError:
        pass  # it is met again, and named, where the frames are read
    back = sum(later < sooner for sooner, later in pairwise(stamps))
    return relative and back * 10 > len(stamps)


class Asc:
    """Parses the lines of one log, in order.

    `differences`: the stamps count from the event before, not from the beginning.
    """

    def __init__(self, *, differences: bool = False) -> None:
        self._base = 16
        self._differences = differences
        self._elapsed = 0.0
        self._date: float | None = None
        self._block: float | None = None
        self._zero: float | None = None

    def __call__(self, text: bytes) -> LoggedFrame | None:
        line = text.decode("latin-1").strip()
        event = _EVENT.fullmatch(line)
        if event is None:
            self._header(line)
            return None
        t = self._seconds(float(event[1]))
        what = event[2]
        if match := _ERROR.match(what):
            return error_frame(t, match[1] or match[2])
        if match := _FD.fullmatch(what):
            return None if match[2].lower() == "txrq" else self._fd(t, match)
        match = _CLASSIC.fullmatch(what)
        # A request to transmit is no frame yet: that follows.
        if match is None or match[3].lower() == "txrq":
            return None
        return self._classic(t, match)

    def _header(self, line: str) -> None:
        if line[:5].lower() == "base ":
            match = _BASE.match(line)
            if match is None:
                raise log_lines.Unreadable(f"expected base hex or base dec, got {line[:40]!r}")
            self._base = 16 if match[1].lower() == "hex" else 10
        elif match := _DATE.match(line):
            if line[0] in "dD":
                self._date, self._block = _timestamp(match[1]), None
            else:
                self._block = _timestamp(match[1])
            self._zero = None

    def _seconds(self, stamp: float) -> float:
        if self._differences:
            stamp = self._elapsed = self._elapsed + stamp
        if self._zero is None:
            self._zero = self._block if self._block is not None else self._date or 0.0
            # A block that a trigger began: its stamps go on from the start of the measurement.
            if self._block is not None and self._date is not None and stamp > 0.001:
                begun_s = self._block - self._date
                if abs(stamp - begun_s) <= 1.5:
                    self._zero = self._date
        return round(self._zero + stamp, 6)

    def _classic(self, t: float, match: re.Match[str]) -> LoggedFrame:
        channel, name, _, rest = match.groups()
        can_id, extended = self._identifier(name, rest)
        cells = rest.split()
        kind = cells[0].lower() if cells else ""
        if kind == "r":
            return checked(LoggedFrame(t, channel, can_id, b"", extended, True, False, False))
        if kind != "d" or len(cells) < 2:
            raise ValueError(f"expected 'd' and a length or 'r', got {rest[:40]!r}")
        length = self._integer(cells[1], 2)
        # 9 to 15 are codes for 8 bytes; more is a frame of CAN FD that a converter wrote like this.
        fd = length > LONGEST_CODE
        payload = self._bytes(cells[2:], length if fd else min(length, CLASSIC_BYTES))
        return checked(LoggedFrame(t, channel, can_id, payload, extended, False, fd, False))

    def _fd(self, t: float, match: re.Match[str]) -> LoggedFrame:
        channel, _, name, rest = match.groups()
        can_id, extended = self._identifier(name, rest)
        cells = rest.split()
        if cells and cells[0] not in ("0", "1"):
            del cells[0]  # the name of the message
        if len(cells) < 4 or not cells[3].isdecimal():
            raise ValueError(f"expected flags, length code and length, got {rest[:40]!r}")
        size = int(cells[3][:4])
        flags = cells[4 + size + 2 : 4 + size + 3]
        bits = int(flags[0], 16) if flags and re.fullmatch("[0-9A-Fa-f]{1,8}", flags[0]) else _EDL
        fd = bool(bits & _EDL) or size > CLASSIC_BYTES or cells[0] == "1"
        remote = size == 0 and (bool(bits & _REMOTE) or cells[2] != "0")
        payload = b"" if remote else self._bytes(cells[4:], size)
        return checked(LoggedFrame(t, channel, can_id, payload, extended, remote, fd, False))

    def _identifier(self, name: str, rest: str) -> tuple[int, bool]:
        """Number, and whether it has 29 bits, of `123`, `18FEF100x` or a name with `ID = ...`."""
        wide = name[-1] in "xX"
        number = None if wide else _NUMBER.search(rest)
        if number is not None:
            # Behind a name, which may look like a number: FACE.
            return int(number[1]), bool(number[2])
        digits = name[:-1] if wide else name
        try:
            can_id = self._integer(digits.removeprefix("0x") if self._base == 16 else digits, 9)
        except ValueError:
            raise ValueError(f"expected an identifier, got {name[:40]!r}") from None
        return can_id, wide or can_id > LARGEST_BASE_ID

    def _bytes(self, cells: list[str], size: int) -> bytes:
        if len(cells) < size:
            raise ValueError(f"expected {size} bytes, got {len(cells)}")
        digits = 2 if self._base == 16 else 3
        if self._base == 16 and any(len(cell) != digits for cell in cells[:size]):
            raise ValueError(f"expected {size} bytes, got {' '.join(cells[:size])[:60]!r}")
        return bytes(self._integer(cell, digits) for cell in cells[:size])

    def _integer(self, text: str, most: int) -> int:
        pattern = "[0-9A-Fa-f]" if self._base == 16 else "[0-9]"
        if re.fullmatch(f"{pattern}{{1,{most}}}", text) is None:
            raise ValueError(f"expected a number, got {text[:40]!r}")
        return int(text, self._base)


def _timestamp(text: str) -> float | None:
    """Seconds since 1970 of a date such as `Fri May 5 06:24:08.927 PM 2024`; None if it is none."""
    match = _WHEN.match(text)
    if match is None:
        return None
    name, day, hour, minute, second, fraction, half, year = match.groups()
    month = _MONTHS.get(name[:3].lower())
    if month is None:
        return None
    hours = int(hour) % 12 + 12 * (half.lower() == "pm") if half else int(hour)
    try:
        whole = datetime(
            int(year), month, int(day), hours, int(minute), int(second), tzinfo=UTC
        ).timestamp()
    except ValueError:
        return None
    # Three digits; fewer are milliseconds whose zeros a writer left out.
    return whole + (int(fraction) / 10 ** max(3, len(fraction)) if fraction else 0.0)
