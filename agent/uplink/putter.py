"""PUTs parts of files to presigned URLs, beside MQTT: a thread of its own, one part at a time.

The store remembers which parts it has, the cloud end makes the file of them: nothing is kept here.
A URL comes from the broker, so it counts only where the configuration names its beginning.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from agent.uplink import tcp
from agent.uplink.wire import Passed, packets

log = logging.getLogger("brain.uplink")

PIECE_BYTES = 16 * 1024
"""Between pieces the part yields to what goes over MQTT ..."""
YIELD_S, LONGEST_YIELD_S = 0.3, 5.0
"""... this long after each message, but not for ever: the store gives up on who keeps silent."""
TIMEOUT_S = 30.0
STOP_S = 2.0
_OK = 200


class Put(NamedTuple):
    """Bytes `offset` to `offset + length` of a file, and where they may be PUT."""

    sha256: str
    offset: int
    length: int
    url: str


class Result(NamedTuple):
    """`error` is empty where the store has the part."""

    put: Put
    error: str


class Cost(NamedTuple):
    """Bytes of files that went up, and what they cost on the wire."""

    nbytes: int
    passed: Passed


class Putter:
    """Owns the thread "uplink-files". `wake` is called after each part."""

    def __init__(
        self,
        base: str,
        ca_file: str,
        open_file: Callable[[str], int | None],
        wake: Callable[[], None],
    ) -> None:
        """`base`: what every URL must begin with: scheme, host and path."""
        self._base = urlsplit(base)
        self._ca_file = ca_file
        self._open_file = open_file
        self._wake = wake
        self._jobs: queue.SimpleQueue[Put | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._costs: queue.SimpleQueue[Cost] = queue.SimpleQueue()
        self._yield_until = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink-files", daemon=True)
        self.current: Put | None = None
        self.sent_bytes = 0

    def allows(self, url: str) -> bool:
        """Whether a URL is one of the store that the configuration names."""
        try:
            asked = urlsplit(url)
            same = (asked.scheme, asked.netloc) == (self._base.scheme, self._base.netloc)
        except ValueError:
            return False
        path = self._base.path.rstrip("/") + "/"
        plain = ".." not in asked.path.split("/") and not any(c <= " " or c > "~" for c in url)
        return same and plain and asked.path.startswith(path)

    def start(self, put: Put) -> None:
        """PUT a part; `finished` tells how it went. One at a time."""
        self.current = put
        try:
            if not self._thread.is_alive():
                self._thread.start()
        except RuntimeError as error:  # the limit of tasks is reached; tried again with the next
            self._results.put(Result(put, str(error)))
            return
        self._jobs.put(put)

    def yields(self, now: float) -> None:
        """A message goes over MQTT: let it pass."""
        self._yield_until = now + YIELD_S

    def finished(self) -> Result | None:
        """How the part went, None while it is under way."""
        if self._results.empty():
            return None
        self.current = None
        return self._results.get()

    def costs(self) -> list[Cost]:
        """What was sent since the last time. For any thread."""
        return [self._costs.get() for _ in range(self._costs.qsize())]

    def stop(self) -> None:
        """End; the part under way is sent again in the next life."""
        self._stop.set()
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while (put := self._jobs.get()) is not None:
            try:
                self._put(put)
                error = ""
            except (OSError, ValueError) as failure:
                error = str(failure) or type(failure).__name__
            self._results.put(Result(put, error))
            self._wake()

    def _put(self, put: Put) -> None:
        """Raises OSError or ValueError where the store has not taken it."""
        import http.client  # 60 ms and 4 MB that a box without such a store never needs

        descriptor = self._open_file(put.sha256)
        if descriptor is None:
            raise ValueError("the file is not here any more")
        parts = urlsplit(put.url)
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=self._ca_file or None)
            connection = http.client.HTTPSConnection(
                parts.netloc, timeout=TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
        bill: _Bill | None = None
        try:
            connection.connect()
            bill = _Bill(connection.sock.fileno(), self._costs.put)
            # What the kernel holds is what an alarm waits behind.
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * PIECE_BYTES)
            connection.putrequest("PUT", f"{parts.path}?{parts.query}")
            connection.putheader("Content-Length", str(put.length))
            connection.endheaders()
            for at in range(put.offset, put.offset + put.length, PIECE_BYTES):
                self._let_pass()
                piece = os.pread(descriptor, min(PIECE_BYTES, put.offset + put.length - at), at)
                if not piece:
                    raise ValueError("the file is shorter than it was")
                connection.send(piece)
                self.sent_bytes += len(piece)
                bill.add(len(piece))
            answer = connection.getresponse()
            said = answer.read(300).decode(errors="replace")
            if answer.status != _OK:
                raise ValueError(f"{parts.netloc}: {answer.status} {answer.reason}: {said}")
        except http.client.HTTPException as error:
            raise ValueError(f"{parts.netloc}: {error!r}") from error
        finally:
            if bill is not None:
                bill.close()
            connection.close()
            os.close(descriptor)

    def _let_pass(self) -> None:
        deadline = time.monotonic() + LONGEST_YIELD_S
        while (now := time.monotonic()) < min(self._yield_until, deadline):
            self._stop.wait(min(self._yield_until, deadline) - now)
            if self._stop.is_set():
                break
        if self._stop.is_set():
            raise ValueError("the agent stops")


class _Bill:
    """Tells what one connection costs as it goes on: a box may lose its power at any time."""

    def __init__(self, descriptor: int, say: Callable[[Cost], None]) -> None:
        self._sock = socket.socket(fileno=os.dup(descriptor))
        self._address = str(self._sock.getsockname()[0])
        self._said = Passed()
        self._say = say

    def add(self, nbytes: int) -> None:
        """So many bytes of a file were handed to the kernel."""
        progress = tcp.progress(self._sock)
        now = self._said if progress is None else packets(progress, self._address)
        passed = Passed(now.up - self._said.up, now.down - self._said.down)
        self._said = now
        self._say(Cost(nbytes, passed))

    def close(self) -> None:
        """What the end of it cost."""
        self.add(0)
        self._sock.close()
