"""Reads what `candump` prints to the screen: with -ta, -tA, -tz or -td, with -a, -x, -c, or plain.

The stamps of -tA are the logger's local time, read as UTC. Those of -td are summed up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path

from drivers.codecs import log_lines
from drivers.codecs.logged_frame import ERROR_FLAG, LoggedFrame, checked

_HEAD = re.compile(
    rb"[ \t]*(?:\(([-\d :.]{3,32})\)[ \t]+)?"  # stamp
    rb"(\S{1,32})[ \t]+"  # interface
    rb"(?:[TR]X[ \t]+[B-][ \t]+[E-][ \t]+)?"  # -x: direction, flags
    rb"([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})[ \t]+"  # 11-bit or 29-bit identifier
    rb"(?:\[(\d{1,2})\]|\{[0-9A-Fa-f]{1,2}\})(?=[ \t]|$)"  # length; -8: raw length code of 8 bytes
)
_COLOUR = re.compile(rb"\x1b\[[0-9;]{0,16}m")
_BYTE = re.compile(rb"[0-9A-Fa-f]{2}")
_SECONDS = re.compile(rb"\d{1,12}\.\d{1,9}")
_SWAPPED = re.compile(rb"[ \t]+[0-9A-Fa-f]{2}`")
_BINARY = re.compile(rb"[ \t]+[01]{8}([ \t.]|$)")

_HEAD_FRAMES = 500
"""Frames whose stamps show whether they are differences."""


def read(path: Path) -> Iterator[LoggedFrame]:
    """The frames of a capture, in order; without stamps all have t 0.

    Raises ValueError with file and line where a line is no frame, after all others; OSError where
    the file cannot be read.
    """
    source = log_lines.frames(path, Screen())
    head: list[LoggedFrame] = []
    damage: ValueError | None = None
    try:
        head.extend(islice(source, _HEAD_FRAMES))
    except ValueError as error:
        damage = error
    if not _are_differences([frame.t for frame in head]):
        yield from head
        if damage is None:
            yield from source
    else:
        t = 0.0
        for frame in head:
            t = round(t + frame.t, 6)
            yield frame._replace(t=t)
        if damage is None:
            for frame in source:
                t = round(t + frame.t, 6)
                yield frame._replace(t=t)
    if damage is not None:
        raise damage


def _are_differences(stamps: list[float]) -> bool:
    # -tz and -td both begin with 0; only differences go up and down all the time.
    if not stamps or stamps[0] != 0.0:
        return False
    back = sum(later < sooner for sooner, later in pairwise(stamps))
    return back * 10 > len(stamps)


class Screen:
    """Parses lines; the lines that candump -e prints below an error frame are no frames."""

    def __init__(self) -> None:
        self._below_error = False

    def __call__(self, text: bytes) -> LoggedFrame | None:
        text = _COLOUR.sub(b"", text) if b"\x1b" in text else text
        if text.startswith(b"DROPCOUNT:") or (self._below_error and text.startswith(b"\t")):
            return None
        frame = parse(text)
        self._below_error = frame.error
        return frame


def parse(text: bytes) -> LoggedFrame:
    """The frame of one line without its end. Raises ValueError saying what was expected."""
    match = _HEAD.match(text)
    if match is None:
        raise ValueError(
            "expected a line like '(12.5)  can0  18FEF100   [2]  FF 00', "
            f"got {log_lines.shown(text)}"
        )
    stamp, interface, identifier, length = match.groups()
    size = 8 if length is None else int(length)
    rest = text[match.end() :]
    remote = rest.strip() == b"remote request"
    payload = b"" if remote else _payload(rest, size)
    can_id = int(identifier, 16)
    wide = len(identifier) == 8
    error = wide and ERROR_FLAG <= can_id < 2 * ERROR_FLAG
    return checked(
        LoggedFrame(
            _seconds(stamp),
            interface.decode("ascii", "backslashreplace"),
            can_id,
            payload,
            wide and not error,
            remote,
            length is not None and len(length) == 2,  # [08] for CAN FD, [8] for classic CAN
            error,
        )
    )


def _payload(rest: bytes, size: int) -> bytes:
    if _SWAPPED.match(rest):
        raise ValueError("the bytes are in reverse order (candump -S); record without -S")
    if size and _BINARY.match(rest):
        raise ValueError("the bytes are in binary (candump -i); record without -i")
    cells = rest.split(None, size)
    tail = cells[size] if len(cells) > size else b""
    if len(cells) < size or not all(map(_BYTE.fullmatch, cells[:size])):
        raise ValueError(f"expected {size} bytes, got {log_lines.shown(rest.strip())}")
    # Behind them, the same in ASCII, or the mark of an error frame.
    if tail and not tail.startswith((b"'", b"ERRORFRAME")):
        raise ValueError(f"expected {size} bytes, got {log_lines.shown(rest.strip())}")
    return bytes.fromhex(b"".join(cells[:size]).decode())


def _seconds(stamp: bytes | None) -> float:
    if stamp is None:
        return 0.0
    if _SECONDS.fullmatch(stamp):
        return float(stamp)
    try:
        local = datetime.strptime(stamp.decode(), "%Y-%m-%d %H:%M:%S.%f")
    except ValueError:
        raise ValueError(f"{stamp.decode()!r} is no time stamp of candump") from None
    return local.replace(tzinfo=UTC).timestamp()
