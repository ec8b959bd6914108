"""Bytes of IP packets that the uplink's connections cost, both ways, as the kernel counts them.

TCP_INFO tells for one socket the bytes sent with their repetitions, the bytes received and the
segments both ways; each segment has an IP and a TCP header. Not counted: options of the
SYN and SACK blocks (8 to 32 bytes in few segments), name look-ups, and what the network adds below
IP. Measured by benchmarks/wire_bytes.py.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.uplink import tcp
from agent.uplink.interfaces import interface_of
from agent.uplink.tcp import Progress

IPV4_BYTES, IPV6_BYTES, TCP_BYTES, TIMESTAMP_BYTES = 20, 40, 20, 12


@dataclass(frozen=True, slots=True)
class Passed:
    """Bytes that went up and came down."""

    up: int = 0
    down: int = 0


def packets(progress: Progress, address: str) -> Passed:
    """All that a connection from `address` cost so far."""
    ip = IPV6_BYTES if ":" in address and not address.startswith("::ffff:") else IPV4_BYTES
    header = ip + TCP_BYTES + (TIMESTAMP_BYTES if progress.timestamps else 0)
    return Passed(
        progress.sent_bytes + progress.segments_out * header,
        progress.received_bytes + progress.segments_in * header,
    )


class Wire:
    """Adds up over connections. The session's thread attaches and ends, the pump's takes."""

    def __init__(self, name_of: Callable[[str], str] = interface_of) -> None:
        """`name_of`: the interface of an address of this box, "" where it is unknown."""
        self._name_of = name_of
        self._lock = threading.Lock()
        self._passed: dict[str, Passed] = {}
        self._sock: socket.socket | None = None
        self._before = Passed()
        self._address = self._interface = ""

    @property
    def interface(self) -> str:
        """The interface of the present or last connection, "" where it is unknown."""
        return self._interface

    def attach(self, sock: socket.socket) -> None:
        """A connection stands, before anything is sent.

        A second descriptor tells what it cost when the first is closed; `end` must follow.
        """
        self.end()
        address = str(sock.getsockname()[0])
        interface = self._name_of(address)
        with self._lock:
            self._sock, self._before = sock.dup(), Passed()
            self._address, self._interface = address, interface

    def end(self) -> None:
        """The connection is given up."""
        with self._lock:
            self._look()
            if self._sock is not None:
                self._sock.close()
            self._sock = None

    def add(self, up: int, down: int) -> None:
        """Bytes of another connection by the same way: a file that goes by HTTPS."""
        with self._lock:
            self._add(up, down)

    def take(self) -> Mapping[str, Passed]:
        """Interface -> bytes since the last time."""
        with self._lock:
            self._look()
            passed, self._passed = self._passed, {}
        return passed

    def _look(self) -> None:
        progress = tcp.progress(self._sock) if self._sock is not None else None
        if progress is not None:
            now = packets(progress, self._address)
            self._add(now.up - self._before.up, now.down - self._before.down)
            self._before = now

    def _add(self, up: int, down: int) -> None:
        if up or down:
            known = self._passed.get(self._interface, Passed())
            self._passed[self._interface] = Passed(known.up + up, known.down + down)
