"""CAN frames as SLCAN lines: the ASCII protocol of USB-CAN adaptors, read only.

`Tiiiiiiiildd..` is a 29-bit frame, `tiiildd..` an 11-bit one, `R` and `r` are remote requests; a
carriage return ends a line. An adaptor may append its own time stamp of four digits.
"""

from __future__ import annotations

from typing import NamedTuple

HEX_DIGITS = b"0123456789ABCDEFabcdef"

# The longest frame has 30 characters. What goes on longer is noise and is not kept.
_MAX_LINE = 64

_ID_DIGITS = {b"T": 8, b"R": 8, b"t": 3, b"r": 3}
_STAMP_DIGITS = 4


class Frame(NamedTuple):
    """A frame off the wire. `extended`: 29-bit identifier; `remote`: a request without bytes."""

    can_id: int
    payload: bytes
    extended: bool
    remote: bool


class LineSplitter:
    """Cuts a byte stream, however it is chopped, into lines without their end.

    BEL, the adaptor's "no", ends a line too. Empty lines, the adaptor's "yes", are left out.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes."""
        if b"\x07" in chunk or b"\n" in chunk:
            chunk = chunk.replace(b"\x07", b"\r").replace(b"\n", b"\r")
        lines = (self._rest + chunk).split(b"\r")
        self._rest = lines.pop()[:_MAX_LINE]
        return [line for line in lines if line] if b"" in lines else lines

    def reset(self) -> None:
        """Forget a half line: what follows is the start of a line."""
        self._rest = b""


def parse(line: bytes) -> Frame:
    """The frame of one line. Raises ValueError where it is none."""
    kind = line[:1]
    digits = _ID_DIGITS.get(kind)
    # int(x, 16) alone would take signs, blanks and underscores.
    if digits is None or line.translate(None, HEX_DIGITS) != kind:
        raise ValueError(f"no SLCAN frame: {line[:40]!r}")
    length = line[1 + digits : 2 + digits]
    if not length or not b"0" <= length <= b"8":
        raise ValueError(f"a frame has 0 to 8 bytes: {line[:40]!r}")
    remote = kind in (b"R", b"r")
    first = 2 + digits
    end = first if remote else first + 2 * int(length)
    if len(line) not in (end, end + _STAMP_DIGITS):
        raise ValueError(f"wrong length for {int(length)} bytes: {line[:40]!r}")
    can_id = int(line[1 : 1 + digits], 16)
    if can_id > (0x1FFFFFFF if digits == 8 else 0x7FF):
        raise ValueError(f"no CAN identifier: {line[:40]!r}")
    return Frame(can_id, bytes.fromhex(line[first:end].decode()), digits == 8, remote)
