"""One frame of a capture, whatever the format of the file."""

from __future__ import annotations

from typing import NamedTuple

ERROR_FLAG = 0x20000000
"""Marks an error frame in the identifier, linux/can.h."""

LARGEST_ID = 0x1FFFFFFF
LARGEST_BASE_ID = 0x7FF

CLASSIC_BYTES = 8
LONGEST_CODE = 15
FD_LENGTHS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)
"""Bytes of a CAN FD frame by its length code, ISO 11898-1."""


class LoggedFrame(NamedTuple):
    """One frame of a capture; `t` is the log's own stamp in seconds.

    `t` counts from 1970 where the log says when it began, from its beginning where it does not,
    and is 0 where it has no stamps at all. `interface` is the log's name or number of the channel.
    `extended`: 29-bit identifier. `remote`: a request without bytes. `fd`: CAN FD. `error`: an
    error frame of the controller, its class bits in `can_id` where the log has them.
    """

    t: float
    interface: str
    can_id: int
    payload: bytes
    extended: bool
    remote: bool
    fd: bool
    error: bool


def error_frame(t: float, interface: str, payload: bytes = b"") -> LoggedFrame:
    """An error frame of a format that has no class bits for it."""
    return LoggedFrame(t, interface, ERROR_FLAG, payload[:CLASSIC_BYTES], False, False, False, True)


def checked(frame: LoggedFrame) -> LoggedFrame:
    """`frame` itself. Raises ValueError where no bus can carry it."""
    if frame.error:
        return frame
    if not 0 <= frame.can_id <= (LARGEST_ID if frame.extended else LARGEST_BASE_ID):
        raise ValueError(f"{frame.can_id:X} is no CAN identifier")
    size = len(frame.payload)
    if size not in FD_LENGTHS if frame.fd else size > CLASSIC_BYTES:
        raise ValueError(f"a frame cannot have {size} bytes")
    return frame
