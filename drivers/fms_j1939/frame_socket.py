"""A CAN_RAW socket that is only ever read: many frames with one system call.

Python's own `recvmsg` asks the kernel for the interface's name at each CAN frame, so a frame costs
two system calls; `recvmmsg` of the C library takes a whole batch with one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct

from drivers.fms_j1939.can_raw import FD_FRAME_BYTES, SO_RXQ_OVFL, SO_TIMESTAMPNS

BATCH = 64
"""Frames a call: more than come at full load between two wake-ups."""

# As far as net.core.rmem_max allows; a frame takes some 800 bytes of it.
_QUEUE_BYTES = 4 * 1024 * 1024

_ERROR_FILTER = 2  # CAN_RAW_ERR_FILTER, which type checkers do not know
# All classes: the controller's driver decides which it makes.
_ALL_ERRORS = 0x1FFFFFFF

_CONTROL_BYTES = 128
_IO_VECTOR = struct.Struct("=QQ")
# struct mmsghdr: name, its length, vectors, their number, control, its length, flags; bytes read.
_HEADER = struct.Struct("=QI4xQQQQi4xI4x")
_RESULT = struct.Struct("=40xQi4xI4x")


class FrameSocket:
    """Frames of one interface that pass `filters` (see can_raw.filters), and all error frames.

    Raises OSError where the interface is not there, is none of CAN, or CAN sockets are refused. One
    that is down can be opened; the first `take` then raises ENETDOWN, as when it goes down later.
    """

    def __init__(self, interface: str, filters: bytes) -> None:
        self._socket = socket.socket(
            socket.AF_CAN, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.CAN_RAW
        )
        try:
            self._set_up(interface, filters)
        except BaseException:
            self._socket.close()
            raise
        self._prepare()

    def _prepare(self) -> None:
        """Room for a batch, and the function that fills it."""
        library = ctypes.CDLL(None, use_errno=True)
        self._receive = library.recvmmsg
        self._receive.argtypes = [
            ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p,
        ]  # fmt: skip
        self._receive.restype = ctypes.c_int
        self._frames = ctypes.create_string_buffer(BATCH * FD_FRAME_BYTES)
        self._controls = ctypes.create_string_buffer(BATCH * _CONTROL_BYTES)
        self._vectors = ctypes.create_string_buffer(BATCH * _IO_VECTOR.size)
        self._headers = ctypes.create_string_buffer(BATCH * _HEADER.size)
        self._blank = self._lay_out()

    def _set_up(self, interface: str, filters: bytes) -> None:
        link = self._socket
        # Before bind, or other frames would come first.
        link.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, filters)
        link.setsockopt(socket.SOL_CAN_RAW, _ERROR_FILTER, struct.pack("=I", _ALL_ERRORS))
        # An FD frame is not kept from us: it counts as rejected.
        link.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE_BYTES)
        link.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        link.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        link.bind((interface,))

    def fileno(self) -> int:
        """For poll."""
        return self._socket.fileno()

    def take(self) -> list[tuple[bytes, bytes]]:
        """Up to BATCH (can_frame or canfd_frame, control messages); empty where none waits.

        Raises OSError once where something happened to the interface: ENETDOWN (it is down, frames
        come again when it is up), ENODEV (it was removed: this socket hears nothing any more).
        """
        # The kernel wrote lengths into the headers that were room before.
        ctypes.memmove(self._headers, self._blank, len(self._blank))
        count = self._receive(self.fileno(), self._headers, BATCH, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(number, os.strerror(number))
        frames = ctypes.string_at(self._frames, count * FD_FRAME_BYTES)
        controls = ctypes.string_at(self._controls, count * _CONTROL_BYTES)
        results = ctypes.string_at(self._headers, count * _HEADER.size)
        return [
            (
                frames[n * FD_FRAME_BYTES : n * FD_FRAME_BYTES + length],
                controls[n * _CONTROL_BYTES : n * _CONTROL_BYTES + control],
            )
            for n, (control, _, length) in enumerate(_RESULT.iter_unpack(results))
        ]

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _lay_out(self) -> bytes:
        """The headers as the kernel wants them, each with room for one frame and its control."""
        frames, controls, vectors = map(
            ctypes.addressof, (self._frames, self._controls, self._vectors)
        )
        blank = b""
        for n in range(BATCH):
            _IO_VECTOR.pack_into(
                self._vectors, n * _IO_VECTOR.size, frames + n * FD_FRAME_BYTES, FD_FRAME_BYTES
            )
            blank += _HEADER.pack(
                0, 0, vectors + n * _IO_VECTOR.size, 1,
                controls + n * _CONTROL_BYTES, _CONTROL_BYTES, 0, 0,
            )  # fmt: skip
        return blank
