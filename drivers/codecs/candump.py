"""Reads and writes captures in the format of `candump -L` and `-l` (can-utils)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from drivers.codecs import log_lines
from drivers.codecs.logged_frame import ERROR_FLAG, LoggedFrame

_MAX_FD_BYTES = 64
_MAX_CLASSIC_BYTES = 8

_LINE = re.compile(
    rb"\((\d{1,12}\.\d{1,9})\)[ \t]+(\S{1,32})[ \t]+"  # (seconds) interface
    rb"([0-9A-Fa-f]{3}|[0-9A-Fa-f]{7,8})#"  # 11-bit or 29-bit identifier
    rb"(?:(R)(?:[0-8](?:_[0-9A-Fa-f])?)?"  # remote request, its length
    rb"|#([0-9A-Fa-f])((?:[0-9A-Fa-f]{2}\.?)*)"  # FD: flags, bytes
    rb"|((?:[0-9A-Fa-f]{2}\.?)*)(?:_[0-9A-Fa-f])?)"  # classic: bytes, raw length code
    rb"(?:[ \t]+[RT])?[ \t]*"  # direction, where the log has it
)


def read(path: Path) -> Iterator[LoggedFrame]:
    """The frames of a capture, plain or gzipped, in order.

    Blank lines and lines that begin with `#` are skipped. Raises ValueError with file and line
    where a line is no frame, after all others, and where the compression is damaged; OSError where
    the file cannot be read.
    """
    return log_lines.frames(path, parse)


def parse(line: bytes) -> LoggedFrame:
    """The frame of one line without its end. Raises ValueError saying what was expected."""
    match = _LINE.fullmatch(line)
    if match is None:
        shown = log_lines.shown(line)
        raise ValueError(f"expected a line like '(12.5) can0 18FEF100#FF00', got {shown}")
    stamp, interface, identifier, remote, fd_flags, fd_bytes, classic = match.groups()
    payload = bytes.fromhex((fd_bytes or classic or b"").replace(b".", b"").decode())
    if len(payload) > (_MAX_FD_BYTES if fd_flags else _MAX_CLASSIC_BYTES):
        raise ValueError(f"a frame cannot have {len(payload)} bytes")
    can_id = int(identifier, 16)
    # Seven digits: a logger that leaves out the zero of 0CF00400.
    extended = len(identifier) > 3
    error = extended and bool(can_id & ERROR_FLAG)
    if can_id >= 2 * ERROR_FLAG or (not extended and can_id > 0x7FF):
        raise ValueError(f"{identifier.decode()} is no CAN identifier")
    return LoggedFrame(
        float(stamp),
        interface.decode("ascii", "backslashreplace"),
        can_id,
        payload,
        extended and not error,
        remote is not None,
        fd_flags is not None,
        error,
    )


def line(frame: LoggedFrame) -> bytes:
    """A frame as `candump -L` writes it, with the line's end; `parse` gives it back.

    The stamp has six decimals. Lengths of remote requests and flags of CAN FD are not in a
    LoggedFrame: they are left out and written as 0.
    """
    wide = frame.extended or frame.error
    identifier = f"{frame.can_id:08X}" if wide else f"{frame.can_id:03X}"
    body = "R" if frame.remote else "#0" * frame.fd + frame.payload.hex().upper()
    return f"({frame.t:.6f}) {frame.interface} {identifier}#{body}\n".encode()
