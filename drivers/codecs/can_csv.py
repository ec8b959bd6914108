"""Reads captures in CSV: tables of python-can, of SavvyCAN (GVRET), of CSS Electronics."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

from drivers.codecs import log_lines
from drivers.codecs.logged_frame import LARGEST_BASE_ID, LoggedFrame, checked, error_frame

_SECONDS = re.compile(r"-?\d{1,12}(?:\.\d{1,9})?")
_HEX = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{1,8})")
_BYTE = re.compile(r"[0-9A-Fa-f]{1,2}")
_BYTES = re.compile(r"(?:[0-9A-Fa-f]{2}){0,64}")
_TRUE = {"1", "true"}

Row = dict[str, str]
"""Cells by the names of their columns, in lower case."""


def is_header(text: bytes) -> bool:
    """Whether a line is the header of a table that `read` knows."""
    return _dialect(text) is not None


def read(path: Path) -> Iterator[LoggedFrame]:
    """The frames of a log, plain or gzipped, in order.

    Raises ValueError with file and line where a row is damaged, after all others; OSError where the
    file cannot be read.
    """
    return log_lines.frames(path, Table())


class Table:
    """Parses the lines of one log, the header first."""

    def __init__(self) -> None:
        self._columns: list[str] = []
        self._separator = ","
        self._frame: Callable[[Row], LoggedFrame] | None = None

    def __call__(self, text: bytes) -> LoggedFrame | None:
        # A logger that goes on with a file may begin with the header again.
        if self._frame is None or (text[:4].lower() == b"time" and is_header(text)):
            self._columns, self._separator, self._frame = _known(text)
            return None
        cells = [cell.strip() for cell in text.decode("latin-1").split(self._separator)]
        row = dict(zip(self._columns, cells, strict=False))
        try:
            return checked(self._frame(row))
        except KeyError as error:
            raise ValueError(f"the column {error} is missing") from error


def _python_can(row: Row) -> LoggedFrame:
    t, can_id = round(_seconds(row["timestamp"]), 6), _hex(row["arbitration_id"])
    extended, remote = _flag(row["extended"]) or can_id > LARGEST_BASE_ID, _flag(row["remote"])
    payload = b64decode(row["data"], validate=True)
    if _flag(row["error"]):
        return error_frame(t, "1", payload)
    if not remote and len(payload) != _decimal(row["dlc"]):
        raise ValueError(f"expected {row['dlc']} bytes, got {len(payload)}")
    payload = b"" if remote else payload
    fd = len(payload) > 8
    return LoggedFrame(t, "1", can_id, payload, extended, remote, fd, False)


def _savvycan(row: Row) -> LoggedFrame:
    # Microseconds: of the Arduino's uptime, or since 1970.
    t = round(_decimal(row["time stamp"]) / 1e6, 6)
    can_id, size = _hex(row["id"]), _decimal(row["len"])
    extended = _flag(row["extended"]) or can_id > LARGEST_BASE_ID
    cells = [row.get(f"d{n}", "") for n in range(1, size + 1)] if size <= 64 else [""]
    if not all(map(_BYTE.fullmatch, cells)):
        raise ValueError(f"expected {size} bytes, got {' '.join(cells).strip()[:60]!r}")
    payload = bytes(int(cell, 16) for cell in cells)
    return LoggedFrame(t, row["bus"], can_id, payload, extended, False, size > 8, False)


def _css(row: Row) -> LoggedFrame:
    t = round(_seconds(row["timestampepoch"]), 6)
    remote, fd = _flag(row.get("rtr", "0")), _flag(row.get("edl", "0"))
    if _BYTES.fullmatch(row["databytes"]) is None:
        raise ValueError(f"expected bytes, got {row['databytes'][:60]!r}")
    payload = b"" if remote else bytes.fromhex(row["databytes"])
    if not remote and len(payload) != _decimal(row["datalength"]):
        raise ValueError(f"expected {row['datalength']} bytes, got {len(payload)}")
    bus, can_id = row["buschannel"], _hex(row["id"])
    extended = _flag(row["ide"]) or can_id > LARGEST_BASE_ID
    return LoggedFrame(t, bus, can_id, payload, extended, remote, fd, False)


_DIALECTS: dict[str, Callable[[Row], LoggedFrame]] = {
    "timestamp,arbitration_id,extended,remote,error,dlc,data": _python_can,
    "time stamp,id,extended,": _savvycan,
    "timestampepoch;buschannel;id;ide;dlc;datalength;": _css,
    "timestampepoch,buschannel,id,ide,dlc,datalength,": _css,
}
"""How a header begins, in lower case."""


def _dialect(text: bytes) -> tuple[str, Callable[[Row], LoggedFrame]] | None:
    header = text.decode("latin-1").strip().lower()
    for begin, frame in _DIALECTS.items():
        if header.startswith(begin):
            return header, frame
    return None


def _known(text: bytes) -> tuple[list[str], str, Callable[[Row], LoggedFrame]]:
    found = _dialect(text)
    if found is None:
        raise log_lines.Unreadable(f"{log_lines.shown(text)} is no header of a known table")
    header, frame = found
    separator = ";" if ";" in header else ","
    return [column.strip() for column in header.split(separator)], separator, frame


def _seconds(text: str) -> float:
    if _SECONDS.fullmatch(text) is None:
        raise ValueError(f"expected seconds, got {text[:40]!r}")
    return float(text)


def _decimal(text: str) -> int:
    if re.fullmatch(r"\d{1,18}", text) is None:
        raise ValueError(f"expected a number, got {text[:40]!r}")
    return int(text)


def _hex(text: str) -> int:
    match = _HEX.fullmatch(text)
    if match is None:
        raise ValueError(f"expected an identifier, got {text[:40]!r}")
    return int(match[1], 16)


def _flag(text: str) -> bool:
    return text.lower() in _TRUE
