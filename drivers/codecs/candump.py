"""Reads captures in the format of `candump -L` (can-utils), plain or gzipped."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

_GZIP_MAGIC = b"\x1f\x8b"

# A CAN FD frame with separated bytes and flags has about 240 characters.
_MAX_LINE = 1024

_ERROR_FLAG = 0x20000000
_MAX_FD_BYTES = 64
_MAX_CLASSIC_BYTES = 8

_LINE = re.compile(
    rb"\((\d{1,12}\.\d{1,9})\)[ \t]+(\S{1,32})[ \t]+"  # (seconds) interface
    rb"([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#"  # 11-bit or 29-bit identifier
    rb"(?:(R)(?:[0-8](?:_[0-9A-Fa-f])?)?"  # remote request, its length
    rb"|#([0-9A-Fa-f])((?:[0-9A-Fa-f]{2}\.?)*)"  # FD: flags, bytes
    rb"|((?:[0-9A-Fa-f]{2}\.?)*)(?:_[0-9A-Fa-f])?)"  # classic: bytes, raw length code
    rb"(?:[ \t]+[RT])?[ \t]*"  # direction, where the log has it
)


class LoggedFrame(NamedTuple):
    """One line of a capture; `t` is the log's own stamp in seconds.

    `extended`: 29-bit identifier. `remote`: a request without bytes. `fd`: CAN FD. `error`: an
    error frame of the controller, its class bits in `can_id`.
    """

    t: float
    interface: str
    can_id: int
    payload: bytes
    extended: bool
    remote: bool
    fd: bool
    error: bool


def read(path: Path) -> Iterator[LoggedFrame]:
    """The frames of a capture, in order. Blank lines and lines that begin with `#` are skipped.

    Raises ValueError with file and line where a line is no frame or the compression is damaged,
    OSError where the file cannot be read.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        # GzipFile is an IO[bytes] in all but its type.
        lines = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw
        number = 0
        while True:
            try:
                line = lines.readline(_MAX_LINE)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise ValueError(f"{path}:{number + 1}: gzip data is damaged: {error}") from error
            if not line:
                return
            number += 1
            text = line.rstrip(b"\r\n")
            if not text.strip() or text.startswith(b"#"):
                continue
            try:
                yield parse(text)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from error


def parse(line: bytes) -> LoggedFrame:
    """The frame of one line without its end. Raises ValueError saying what was expected."""
    match = _LINE.fullmatch(line)
    if match is None:
        shown = line[:60].decode("ascii", "backslashreplace")
        raise ValueError(f"expected a line like '(12.5) can0 18FEF100#FF00', got {shown!r}")
    stamp, interface, identifier, remote, fd_flags, fd_bytes, classic = match.groups()
    payload = bytes.fromhex((fd_bytes or classic or b"").replace(b".", b"").decode())
    if len(payload) > (_MAX_FD_BYTES if fd_flags else _MAX_CLASSIC_BYTES):
        raise ValueError(f"a frame cannot have {len(payload)} bytes")
    can_id = int(identifier, 16)
    extended = len(identifier) == 8
    error = extended and bool(can_id & _ERROR_FLAG)
    if can_id >= 2 * _ERROR_FLAG or (not extended and can_id > 0x7FF):
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
