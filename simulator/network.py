"""The metered link of the simulated vehicle: a TCP relay that counts bytes and can be cut.

Counted is what a carrier bills: the IP packets of the vehicle's connections, both ways, as this
end's kernel saw them (TCP_INFO): content with its repetitions, and a header for each segment.

A cut is silent, as radio is: connections stay open at both ends and nothing passes, new ones are
accepted by the kernel and never answered. When the link heals, what was open before is closed, for
the carrier has forgotten it.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading

_CHUNK = 65_536
_MAX_BACKLOG = 1 << 20

_INFO = struct.Struct("<8B24I4Q6I4Q2I2Q")
"""The head of `struct tcp_info` (linux/tcp.h), as far as `tcpi_bytes_retrans`."""
_OPTIONS, _RECEIVED, _SEGMENTS_OUT, _SEGMENTS_IN, _SENT = 5, 35, 36, 37, 48
_HEADER_BYTES, _TIMESTAMP_BYTES = 40, 12
"""IPv4 and TCP without options; with timestamps, which option bit 0 states, it is more."""


class _Half:
    """One socket of a relayed connection and what waits to be written to it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.backlog = bytearray()
        self.peer: _Half


class Link:
    """Listens on 127.0.0.1:`port` (0 = any free one) and relays to 127.0.0.1:`target_port`."""

    def __init__(self, target_port: int, port: int = 0) -> None:
        """Raises OSError where the port is taken."""
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", port), backlog=16)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._counted = threading.Lock()
        self._ended = (0, 0)
        self._cut = threading.Event()
        self._was_cut = False
        self._stop = threading.Event()
        self._halves: dict[int, _Half] = {}
        self._vehicles: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def start(self) -> None:
        """Start relaying."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()

    def stop(self) -> None:
        """Close everything."""
        self._stop.set()
        self._thread.join(2.0)

    def passed(self) -> tuple[int, int]:
        """Bytes of IP packets so far: (up, down), from any thread."""
        with self._counted:
            up, down = self._ended
            for sock in self._vehicles.values():
                more = _packets(sock)
                up, down = up + more[0], down + more[1]
            return up, down

    def cut(self, is_cut: bool) -> None:
        """Cut the link, or heal it."""
        if is_cut:
            self._cut.set()
        else:
            self._cut.clear()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._cut.is_set():
                self._was_cut = True
                self._stop.wait(0.05)
                continue
            if self._was_cut:
                self._was_cut = False
                for half in list(self._halves.values()):
                    self._close(half)
            for key, mask in self._selector.select(0.05):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fd in self._halves:
                    self._serve(self._halves[key.fd], mask)
        for half in list(self._halves.values()):
            self._close(half)
        self._listener.close()
        self._selector.close()

    def _accept(self) -> None:
        try:
            down, _ = self._listener.accept()
        except OSError:
            return
        up = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            up.settimeout(0.5)
            up.connect(("127.0.0.1", self._target_port))
        except OSError:
            up.close()
            down.close()
            return
        halves = _Half(down), _Half(up)
        halves[0].peer, halves[1].peer = halves[1], halves[0]
        with self._counted:
            self._vehicles[down.fileno()] = down
        for half in halves:
            half.sock.setblocking(False)
            half.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._halves[half.sock.fileno()] = half
            self._selector.register(half.sock, selectors.EVENT_READ)

    def _serve(self, half: _Half, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                self._write(half)
            if mask & selectors.EVENT_READ:
                data = half.sock.recv(_CHUNK)
                if not data:
                    self._close(half)
                    return
                half.peer.backlog += data
                self._write(half.peer)
        except BlockingIOError:
            pass
        except OSError:
            self._close(half)

    def _write(self, half: _Half) -> None:
        with contextlib.suppress(BlockingIOError):
            while half.backlog:
                del half.backlog[: half.sock.send(half.backlog)]
        events = selectors.EVENT_READ
        if half.backlog:
            events |= selectors.EVENT_WRITE
        self._selector.modify(half.sock, events)
        # A slow reader slows its writer: stop reading from the other side.
        if len(half.backlog) > _MAX_BACKLOG:
            self._close(half)

    def _close(self, half: _Half) -> None:
        for one in (half, half.peer):
            fd = one.sock.fileno()
            if fd in self._halves:
                self._selector.unregister(one.sock)
                del self._halves[fd]
            with self._counted:
                if self._vehicles.pop(fd, None) is not None:
                    more = _packets(one.sock)
                    self._ended = self._ended[0] + more[0], self._ended[1] + more[1]
                one.sock.close()


def _packets(sock: socket.socket) -> tuple[int, int]:
    """What a vehicle's connection cost so far, seen from this end: (up, down)."""
    try:
        info = _INFO.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
    except (OSError, struct.error):
        return 0, 0
    header = _HEADER_BYTES + (_TIMESTAMP_BYTES if info[_OPTIONS] & 1 else 0)
    return (
        info[_RECEIVED] + info[_SEGMENTS_IN] * header,
        info[_SENT] + info[_SEGMENTS_OUT] * header,
    )
