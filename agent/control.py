"""The local door: status, audit, signals and live values over `control.sock`.

AF_UNIX stream, one JSON object a line. A request `{"verb": NAME, ...}` is answered by one line
`{"ok": true, "result": ...}` or `{"ok": false, "error": TEXT}`; `watch` is answered by one line a
value until the client closes; `command` is answered once the driver has, or has not in time.
Nothing that is asked here can hold up the pipeline.
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
from typing import Protocol

from agent.board import MAX_BACKLOG, Board
from agent.record import Record, Scalar, State
from agent.waker import Waker

log = logging.getLogger("brain.control")

Answer = Callable[[Mapping[str, object]], object]
Reply = Callable[[Mapping[str, Scalar] | None, str], None]
MAX_REQUEST = 65_536
MAX_CLIENTS = 32


class Commands(Protocol):
    """Who brings commands to the drivers. Nothing of it blocks."""

    def give(self, request: Mapping[str, object], reply: Reply) -> None:
        """Later call `reply`, from any thread, with the result, or None and what went wrong.

        Raises ValueError where the request is refused at once.
        """
        ...

    def expire(self) -> None:
        """Called a few times a second: give up on what takes too long."""
        ...


@dataclass
class _Client:
    sock: socket.socket
    inbox: bytearray = field(default_factory=bytearray)
    outbox: bytearray = field(default_factory=bytearray)
    pattern: str | None = None
    waiting: bool = False
    """For a driver; what it asks meanwhile stays in `inbox`, so that answers come in order."""


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
        commands: Commands | None = None,
    ) -> None:
        """`unit` maps (source, path) to its unit; `utc` maps a boot time to RFC 3339.

        `commands` takes requests of the verb "command".
        """
        self._listener = listener
        self._answers = answers
        self._board = board
        self._unit = unit
        self._utc = utc
        self._beat = beat
        self._commands = commands
        self._replies: deque[tuple[_Client, dict[str, object]]] = deque()
        self._waker = Waker()
        self._stop = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, _Client] = {}
        self._thread = threading.Thread(target=self._run, name="control")

    def start(self) -> None:
        """Start the thread."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._waker.fd, selectors.EVENT_READ)
        self._thread.start()

    def leave(self) -> None:
        """Begin to end; `stop` waits for it."""
        self._stop.set()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End the thread and hang up on all clients."""
        self.leave()
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
                elif key.fd == self._waker.fd:
                    self._waker.clear()
                elif key.fd in self._clients:
                    client = self._clients[key.fd]
                    if mask & selectors.EVENT_READ:
                        self._serve(client)
                    else:
                        self._flush(client)
            if self._commands is not None:
                self._commands.expire()
            self._pass_replies()
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
        self._answer_lines(client)

    def _answer_lines(self, client: _Client) -> None:
        while b"\n" in client.inbox and not client.waiting:
            line, _, rest = bytes(client.inbox).partition(b"\n")
            client.inbox = bytearray(rest)
            self._answer(client, line)
        self._flush(client)

    def _pass_replies(self) -> None:
        """What drivers answered since; to whoever still waits for it."""
        while self._replies:
            client, message = self._replies.popleft()
            client.waiting = False
            if self._clients.get(client.sock.fileno()) is client:
                self._say(client, message)
                self._answer_lines(client)

    def _command(self, client: _Client, request: Mapping[str, object], commands: Commands) -> None:
        def reply(result: Mapping[str, Scalar] | None, error: str) -> None:
            said: dict[str, object] = {"ok": False, "error": error}
            self._replies.append(
                (client, said if result is None else {"ok": True, "result": result})
            )
            self._waker.wake()

        client.waiting = True
        try:
            commands.give(request, reply)
        except ValueError as error:
            client.waiting = False
            self._say(client, {"ok": False, "error": str(error)})

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
        if verb == "command" and self._commands is not None:
            self._command(client, request, self._commands)
            return
        answer = self._answers.get(verb)
        if answer is None:
            other = ["watch"] if self._commands is None else ["watch", "command"]
            known = ", ".join(sorted([*self._answers, *other]))
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
