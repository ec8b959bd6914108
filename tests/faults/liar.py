"""A way to the broker that lies: between the agent and a real broker, packet by packet.

`up` and `down` see every MQTT packet of the agent and of the broker and say what is passed on; they
may answer in the other's place, cut, or hold back. Nothing set, it passes everything.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.faults.world import World

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14
CHUNK = 16 * 1024


@dataclass(frozen=True)
class Packet:
    """One MQTT packet. `v5`: whether the connection is of MQTT 5."""

    raw: bytes
    body: bytes
    v5: bool

    @property
    def type(self) -> int:
        return self.raw[0] >> 4

    @property
    def qos(self) -> int:
        return self.raw[0] >> 1 & 3

    @property
    def topic(self) -> str:
        """Of a PUBLISH."""
        return self.body[2 : 2 + int.from_bytes(self.body[:2], "big")].decode()

    @property
    def mid(self) -> int:
        """Of a PUBLISH with a QoS, or of a PUBACK."""
        at = 0 if self.type == PUBACK else 2 + int.from_bytes(self.body[:2], "big")
        return int.from_bytes(self.body[at : at + 2], "big")

    @property
    def batch(self) -> bool:
        """Whether it carries records."""
        return self.type == PUBLISH and self.topic.rpartition("/")[2] in ("events", "telemetry")


def packet(first: int, body: bytes) -> bytes:
    """The bytes of a packet."""
    length, n = b"", len(body)
    while True:
        n, digit = n >> 7, n & 127
        length += bytes([digit | (128 if n else 0)])
        if not n:
            return bytes([first]) + length + body


def puback(mid: int, code: int = 0) -> bytes:
    """A PUBACK; a code needs MQTT 5."""
    return packet(PUBACK << 4, mid.to_bytes(2, "big") + (bytes([code, 0]) if code else b""))


def connack(code: int, *properties: bytes, v5: bool = True) -> bytes:
    """A CONNACK. A property is its id and its value."""
    joined = b"".join(properties)
    return packet(CONNACK << 4, bytes([0, code]) + (bytes([len(joined)]) + joined if v5 else b""))


def goodbye(code: int) -> bytes:
    """A DISCONNECT of MQTT 5."""
    return packet(DISCONNECT << 4, bytes([code, 0]))


class Line:
    """One connection: both of its sockets."""

    def __init__(self, agent: socket.socket, broker: socket.socket) -> None:
        self.agent, self.broker = agent, broker
        self.v5 = True
        self.opened_at = time.monotonic()
        self.open = True
        self._later: queue.Queue[tuple[float, bytes]] | None = None
        self._lock = threading.Lock()

    def answer(self, raw: bytes, delay_s: float = 0.0) -> None:
        """Say it to the agent, as if the broker did; what is on its way stays in its order."""
        with self._lock:
            if delay_s and self._later is None:
                self._later = queue.Queue()
                threading.Thread(target=self._deliver, args=(self._later,), daemon=True).start()
            if self._later is not None:
                self._later.put((time.monotonic() + delay_s, raw))
                return
            with contextlib.suppress(OSError):
                self.agent.sendall(raw)

    def answer_late(self, raw: bytes, after_s: float) -> None:
        """Say it to the agent after a while; what comes meanwhile passes it."""
        timer = threading.Timer(after_s, self.answer, [raw])
        timer.daemon = True
        timer.start()

    def _deliver(self, later: queue.Queue[tuple[float, bytes]]) -> None:
        pause = threading.Event()
        with contextlib.suppress(OSError):
            while self.open:
                due, raw = later.get()
                pause.wait(max(0.0, due - time.monotonic()))
                self.agent.sendall(raw)

    def cut(self) -> None:
        """Close both ends."""
        self.open = False
        for sock in (self.agent, self.broker):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


Rule = Callable[[Packet, Line], bytes | None]
"""What is passed on of a packet, None or nothing for nothing."""


class Liar:
    """Listens at `port` of 127.0.0.1. `lines`: all connections so far, the newest last."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self.up: Rule | None = None
        self.down: Rule | None = None
        self.reading = threading.Event()
        """Cleared: nothing of the agent is read any more, as where packets vanish."""
        self.reading.set()
        self.speaking = threading.Event()
        """Cleared: nothing is said to the agent any more."""
        self.speaking.set()
        self.bytes_per_s: float | None = None
        """How fast new connections are read."""
        self.delay_s = 0.0
        """How long what the broker says is on its way."""
        self.context: ssl.SSLContext | None = None
        """Set: the agent is spoken to in TLS."""
        self.instead: Callable[[socket.socket], None] | None = None
        """Set: it serves a connection in the broker's place."""
        self.lines: list[Line] = []
        self.accepted = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closing = True
        self.reading.set()
        self.speaking.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    def crawl(self, bytes_per_s: float, delay_s: float) -> None:
        """From the next connection on: so many bytes a second, and little room on the way."""
        self.bytes_per_s, self.delay_s = bytes_per_s, delay_s
        # A connection has the buffer of the socket that listens for it.
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def cut(self) -> None:
        """Cut every connection."""
        for line in list(self.lines):
            line.cut()

    @property
    def attempts(self) -> list[float]:
        """When connections were made, by time.monotonic."""
        return [line.opened_at for line in list(self.lines)]

    def _accept(self) -> None:
        while not self._closing:
            try:
                agent, _ = self._server.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(agent,), daemon=True).start()

    def _serve(self, agent: socket.socket) -> None:
        agent.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with agent, contextlib.suppress(OSError):
            if self.context is not None:
                agent.settimeout(10.0)
                agent = self.context.wrap_socket(agent, server_side=True)
                agent.settimeout(None)
            if self.instead is not None:
                self.instead(agent)
                return
            with agent, socket.create_connection(("127.0.0.1", self._broker_port), 5) as broker:
                broker.settimeout(None)
                line = Line(agent, broker)
                self.lines.append(line)
                down = threading.Thread(target=self._downwards, args=(line,), daemon=True)
                down.start()
                self._upwards(line)
                line.cut()
                down.join(5)

    def _upwards(self, line: Line) -> None:
        with contextlib.suppress(OSError):
            for one in self._packets(line.agent, line, self.reading, self.bytes_per_s):
                rule = self.up
                passed = one.raw if rule is None else rule(one, line)
                if passed:
                    line.broker.sendall(passed)

    def _downwards(self, line: Line) -> None:
        with contextlib.suppress(OSError):
            for one in self._packets(line.broker, line, self.speaking, None):
                rule = self.down
                passed = one.raw if rule is None else rule(one, line)
                if passed:
                    line.answer(passed, self.delay_s)
        line.cut()

    def _packets(
        self,
        sock: socket.socket,
        line: Line,
        going: threading.Event,
        bytes_per_s: float | None,
    ) -> Iterator[Packet]:
        stored = b""
        pause = threading.Event()
        while line.open:
            going.wait()
            found = _first(stored)
            while found is not None:
                going.wait()
                head, size = found
                raw, stored = stored[:size], stored[size:]
                if raw[0] >> 4 == CONNECT:
                    line.v5 = raw[head + 6 : head + 7] == b"\x05"
                yield Packet(raw, raw[head:], line.v5)
                found = _first(stored)
            got = sock.recv(CHUNK if bytes_per_s is None else 1024)
            if not got:
                return
            if bytes_per_s is not None:
                pause.wait(len(got) / bytes_per_s)
            stored += got


def _first(stored: bytes) -> tuple[int, int] | None:
    """Bytes of the header, and of the whole, of the first packet; None where it is not whole."""
    length = 0
    for at in range(1, min(5, len(stored))):
        length |= (stored[at] & 127) << 7 * (at - 1)
        if not stored[at] & 128:
            size = at + 1 + length
            return (at + 1, size) if len(stored) >= size else None
    return None


@contextlib.contextmanager
def between(world: World, **uplink: str | int | float) -> Iterator[Liar]:
    """A liar between the agent and the broker of a world; `uplink`: keys of [uplink] beside."""
    liar = Liar(world.port)
    settings = {"port": liar.port, "linger_s": 0.1, "ack_timeout_s": 2.0, **uplink}
    lines = (
        f'{key} = "{value}"\n' if isinstance(value, str) else f"{key} = {value}\n"
        for key, value in settings.items()
    )
    world.configure(uplink="".join(lines))
    try:
        yield liar
    finally:
        liar.close()
