"""What TCP itself can tell and be told: segment size, its patience, what is under way, the route.

All of it is asked of one socket, so it needs no privilege and no setting of the kernel.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass

from agent.uplink.names import Names

USER_TIMEOUT_MS = 20_000
"""TCP gives up on unacknowledged bytes after this; the kernel's own patience is 15 minutes."""

UNSENT_BYTES = 16 * 1024
"""So much may wait in the kernel's buffer: an alarm waits behind it, and cannot overtake it."""

_INFO = struct.Struct("<8B24I4Q4I")
"""The head of `struct tcp_info` (linux/tcp.h), as far as `tcpi_min_rtt`."""
_UNACKED, _BYTES_ACKED, _BYTES_RECEIVED, _MIN_RTT = 8 + 4, 8 + 24 + 2, 8 + 24 + 3, 8 + 24 + 4 + 3

_ANYWHERE = ("192.0.2.1", 9)
"""An address for documentation (RFC 5737): stands for the Internet as long as no broker's is known.
Nothing is sent there."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How a connection gets on. `unacked`: segments that the far end owes an answer for.

    `rtt_s`: the shortest time from a segment to its answer so far.
    """

    unacked: int
    acked_bytes: int
    received_bytes: int
    rtt_s: float = 0.0


def connect(
    host: str, port: int, timeout_s: float, segment: int | None, names: Names | None = None
) -> socket.socket:
    """A TCP connection whose segments, both ways, have at most `segment` bytes.

    None leaves that to the kernel. It must be said before connecting: only then does it bind the
    far end too. Tries each address that `names` knows of `host`. Raises OSError of the last one.
    """
    failure = OSError(f"{host} has no address")
    names = names or Names()
    for family, address in names.addresses(host, port):
        try:
            # Without a descriptor left there is no socket either.
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            failure = error
            continue
        try:
            sock.settimeout(timeout_s)
            if segment is not None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
            continue
        names.worked(host, port, (family, address))
        return sock
    raise failure


def progress(sock: socket.socket) -> Progress | None:
    """How the connection gets on; None where it is gone or the kernel does not tell."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    except OSError:
        return None
    if len(info) < _INFO.size:
        return None
    fields = _INFO.unpack(info)
    rtt_us = fields[_MIN_RTT]
    # The kernel says ~0 as long as it has measured none.
    rtt_s = rtt_us / 1e6 if rtt_us < 0xFFFF_FFFF else 0.0
    return Progress(fields[_UNACKED], fields[_BYTES_ACKED], fields[_BYTES_RECEIVED], rtt_s)


def discard_unsent(sock: socket.socket) -> None:
    """Closing it is to throw away what is not sent yet.

    Else the kernel goes on sending what was given up, ahead of the next connection's bytes.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def ends(sock: socket.socket) -> tuple[str, tuple[str, int]] | None:
    """Our address and the far end's (address, port); None where it is not connected."""
    try:
        return str(sock.getsockname()[0]), (sock.getpeername()[0], sock.getpeername()[1])
    except OSError:
        return None


def source_address(peer: tuple[str, int] | None) -> str | None:
    """From which address of this box the kernel would speak to `peer` now; None: no way there.

    `peer` None stands for anywhere outside. A datagram socket is connected, which sends nothing.
    """
    address = peer or _ANYWHERE
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])
    return None
