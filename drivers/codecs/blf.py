"""Reads captures in the BLF format of Vector's tools, binary: objects, mostly in zlib containers.

Layouts as in the open descriptions of the format (Vector BLF by T. Lorenz, python-can). Stamps are
relative to a date in the logger's local time, which has no zone; it is read as UTC.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from drivers.codecs.log_lines import DAMAGED_GZIP, unpacked
from drivers.codecs.logged_frame import (
    LARGEST_BASE_ID,
    LARGEST_ID,
    LoggedFrame,
    checked,
    error_frame,
)

SIGNATURE = b"LOGG"

LARGEST_OBJECT = 32 << 20
"""Bytes of an object or of what a container holds. Vector's containers hold 128 KiB."""

_FILE = struct.Struct("<4sL32x8H")  # signature, header size, ..., start as SYSTEMTIME
_OBJECT = struct.Struct("<4sHHLL")  # signature, header size, header version, size, type
_STAMP = {1: struct.Struct("<L4xQ"), 2: struct.Struct("<L4xQ8x")}  # by header version
_CONTAINER = struct.Struct("<H6xL4x")  # compression, uncompressed size
_CAN = struct.Struct("<HBBL8s")  # channel, flags, length, identifier, bytes
_CAN_FD = struct.Struct("<HBBL5xBB5x64s")  # ..., FD flags, valid bytes, bytes
_CAN_FD_64 = struct.Struct("<BBB1xL4xL")  # channel, length code, valid bytes, identifier, flags
_CAN_FD_64_BYTES = 40  # where its bytes begin

_TEN_MICROSECONDS = 1
_EXTENDED, _REMOTE = 0x80000000, 0x80
_FD_64_REMOTE, _FD_64_EDL = 0x10, 0x1000
_ERRORS = {2, 73, 104}


def read(path: Path) -> Iterator[LoggedFrame]:
    """The frames of a log, plain or gzipped, in order; objects of other kinds are skipped.

    Raises ValueError with file and offset where the log is damaged, after the frames before it:
    those of a last container that is cut off, too. OSError where the file cannot be read.
    """
    with path.open("rb") as raw:
        source = _Source(unpacked(raw))
        try:
            yield from _Log(source).frames()
        except (*DAMAGED_GZIP, ValueError) as error:
            raise ValueError(f"{path}: byte {source.object_at}: {error}") from error


class _Source:
    """Reads exact numbers of bytes; `object_at` is where the object in hand began."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self._at = 0
        self.object_at = 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes; less only at the end."""
        parts = []
        while size > 0 and (part := self._content.read(size)):
            parts.append(part)
            size -= len(part)
            self._at += len(part)
        return b"".join(parts)

    def head(self) -> bytes:
        """The next object's first bytes, behind up to 7 of padding; empty at the end."""
        self.object_at = self._at
        head = self.read(_OBJECT.size)
        skipped = 0
        while not head.startswith(b"LOBJ") and head and skipped < 8:
            head = head[1:] + self.read(1)
            skipped += 1
            self.object_at += 1
        return head


