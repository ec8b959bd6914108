"""A link of so many bit/s and so much delay between two ports of loopback, in user space."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time

QUEUE_BYTES = 64 * 1024
"""What a modem holds; beyond it the sender's TCP has to wait."""
PIECE = 1_460


class SlowLink:
    """Forwards `port` to `to_port`; counts the bytes of TCP payload each way."""

    def __init__(self, to_port: int, kbit_s: float, round_trip_s: float) -> None:
        self._to_port = to_port
        self._bytes_s = kbit_s * 1000 / 8
        self._delay_s = round_trip_s / 2
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.up = self.down = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._server.accept()
            far = socket.create_connection(("127.0.0.1", self._to_port))
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
            for one, other, upwards in ((near, far, True), (far, near, False)):
                self._carry(one, other, upwards)

    def _carry(self, one: socket.socket, other: socket.socket, upwards: bool) -> None:
        waiting: queue.Queue[tuple[float, bytes]] = queue.Queue(QUEUE_BYTES // PIECE)

        def take() -> None:
            free_at = time.monotonic()
            with contextlib.suppress(OSError):
                while data := one.recv(PIECE):
                    if upwards:
                        self.up += len(data)
                    else:
                        self.down += len(data)
                    free_at = max(free_at, time.monotonic()) + len(data) / self._bytes_s
                    waiting.put((free_at + self._delay_s, data))
                    # The air is busy: no more is taken than leaves, beside what the modem holds.
                    ahead_s = free_at - time.monotonic() - QUEUE_BYTES / self._bytes_s / 4
                    if ahead_s > 0:
                        threading.Event().wait(ahead_s)
            waiting.put((0.0, b""))

        def give() -> None:
            with contextlib.suppress(OSError):
                while True:
                    at, data = waiting.get()
                    if not data:
                        break
                    threading.Event().wait(max(0.0, at - time.monotonic()))
                    other.sendall(data)
            for sock in (one, other):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=take, daemon=True).start()
        threading.Thread(target=give, daemon=True).start()
