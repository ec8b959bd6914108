"""The driver's side of the ingest socket: connect, hello, send the ring, take what comes down."""

from __future__ import annotations

import logging
import os
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

from agent.protocol import (
    MAX_DATAGRAM,
    Answer,
    Downward,
    Durable,
    Hello,
    Refused,
    Report,
    Welcome,
    decode_downward,
    encode,
)
from agent.ring import Ring
from agent.waker import Waker

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
WELCOME_LIMIT_S = 30.0
"""How long an accepted hello may go unanswered: a coordinator that starts is there in 1 s, one
that waits for its disk in some more."""

DATAGRAMS_A_STEP = 64


class Link:
    """One connection at a time, made again for ever. Used from one thread.

    `received` gets every message that is not the link's own affair (Command, Deliver, Stop).
    Raises ValueError where `hello` does not fit a datagram.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        hello: Hello,
        *,
        ring: Ring,
        waker: Waker,
        received: Callable[[Downward], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.welcomed = False
        self.connections = 0
        self._name = name
        self._path = str(path)
        self._hello = encode(hello)
        if len(self._hello) > MAX_DATAGRAM:
            raise ValueError(
                f"the groups of driver type {hello.type!r} take {len(self._hello)} bytes encoded, "
                f"at most {MAX_DATAGRAM} fit a hello: declare fewer signals or shorter meanings"
            )
        self._received = received
        self._clock = clock
        self._ring = ring
        self._waker = waker
        self._sock: socket.socket | None = None
        self._hello_at = 0.0
        self._retry_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._full = False
        self._trouble = ""

    def close(self) -> None:
        """Read what is left, so that the far end sees an orderly end, and hang up."""
        if self._sock is not None:
            self._read(self._sock)
        self._drop("")

    def step(self, timeout_s: float) -> None:
        """Do what is due, then wait at most `timeout_s` for more."""
        if self._sock is None and self._clock() >= self._retry_at:
            self._connect()
        linger_s = self._ring.seal()
        self._transmit()
        sock = self._sock
        limits = [timeout_s]
        if linger_s is not None:
            limits.append(linger_s)
        if sock is None:
            limits.append(max(0.0, self._retry_at - self._clock()))
        poll = select.poll()
        poll.register(self._waker.fd, select.POLLIN)
        if sock is not None:
            poll.register(sock, select.POLLIN | (select.POLLOUT if self._full else 0))
        # A ms more than asked: rounding down would make it spin until the moment has come.
        events = dict(poll.poll(min(limits) * 1000 + 1))
        if self._waker.fd in events:
            self._waker.clear()
        if sock is not None and (seen := events.get(sock.fileno(), 0)):
            self._full = self._full and not seen & select.POLLOUT
            if seen & ~select.POLLOUT:
                self._read(sock)
        waits = self._sock is not None and not self.welcomed
        if waits and self._clock() - self._hello_at > WELCOME_LIMIT_S:
            self._drop(f"no welcome within {WELCOME_LIMIT_S:.0f} s")

    def tell(self, message: Report | Answer, path: str = "") -> bool:
        """Send a message beside the records if the socket takes it now.

        `path`: a file that goes with it, open; where it cannot be opened the message goes alone.
        """
        if self._sock is None or not self.welcomed or self._full:
            return False
        try:
            if path:
                self._attach(encode(message), path)
            else:
                self._sock.send(encode(message))
        except OSError:
            return False
        return True

    def _connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        sock.setblocking(False)
        try:
            sock.connect(self._path)
            sock.send(self._hello)
        except OSError as error:
            sock.close()
            self._drop(f"{self._path}: {error.strerror}")
            return
        self._sock = sock
        self._hello_at = self._clock()
        self._full = False

    def _transmit(self) -> None:
        sock = self._sock
        if sock is None or not self.welcomed or self._full:
            return
        try:
            for _ in range(DATAGRAMS_A_STEP):
                if not self._ring.transmit(sock.send, self._attach):
                    return
        except BlockingIOError:
            self._full = True
        except OSError as error:
            self._drop(str(error.strerror))
        else:
            self._waker.wake()  # there is more, after a look at what came in

    def _attach(self, datagram: bytes, path: str) -> None:
        """Send a datagram with a file open; without it where the file is gone.

        The far end tells by size and sha256 whether it is the file that was meant.
        """
        assert self._sock is not None
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            log.warning("%s: file %s cannot be opened: %s", self._name, path, error)
            self._sock.send(datagram)
            return
        try:
            socket.send_fds(self._sock, [datagram], [file])
        finally:
            os.close(file)

    def _read(self, sock: socket.socket) -> None:
        while self._sock is sock:
            try:
                datagram = sock.recv(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except ConnectionResetError:
                # The far end died with data of ours unread. Reported once; what it sent before,
                # a Durable or the reason for a refusal, is still queued.
                continue
            except OSError as error:
                self._drop(str(error.strerror))
                return
            if not datagram:
                self._drop("the coordinator closed the connection")
                return
            try:
                self._take(decode_downward(datagram))
            except ValueError as error:
                self._drop(f"not a message: {error}")

    def _take(self, message: Downward) -> None:
        if isinstance(message, Refused):
            self._pause_s = LONGEST_PAUSE_S
            self._drop(f"refused: {message.reason}")
        elif isinstance(message, Welcome):
            self._ring.rewind(message.upto)
            self.welcomed = True
            self.connections += 1
            self._pause_s = FIRST_PAUSE_S
            if self._trouble:
                log.info("%s: connected to the coordinator again", self._name)
            self._trouble = ""
        elif isinstance(message, Durable):
            if self.welcomed:
                self._ring.trim(message.upto)
        else:
            self._received(message)

    def _drop(self, reason: str) -> None:
        """Hang up and say so once; the next attempt comes after the pause."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self.welcomed = False
        self._full = False
        self._retry_at = self._clock() + self._pause_s
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)
        if reason and reason != self._trouble:
            self._trouble = reason
            log.warning("%s: not connected to the coordinator: %s", self._name, reason)
