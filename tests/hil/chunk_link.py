"""A TCP relay that knows MQTT: it cuts at a chunk, flips a bit of one, sends one twice, is slow."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Literal

Fate = Literal["pass", "cut", "flip", "twice", "swallow"]
PUBLISH = 3


class ChunkLink:
    """Relays to 127.0.0.1:`target`. `judge(number)` decides about the n-th chunk that passes.

    cut: half of it passes, then the connection is reset. swallow: it passes whole, then the
    connection is reset, so that its confirmation is lost. `bytes_per_s` holds upwards, 0 is no
    limit.
    """

    def __init__(
        self,
        target: int,
        judge: Callable[[int], Fate] = lambda number: "pass",
        bytes_per_s: int = 0,
    ) -> None:
        self.judge = judge
        self.bytes_per_s = bytes_per_s
        self.chunks: list[tuple[str, int]] = []
        """(sha256, first block) of each chunk that came, in order."""
        self.cuts = 0
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._stop = threading.Event()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, name="link", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        self._listener.close()
        for sock in list(self._open):
            self._reset(sock)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                below, _ = self._listener.accept()
            except OSError:
                return
            above = socket.socket()
            if above.connect_ex(("127.0.0.1", self._target)):
                below.close()
                above.close()
                continue
            for sock in (below, above):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            below.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            self._open |= {below, above}
            for target, one, other in ((self._up, below, above), (self._down, above, below)):
                threading.Thread(target=target, args=(one, other), daemon=True).start()

    def _down(self, above: socket.socket, below: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := above.recv(65_536):
                below.sendall(data)
        self._reset(above)
        self._reset(below)

    def _up(self, below: socket.socket, above: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                self._packet(below, above)
        self._reset(below)
        self._reset(above)

    def _packet(self, below: socket.socket, above: socket.socket) -> None:
        head = self._read(below, 1)
        length, shift = 0, 0
        while True:
            digit = self._read(below, 1)
            head += digit
            length |= (digit[0] & 0x7F) << shift
            shift += 7
            if digit[0] < 0x80:
                break
        body = self._read(below, length)
        if head[0] >> 4 == PUBLISH:
            topic = body[2 : 2 + int.from_bytes(body[:2], "big")].decode()
            if "/up/files/" in topic:
                self._chunk(topic, head, body, above)
                return
        above.sendall(head + body)

    def _chunk(self, topic: str, head: bytes, body: bytes, above: socket.socket) -> None:
        sha256, first = topic.split("/")[-2:]
        self.chunks.append((sha256, int(first)))
        fate = self.judge(len(self.chunks))
        if fate == "cut":
            self.cuts += 1
            above.sendall((head + body)[: len(body) // 2])
            raise EOFError
        if fate == "flip":
            body = body[:-1] + bytes([body[-1] ^ 1])
        above.sendall((head + body) * (2 if fate == "twice" else 1))
        if fate == "swallow":
            self.cuts += 1
            raise EOFError

    def _read(self, sock: socket.socket, n: int) -> bytes:
        found = b""
        while len(found) < n:
            piece = sock.recv(min(n - len(found), 16_384))
            if not piece:
                raise EOFError
            found += piece
            if self.bytes_per_s:
                self._stop.wait(len(piece) / self.bytes_per_s)
        return found

    def _reset(self, sock: socket.socket) -> None:
        self._open.discard(sock)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
