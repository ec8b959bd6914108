"""Frames of a recorded CAN bus as the lines of an SLCAN stick, from whatever format the file has.

Text of candump is read here; ASC, BLF, TRC, MF4 and CSV by python-can.
"""

from __future__ import annotations

import gc
import re
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from simulator.capture_file import ReplayError, lines, opened

if TYPE_CHECKING:
    import can

FORMATS = "candump (-L or what it prints), ASC, BLF, TRC, MF4, CSV of python-can"

_LOGGED = re.compile(
    rb"\((?P<time>\d+\.\d+)\) +\S+ +(?P<id>[0-9A-Fa-f]{3}|[0-9A-Fa-f]{7,8})#"
    rb"(?:(?P<data>(?:[0-9A-Fa-f]{2}){0,8})|(?P<remote>R)(?P<length>[0-8])?|(?P<fd>#[0-9A-Fa-f]+))"
    rb"(?: +[RT])?"
)
"""A line of `candump -L`: (seconds) interface identifier#data, R for a remote frame, ## for FD."""

_PRINTED = re.compile(
    rb" *(?:\((?P<time>[-\d :.]+)\) +)?\S+ +(?:[RT]X [-B] [-E] +)?"
    rb"(?P<id>[0-9A-Fa-f]{3}|[0-9A-Fa-f]{8}) +\[(?P<length>\d{1,2})\]"
    rb"(?: +(?P<remote>remote request)|(?P<data>(?: +[0-9A-Fa-f]{2})*))(?: +(?:'.*|ERRORFRAME))?"
)
"""A line as `candump` prints it; a length of two digits says CAN FD."""

ERROR_FRAME = "error frame"
FD_FRAME = "CAN FD frame"

_HIGHEST_ID = {3: 0x7FF, 8: 0x1FFFFFFF}
_ERROR_FLAG = 0x20000000
_EXAMPLE = "(1700000000.000000) can0 18FEF100#FF0032FFFFFFFFFF"


class Line(NamedTuple):
    """A frame as an SLCAN line; `seconds` is the capture's stamp, None where it has none."""

    seconds: float | None
    text: bytes


class CanCapture:
    """A capture, told by its content. `left_out` counts, by their names, what no stick carries.

    Iterating gives each frame of classic CAN in the order of the file, and may be done again.
    Raises ReplayError for a file that is damaged or of no known format.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = _python_can_reader(path)
        self.left_out: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Line]:
        self.left_out.clear()
        return self._text() if self._reader is None else self._others(self._reader)

    def _text(self) -> Iterator[Line]:
        for number, text in lines(self._path):
            # Indented lines of candump -e explain the error frame above them.
            if not text.strip() or text.startswith((b"#", b"\t")):
                continue
            line = self._parse(text.rstrip())
            if isinstance(line, Line):
                yield line
            elif line is not None:
                self.left_out[line] += 1
            else:
                shown = text.rstrip()[:60].decode("ascii", "backslashreplace")
                raise ReplayError(
                    f"{self._path}: line {number}: {shown!r} is not a line of candump, "
                    f"such as {_EXAMPLE}. What is read: {FORMATS}"
                )

    def _parse(self, text: bytes) -> Line | str | None:
        """A frame, or what kind of frame it is that is left out, or None: no frame at all."""
        match = _LOGGED.fullmatch(text) or _PRINTED.fullmatch(text)
        if match is None:
            return None
        # Some loggers write 0CF00400 without its zero.
        identifier = match["id"] if len(match["id"]) == 3 else match["id"].rjust(8, b"0")
        number = int(identifier, 16)
        if len(identifier) == 8 and number & _ERROR_FLAG and number < 2 * _ERROR_FLAG:
            return ERROR_FRAME
        if number > _HIGHEST_ID[len(identifier)]:
            return None
        parts = match.groupdict()
        if parts.get("fd") or len(parts["length"] or b"") == 2:
            return FD_FRAME
        data = bytes.fromhex((parts["data"] or b"").decode())
        length = len(data)
        if match["remote"]:
            length = int(parts["length"] or 0)
        elif match.re is _PRINTED and length != int(parts["length"]):
            return None
        line = slcan(identifier, data, length, remote=bool(match["remote"]))
        return None if length > 8 else Line(_seconds(match["time"]), line)

    def _others(self, reader: type[Any]) -> Iterator[Line]:
        import can

        count = 0
        # Damaged files make python-can raise whatever their bytes lead it to.
        try:
            binary = issubclass(reader, can.BLFReader)
            with (
                opened(self._path, text=not binary) as log,
                reader(self._path if reader is can.MF4Reader else log) as messages,
            ):
                for message in messages:
                    if message.is_error_frame:
                        self.left_out[ERROR_FRAME] += 1
                    elif message.is_fd or len(message.data) > 8:
                        self.left_out[FD_FRAME] += 1
                    else:
                        count += 1
                        yield _line(message)
        except ReplayError:
            raise
        except NotImplementedError:
            raise ReplayError(
                f"{self._path}: an MF4 log needs asammdf: pip install 'computing-brain[mf4]'"
            ) from None
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            _forget(error)
            raise ReplayError(f"{self._path}: damaged behind frame {count}: {reason}") from None


def _forget(error: Exception) -> None:
    """Delete what `error` holds: half-made objects of asammdf raise in their __del__."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = error.__context__ = error.__cause__ = None
        gc.collect()
    finally:
        sys.unraisablehook = hook


def slcan(identifier: bytes, data: bytes, length: int, *, remote: bool) -> bytes:
    """The line of a stick: `t` and `T` with 11 and 29 bits, `r` and `R` for remote frames."""
    kind = b"r" if remote else b"t"
    kind = kind.upper() if len(identifier) == 8 else kind
    return b"%s%s%d%s\r" % (kind, identifier.upper(), length, data.hex().upper().encode())


def _line(message: can.Message) -> Line:
    extended = message.is_extended_id or message.arbitration_id > _HIGHEST_ID[3]
    identifier = b"%08X" % message.arbitration_id if extended else b"%03X" % message.arbitration_id
    remote = message.is_remote_frame
    length = min(message.dlc, 8) if remote else len(message.data)
    data = b"" if remote else bytes(message.data)
    return Line(message.timestamp, slcan(identifier, data, length, remote=remote))


def _seconds(stamp: bytes | None) -> float | None:
    if stamp is None:
        return None
    text = stamp.decode()
    try:
        if "-" not in text:
            return float(text)
        # candump -tA: only differences matter here, the zone does not.
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _python_can_reader(path: Path) -> type[Any] | None:
    """python-can's reader for a file; None for text of candump, or of nothing that is known."""
    with opened(path, text=False) as log:
        head = log.read(4096)
    first = next((line for line in head.splitlines() if line.strip()), b"").strip().lower()
    name = None
    if head.startswith(b"LOGG"):
        name = "BLFReader"
    elif head.startswith((b"MDF ", b"UnFinMF")):
        name = "MF4Reader"
    elif first.startswith((b"date ", b"base ", b"begin triggerblock")):
        name = "ASCReader"
    elif first.startswith(b";"):
        name = "TRCReader"
    elif first.startswith(b"timestamp,arbitration_id,"):
        name = "CSVReader"
    if name is None:
        return None
    import can

    found: type[Any] = getattr(can, name)
    return found