class _Log:
    def __init__(self, source: _Source) -> None:
        self._source = source
        self._zero = 0.0
        self._rest = b""

    def frames(self) -> Iterator[LoggedFrame]:
        first = self._source.read(_FILE.size)
        if len(first) < _FILE.size:
            raise ValueError("the log is cut off within its header")
        _, size, *start = _FILE.unpack(first)
        if not _FILE.size <= size <= 4096:
            raise ValueError(f"a header of {size} bytes cannot be")
        self._source.read(size - _FILE.size)
        self._zero = _seconds(start)
        while head := self._source.head():
            if len(head) < _OBJECT.size or not head.startswith(b"LOBJ"):
                if head.strip(b"\0"):
                    raise ValueError("no object begins here: the log is damaged or cut off")
                break
            _, _, _, size, kind = _OBJECT.unpack(head)
            _check_size(size)
            body = self._source.read(size - _OBJECT.size)
            if kind == 10:
                yield from self._container(body, cut=len(body) < size - _OBJECT.size)
            else:
                yield from self._objects(head + body)
        if self._rest.strip(b"\0"):
            raise ValueError("the log is cut off within an object")

    def _container(self, body: bytes, *, cut: bool) -> Iterator[LoggedFrame]:
        if len(body) < _CONTAINER.size:
            raise ValueError("the log is cut off within a container")
        method, _ = _CONTAINER.unpack_from(body)
        packed = body[_CONTAINER.size :]
        if method == 0:
            content = packed
        elif method == 2:
            unpacker = zlib.decompressobj()
            content = unpacker.decompress(packed, LARGEST_OBJECT)
            if unpacker.unconsumed_tail:
                raise ValueError(f"a container of more than {LARGEST_OBJECT} bytes")
            # Whole, its checksum was right. Cut off, what is there is its beginning.
            cut = cut or not unpacker.eof
        else:
            raise ValueError(f"compression {method} is not known")
        yield from self._objects(content)
        if cut:
            raise ValueError("the log is cut off within a container")

    def _objects(self, content: bytes) -> Iterator[LoggedFrame]:
        """Objects may begin in one container and end in the next."""
        content = self._rest + content
        self._rest = b""
        at = 0
        while True:
            begin = content.find(b"LOBJ", at, at + 11)
            if begin < 0:
                if len(content) - at >= 11:
                    raise ValueError("no object begins where one should")
                self._rest = content[at:]
                return
            if len(content) - begin < _OBJECT.size:
                self._rest = content[begin:]
                return
            _, header, version, size, kind = _OBJECT.unpack_from(content, begin)
            _check_size(size)
            at = begin + size
            if at > len(content):
                self._rest = content[begin:]
                return
            frame = self._frame(content[begin:at], header, version, kind)
            if frame is not None:
                yield frame

    def _frame(self, whole: bytes, header: int, version: int, kind: int) -> LoggedFrame | None:
        layout = _STAMP.get(version)
        if kind not in _FRAMES and kind not in _ERRORS:
            return None
        if layout is None:
            raise ValueError(f"version {version} of an object's header is not known")
        try:
            flags, raw = layout.unpack_from(whole, _OBJECT.size)
            unit = 1e-5 if flags == _TEN_MICROSECONDS else 1e-9
            t = round(self._zero + raw * unit, 6)
            body = whole[header:]
            if kind in _ERRORS:
                return error_frame(t, str(int.from_bytes(body[:2], "little")))
            return checked(_FRAMES[kind](t, body))
        except struct.error:
            raise ValueError(f"an object of type {kind} has {len(whole)} bytes") from None


def _can(t: float, body: bytes) -> LoggedFrame:
    channel, flags, size, can_id, payload = _CAN.unpack_from(body)
    return _frame(t, channel, can_id, payload[: min(size, 8)], bool(flags & _REMOTE), False)


def _can_fd(t: float, body: bytes) -> LoggedFrame:
    channel, flags, _, can_id, fd, valid, payload = _CAN_FD.unpack_from(
        body.ljust(_CAN_FD.size, b"\0")
    )
    return _frame(t, channel, can_id, payload[:valid], bool(flags & _REMOTE), bool(fd & 1))


def _can_fd_64(t: float, body: bytes) -> LoggedFrame:
    channel, _, valid, can_id, flags = _CAN_FD_64.unpack_from(body)
    # Zeros at the end may be left out.
    payload = body[_CAN_FD_64_BYTES : _CAN_FD_64_BYTES + valid].ljust(valid, b"\0")
    remote, fd = bool(flags & _FD_64_REMOTE), bool(flags & _FD_64_EDL)
    return _frame(t, channel, can_id, payload, remote, fd)


_FRAMES = {1: _can, 86: _can, 100: _can_fd, 101: _can_fd_64}


def _frame(
    t: float, channel: int, can_id: int, payload: bytes, remote: bool, fd: bool
) -> LoggedFrame:
    payload = b"" if remote else payload
    number = can_id & LARGEST_ID
    # Some loggers forget the bit.
    extended = bool(can_id & _EXTENDED) or number > LARGEST_BASE_ID
    return LoggedFrame(t, str(channel), number, payload, extended, remote, fd, False)


def _check_size(size: int) -> None:
    if not _OBJECT.size <= size <= LARGEST_OBJECT:
        raise ValueError(f"an object of {size} bytes cannot be")


def _seconds(start: list[int]) -> float:
    """Seconds since 1970 of a SYSTEMTIME; 0 where the log's maker left it empty."""
    year, month, _, day, hour, minute, second, ms = start
    try:
        return datetime(year, month, day, hour, minute, second, ms * 1000, tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
