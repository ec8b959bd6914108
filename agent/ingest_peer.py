"""One connection at the door: who speaks, how fast it may, what waits to be sent down."""

from __future__ import annotations

import array
import os
import socket
import struct
from collections import deque

from agent.ingest_progress import Progress
from agent.protocol import MAX_DATAGRAM, Downward, Durable, encode
from agent.signals import Group

RECORDS_A_SECOND = 4_000
"""What one connection may bring: twice a 250 kbit/s CAN bus at full load (1,850 frames/s). More is
not read, the flooding driver's own ring overflows, and its neighbours keep the coordinator."""

BURST_RECORDS = 4_000
REST_S = 0.010
WAITING_DOWN = 64
"""Messages that wait for a driver that does not read; its commands fail then."""

_ONE_DESCRIPTOR = socket.CMSG_SPACE(array.array("i").itemsize)
"""Room for the descriptor of one file; the kernel closes what does not fit (unix(7))."""
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


def trust_all(uid: int, name: str) -> bool:
    """Names are believed: on a laptop all drivers run under one uid."""
    del uid, name
    return True


class TokenBucket:
    """How many records may come now: `rate` a second, at most `burst` at once.

    Once empty it stays shut for `REST_S` worth of records: a turn of the loop for each single
    record would cost more than the record.
    """

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now
        self._shut = False

    def wait_s(self, now: float) -> float:
        """Seconds until one more datagram may be read; 0 when it may now."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        reopen_at = self._rate * REST_S
        if self._tokens < 1:
            self._shut = True
        elif self._tokens >= reopen_at:
            self._shut = False
        return (reopen_at - self._tokens) / self._rate if self._shut else 0.0

    def take(self, records: int) -> None:
        """A datagram of so many records was read; it may overdraw, the next one waits longer."""
        self._tokens -= max(1, records)


class Peer:
    """A connection; `source` is empty until its hello was accepted."""

    def __init__(self, sock: socket.socket, now: float, buffer: memoryview) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.pid, self.uid, _ = _CREDENTIALS.unpack(
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        self.since = now
        self.bucket = TokenBucket(RECORDS_A_SECOND, BURST_RECORDS, now)
        self.source = ""
        self.progress = Progress("")
        self.groups: tuple[Group, ...] = ()
        self.descriptors: list[int] = []
        """What came with the last datagram: whoever takes it closes them."""
        self.holding = False
        """Whether what it sent last waits for its file: nothing more is read until then."""
        self.mask = 0  # the selector's events of this connection, 0 where it is not registered
        self._buffer = buffer
        self._down: deque[bytes] = deque()
        self._durable: int | None = None

    def receive(self) -> bytes:
        """The next datagram; empty at the end. Raises ValueError on one that is too long, else as
        socket.recv does: BlockingIOError where there is none."""
        while True:
            try:
                size, extra, flags, _ = self.sock.recvmsg_into(
                    [self._buffer], _ONE_DESCRIPTOR, socket.MSG_CMSG_CLOEXEC
                )
            except ConnectionResetError:
                # Reported once when the far end died with messages of ours unread. What it sent
                # before is still queued (unix_release_sock in the kernel's net/unix/af_unix.c).
                continue
            self.forget_descriptors()
            self.descriptors = _descriptors(extra)
            if flags & socket.MSG_TRUNC:
                raise ValueError(f"a datagram of more than {MAX_DATAGRAM} bytes")
            return bytes(self._buffer[:size])

    def forget_descriptors(self) -> None:
        """Close what came with the last datagram and nobody took."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []

    def queue(self, message: Downward) -> bool:
        """Let a message wait for `flush`; False where too many wait already."""
        if len(self._down) >= WAITING_DOWN:
            return False
        self._down.append(encode(message))
        return True

    def confirm(self, upto: int) -> None:
        """Let the newest durable number wait for `flush`; an older one that waits is obsolete."""
        self._durable = max(upto, self._durable or 0)

    def waiting(self) -> bool:
        """Whether anything waits to be sent down."""
        return bool(self._down) or self._durable is not None

    def flush(self) -> None:
        """Send what waits as far as the socket takes it. Never blocks, never raises."""
        try:
            while self._down:
                self.sock.send(self._down[0])
                self._down.popleft()
            if self._durable is not None:
                self.sock.send(encode(Durable(self._durable)))
                self._durable = None
        except BlockingIOError:
            return
        except OSError:
            # The far end is gone; what it sent before is still to be read, so reading decides.
            self._down.clear()
            self._durable = None


def _descriptors(extra: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, content in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return list(found)
