"""The local door: status, audit, signals and live values over `control.sock`.

AF_UNIX stream, one JSON object a line. A request `{"verb": NAME, ...}` is answered by one line
`{"ok": true, "result": ...}` or `{"ok": false, "error": TEXT}`; `watch` is answered by one line a
value until the client closes. Nothing that is asked here can hold up the pipeline.
"""

from __future__ import annotations

import fnmatch
import json
import logging
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from agent.record import Record, Scalar, State

log = logging.getLogger("brain.control")

Answer = Callable[[Mapping[str, object]], object]
MAX_REQUEST = 65_536
MAX_CLIENTS = 32
MAX_BACKLOG = 2_000
"""Lines that a slow watcher may lag behind before it loses the oldest."""


class Board:
    """Live values for watchers. `observe` costs next to nothing while nobody watches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._news: deque[Record] = deque(maxlen=MAX_BACKLOG)
        self._last: dict[tuple[str, str], tuple[int, Scalar | None, State | None]] = {}
        self.watched = False

    def observe(self, record: Record) -> None:
        """Note a record, on the pipeline's thread."""
        last = self._last
        for path, value in record.values.items():
            last[record.source, path] = (record.boottime_ms, value, None)
        for path, state in record.states.items():
            last[record.source, path] = (record.boottime_ms, None, state)
        if self.watched:
            with self._lock:
                self._news.append(record)

    def take(self) -> list[Record]:
        """What was observed since the last call."""
        with self._lock:
            news = list(self._news)
            self._news.clear()
        return news

    def latest(self) -> list[tuple[str, str, int, Scalar | None, State | None]]:
        """The newest (source, path, boottime_ms, value, state) of all signals."""
        return [(s, p, *entry) for (s, p), entry in sorted(dict(self._last).items())]


@dataclass
class _Client:
    sock: socket.socket
    inbox: bytearray = field(default_factory=bytearray)
    outbox: bytearray = field(default_factory=bytearray)
    pattern: str | None = None


class Control:
    """Serves `control.sock` on its thread `control`."""

    def __init__(
        self,
        listener: socket.socket,
        answers: Mapping[str, Answer],
        board: Board,
        unit: Callable[[str, str], str],
        utc: Callable[[int], str | None],
        beat: Callable[[], None],
    ) -> None:
        """`unit` maps (source, path) to its unit; `utc` maps a boot time to RFC 3339."""
        self._listener = listener
        self._answers = answers
        self._board = board
        self._unit = unit
        self._utc = utc
        self._beat = beat
        self._stop = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, _Client] = {}
        self._thread = threading.Thread(target=self._run, name="control")

    def start(self) -> None:
        """Start the thread."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End the thread and hang up on all clients."""
        self._stop.set()
        self._thread.join(timeout_s)

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._beat()
            for key, mask in self._selector.select(0.1 if self._board.watched else 0.3):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fd in self._clients:
                    client = self._clients[key.fd]
                    if mask & selectors.EVENT_READ:
                        self._serve(client)
                    else:
                        self._flush(client)
            self._publish()
        for client in list(self._clients.values()):
            self._hang_up(client)
        self._selector.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        if len(self._clients) >= MAX_CLIENTS:
            sock.close()
            return
        sock.setblocking(False)
        self._clients[sock.fileno()] = _Client(sock)
        self._selector.register(sock, selectors.EVENT_READ)

    def _serve(self, client: _Client) -> None:
        try:
            data = client.sock.recv(MAX_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        client.inbox += data
        if not data or len(client.inbox) > MAX_REQUEST:
            self._hang_up(client)
            return
        while b"\n" in client.inbox:
            line, _, rest = bytes(client.inbox).partition(b"\n")
            client.inbox = bytearray(rest)
            self._answer(client, line)
        self._flush(client)

    def _answer(self, client: _Client, line: bytes) -> None:
        try:
            request = json.loads(line)
            verb = request["verb"]
        except (ValueError, KeyError, TypeError):
            self._say(client, {"ok": False, "error": 'expected one line {"verb": NAME}'})
            return
        if verb == "watch":
            client.pattern = str(request.get("pattern") or "*")
            self._board.watched = True
            for source, path, at_ms, value, state in self._board.latest():
                self._tell(client, source, path, at_ms, value, state)
            return
        answer = self._answers.get(verb)
        if answer is None:
            known = ", ".join(sorted([*self._answers, "watch"]))
            self._say(client, {"ok": False, "error": f"no verb {verb!r}; there are {known}"})
            return
        try:
            self._say(client, {"ok": True, "result": answer(request)})
        except (ValueError, OSError) as error:
            self._say(client, {"ok": False, "error": str(error)})

    def _publish(self) -> None:
        watchers = [client for client in self._clients.values() if client.pattern is not None]
        self._board.watched = bool(watchers)
        if not watchers:
            return
        for record in self._board.take():
            for path, value, state in _entries(record):
                for client in watchers:
                    self._tell(client, record.source, path, record.boottime_ms, value, state)
        for client in watchers:
            self._flush(client)

    def _tell(
        self,
        client: _Client,
        source: str,
        path: str,
        at_ms: int,
        value: Scalar | None,
        state: State | None,
    ) -> None:
        if client.pattern is None or not fnmatch.fnmatchcase(path, client.pattern):
            return
        if len(client.outbox) > MAX_BACKLOG * 200:
            return
        self._say(
            client,
            {
                "signal": path,
                "value": value,
                "state": state.value if state else None,
                "unit": self._unit(source, path),
                "source": source,
                "boottime_ms": at_ms,
                "utc": self._utc(at_ms),
            },
        )

    @staticmethod
    def _say(client: _Client, message: object) -> None:
        client.outbox += json.dumps(message, separators=(",", ":")).encode() + b"\n"

    def _flush(self, client: _Client) -> None:
        try:
            while client.outbox:
                sent = client.sock.send(client.outbox)
                del client.outbox[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._hang_up(client)
            return
        interest = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.outbox else 0)
        if client.sock.fileno() in self._clients:
            self._selector.modify(client.sock, interest)

    def _hang_up(self, client: _Client) -> None:
        if self._clients.pop(client.sock.fileno(), None) is not None:
            self._selector.unregister(client.sock)
        client.sock.close()


def _entries(record: Record) -> Iterator[tuple[str, Scalar | None, State | None]]:
    for path, value in record.values.items():
        yield path, value, None
    for path, state in record.states.items():
        yield path, None, state
