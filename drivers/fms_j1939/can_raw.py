"""The structures of Linux's CAN_RAW sockets: frames, filters, control messages. Pure.

linux/can.h, linux/can/raw.h; 64-bit kernels, whose time stamps have two 8-byte fields.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterable

from drivers.codecs.j1939 import TP_CM, TP_DT
from drivers.fms_j1939.frames import Frame

FRAME_BYTES, FD_FRAME_BYTES = 16, 72
"""struct can_frame and struct canfd_frame, which a socket hands over whole."""

LENGTH_BYTE = 4
"""Where a can_frame holds the number of its bytes."""

EXTENDED, REMOTE, ERROR = 0x80000000, 0x40000000, 0x20000000
"""Flags above the 29 bits of an identifier: CAN_EFF_FLAG, CAN_RTR_FLAG, CAN_ERR_FLAG."""

SO_TIMESTAMPNS, SO_RXQ_OVFL = 35, 40
"""Kernel time of arrival and the count of lost frames, as control messages. Python has no names."""

# Priority and source address do not matter. Below PF 0xF0 (PDU1) the next byte is a destination.
_PDU2_MASK = 0x03FFFF00 | EXTENDED | REMOTE
_PDU1_MASK = 0x03FF0000 | EXTENDED | REMOTE
_FIRST_PDU2 = 0xF000

_FLAGS_BYTE = 3 if sys.byteorder == "little" else 0
_ERROR_IN_BYTE = ERROR >> 24

_HEAD = struct.Struct("=IB")
_FILTER = struct.Struct("=II")
_CONTROL = struct.Struct("=Qii")
_STAMP = struct.Struct("=qq")
_COUNT = struct.Struct("=I")
_ALIGN = 8
_STAMP_BYTES = _CONTROL.size + _STAMP.size
# What stands before the stamp in nearly all cases: no loss, nothing else asked for.
_STAMP_HEAD = _CONTROL.pack(_STAMP_BYTES, socket.SOL_SOCKET, SO_TIMESTAMPNS)


def filters(pgns: Iterable[int]) -> bytes:
    """The can_filter array that lets through data frames of `pgns` and of the transport protocol.

    A frame passes where `id & mask == filter & mask` for any of them: any priority and sender,
    29-bit identifiers, no remote requests. FD frames pass like others.
    """
    table = b""
    for pgn in sorted({*pgns, TP_CM, TP_DT}):
        mask = _PDU2_MASK if pgn & 0xFF00 >= _FIRST_PDU2 else _PDU1_MASK
        table += _FILTER.pack(pgn << 8 | EXTENDED, mask)
    return table


def is_error(raw: bytes) -> bool:
    """Whether a whole can_frame is a report of the controller instead of a frame of the bus."""
    return raw[_FLAGS_BYTE] & _ERROR_IN_BYTE != 0


def unpack(raw: bytes) -> Frame:
    """The frame in a can_frame. Raises ValueError where it is an FD frame or an error frame."""
    if len(raw) != FRAME_BYTES:
        raise ValueError(f"a can_frame has {FRAME_BYTES} bytes, got {len(raw)}")
    word, length = _HEAD.unpack_from(raw)
    if word & ERROR:
        raise ValueError(f"an error frame: {raw.hex()}")
    extended, remote = bool(word & EXTENDED), bool(word & REMOTE)
    # A remote request has a length and no bytes.
    payload = b"" if remote else raw[8 : 8 + min(length, 8)]
    return Frame(word & (0x1FFFFFFF if extended else 0x7FF), payload, extended, remote)


def pack(frame: Frame) -> bytes:
    """A frame as a can_frame: what `unpack` takes apart."""
    word = frame.can_id | (EXTENDED if frame.extended else 0) | (REMOTE if frame.remote else 0)
    return _HEAD.pack(word, len(frame.payload)).ljust(8, b"\0") + frame.payload.ljust(8, b"\0")


def control(data: bytes) -> tuple[int | None, int | None]:
    """Wall time of arrival in ns and the socket's count of lost frames, of one frame's control.

    None where the kernel gave none: the count comes only once frames were lost. Damaged control
    data gives what stands before the damage.
    """
    if len(data) == _STAMP_BYTES and data.startswith(_STAMP_HEAD):
        seconds, nanoseconds = _STAMP.unpack_from(data, _CONTROL.size)
        return seconds * 1_000_000_000 + nanoseconds, None
    stamp_ns: int | None = None
    lost: int | None = None
    at = 0
    while at + _CONTROL.size <= len(data):
        size, level, kind = _CONTROL.unpack_from(data, at)
        end = at + size
        if size < _CONTROL.size or end > len(data):
            break
        body = data[at + _CONTROL.size : end]
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(body) == _STAMP.size:
            seconds, nanoseconds = _STAMP.unpack(body)
            stamp_ns = seconds * 1_000_000_000 + nanoseconds
        elif level == socket.SOL_SOCKET and kind == SO_RXQ_OVFL and len(body) == _COUNT.size:
            (lost,) = _COUNT.unpack(body)
        at = -(-end // _ALIGN) * _ALIGN
    return stamp_ns, lost


class Drops:
    """Frames that the kernel lost, from a count that wraps at 32 bits and starts anew a socket."""

    def __init__(self) -> None:
        self.total = 0
        self._last = 0

    def new_socket(self) -> None:
        """The count of the next socket starts at 0."""
        self._last = 0

    def see(self, count: int) -> None:
        """Take the count as the socket gives it."""
        self.total += (count - self._last) & 0xFFFFFFFF
        self._last = count
