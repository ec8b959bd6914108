"""How a network interface is, by rtnetlink: up, listen-only, bit rate, state of its controller.

The one message ever written asks the kernel (RTM_GETLINK); it cannot reach a bus.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

STATES = ("error-active", "error-warning", "error-passive", "bus-off", "stopped", "sleeping")
"""enum can_state."""

_GETLINK, _NEWLINK, _ERROR = 18, 16, 2
_REQUEST = 1
_ANSWER_BYTES = 65_536

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_INTERFACE = struct.Struct("=BxHiII")  # family, hardware, index, flags, changed flags
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_WORD = struct.Struct("=I")
_PAIR = struct.Struct("=II")
# Packets received and sent, bytes received: the head of struct rtnl_link_stats64.
_STATISTIC = struct.Struct("=Q8xQ")
_ALIGN = 4
_TYPE_BITS = 0x3FFF

_NAME, _LINK_INFO, _STATISTICS = 3, 18, 23
_KIND, _DETAILS = 1, 2
_BIT_TIMING, _STATE, _MODE = 1, 4, 5

_HARDWARE_CAN = 280
_UP = 1
_LISTEN_ONLY = 2
_VIRTUAL = ("vcan", "vxcan")


@dataclass(frozen=True, slots=True)
class Link:
    """One interface. None: it has no such property, or its driver does not tell.

    `is_can`: of the hardware type CAN. `virtual`: no controller is behind it. `received`: frames,
    since it exists; `received_bytes`: of their payloads.
    """

    index: int
    is_can: bool
    up: bool
    virtual: bool
    bitrate: int | None = None
    state: str | None = None
    listen_only: bool | None = None
    received: int | None = None
    received_bytes: int | None = None


def ask(interface: str) -> Link | None:
    """The interface named so; None where there is none.

    Raises OSError where AF_NETLINK is refused, as it is in a sandbox that does not name it.
    """
    name = os.fsencode(interface) + b"\0"
    body = _INTERFACE.pack(0, 0, 0, 0, 0) + _attribute(_NAME, name)
    request = _HEADER.pack(_HEADER.size + len(body), _GETLINK, _REQUEST, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.sendall(request)
        # The kernel has answered when the question is written.
        answer = kernel.recv(_ANSWER_BYTES, socket.MSG_DONTWAIT)
    refused = error_number(answer)
    if refused in (errno.ENODEV, errno.EINVAL, errno.ERANGE):  # none, or no name for one
        return None
    if refused:
        raise OSError(refused, os.strerror(refused))
    return parse(answer)


def error_number(message: bytes) -> int:
    """The error that a netlink message carries; 0 where it is none or damaged."""
    if len(message) < _HEADER.size + 4 or _HEADER.unpack_from(message)[1] != _ERROR:
        return 0
    (negative,) = struct.unpack_from("=i", message, _HEADER.size)
    return -int(negative)


def parse(message: bytes) -> Link | None:
    """The interface of a RTM_NEWLINK message; None where it is another one. Never raises."""
    if len(message) < _HEADER.size + _INTERFACE.size:
        return None
    length, kind, *_ = _HEADER.unpack_from(message)
    if kind != _NEWLINK:
        return None
    _, hardware, index, flags, _ = _INTERFACE.unpack_from(message, _HEADER.size)
    top = dict(_attributes(message[_HEADER.size + _INTERFACE.size : length]))
    info = dict(_attributes(top.get(_LINK_INFO, b"")))
    name = info.get(_KIND, b"").rstrip(b"\0").decode("ascii", "replace")
    can = dict(_attributes(info.get(_DETAILS, b""))) if name == "can" else {}
    mode = _first_words(can.get(_MODE, b""), _PAIR)
    timing = _first_words(can.get(_BIT_TIMING, b""), _WORD)
    state = _first_words(can.get(_STATE, b""), _WORD)
    received = _first_words(top.get(_STATISTICS, b""), _STATISTIC)
    return Link(
        index=index,
        is_can=hardware == _HARDWARE_CAN,
        up=bool(flags & _UP),
        virtual=name in _VIRTUAL,
        bitrate=timing[0] or None if timing else None,
        state=STATES[state[0]] if state and state[0] < len(STATES) else None,
        listen_only=bool(mode[1] & _LISTEN_ONLY) if mode else None,
        received=received[0] if received else None,
        received_bytes=received[1] if received else None,
    )


def _first_words(body: bytes, layout: struct.Struct) -> tuple[int, ...]:
    """What stands at the start of an attribute; empty where it is too short."""
    return layout.unpack_from(body) if len(body) >= layout.size else ()


def _attribute(kind: int, body: bytes) -> bytes:
    size = _ATTRIBUTE.size + len(body)
    return (_ATTRIBUTE.pack(size, kind) + body).ljust(-(-size // _ALIGN) * _ALIGN, b"\0")


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of each attribute, up to the first damaged one."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size or at + size > len(data):
            return
        yield kind & _TYPE_BITS, data[at + _ATTRIBUTE.size : at + size]
        at += -(-size // _ALIGN) * _ALIGN
