"""The only door in: drivers connect here, say hello and hand over numbered records.

One thread owns the listening socket and all connections. Nothing is durable here: the pipeline
commits an Arrival together with its mark and then calls `durable`, which lets the driver forget.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping

from agent.clock import boottime_ms
from agent.ingest_check import (
    checked_answer,
    checked_hello,
    checked_record,
    checked_report,
    encode_groups,
)
from agent.ingest_files import FileDoor
from agent.ingest_messages import Arrival, Inbound, Joined, Left, Reported
from agent.ingest_outlet import Outlet
from agent.ingest_peer import Peer, trust_all
from agent.ingest_progress import ProgressBook, Troubles
from agent.ingest_sockets import READ, WRITE, Sockets
from agent.protocol import (
    MAX_RECORDS,
    Answer,
    Downward,
    Hello,
    Records,
    Refused,
    Skipped,
    Upward,
    Welcome,
    decode_upward,
)
from agent.record import Record
from agent.spool import Spool
from agent.store.rows import Mark
from agent.values import INT64_MAX

__all__ = ["Arrival", "Inbound", "Ingest", "Joined", "Left", "Reported"]

log = logging.getLogger(__name__)

DATAGRAMS_A_ROUND = 16
HELLO_LIMIT_S = 5.0
IDLE_S = 0.5
"""Longest wait of the loop: it beats at least this often."""

FULL_PAUSE_S = 0.02
"""How soon a full queue to the pipeline is tried again; a commit tries it at once."""

DRAIN_DATAGRAMS = 512
"""What the socket of a replaced connection can hold, see net.core.wmem_default, and some more."""


class Ingest:
    """Thread "ingest". `out` gets what drivers bring; while it is full nothing is read, and the
    drivers' rings fill instead. `beat` is called at least every `IDLE_S`.

    `marks` are the store's at the start. `names(uid, name)` says whether a user may speak as a
    source; `sources` are the configured ones, None takes any. `answered` gets the answers to
    commands with the files that came along, open until it returns; `left` the names of sources
    whose connection ended.
    """

    def __init__(
        self,
        listener: socket.socket,
        marks: Mapping[str, Mark],
        out: queue.Queue[Inbound],
        beat: Callable[[], None],
        *,
        names: Callable[[int, str], bool] = trust_all,
        sources: Collection[str] | None = None,
        answered: Callable[[str, Answer, list[int]], None] = lambda source, answer, files: None,
        left: Callable[[str], None] = lambda source: None,
        spool: Spool | None = None,
    ) -> None:
        self._sockets = Sockets(listener)
        self._files = FileDoor(spool, self._sockets.waker.wake)
        self._outlet = Outlet(out)
        self._beat = beat
        self._names = names
        self._sources = sources
        self._answered, self._left = answered, left
        self._book = ProgressBook(marks)
        self._rejected: dict[str, int] = {}
        self._troubles = Troubles(log)
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # guards the two below
        self._named: dict[str, Peer] = {}
        self._marks: dict[str, Mark] = {}
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def start(self) -> None:
        """Start the threads."""
        self._files.start()
        self._thread.start()

    def stop(self) -> None:
        """Close the door and all connections; returns when the thread has ended."""
        self._stopping.set()
        self._sockets.waker.wake()
        self._thread.join(5.0)
        self._files.stop()

    def durable(self, source: str, mark: Mark) -> None:
        """Tell the driver that `mark` is committed. For any thread; never blocks."""
        with self._lock:
            self._marks[source] = mark
        self._sockets.waker.wake()

    def send(self, source: str, message: Downward) -> bool:
        """Send a message to a driver, from any thread; False where it is not connected or does
        not read."""
        with self._lock:
            peer = self._named.get(source)
            queued = peer is not None and peer.queue(message)
        self._sockets.waker.wake()
        return queued

    def connected(self) -> list[str]:
        """Who is connected just now. From any thread."""
        with self._lock:
            return list(self._named)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._beat()
                self._outlet.pass_on()
                self._confirm()
                for peer, message in self._files.ready(self._sockets.peers):
                    self._advance(peer, *message.numbers, message)
                self._turn()
        finally:
            self._sockets.close()

    def _turn(self) -> None:
        """Wait for something to happen and see to it."""
        throttled_s = self._sockets.arrange(time.monotonic(), reading=not self._outlet.held)
        pause_s = FULL_PAUSE_S if self._outlet.held else IDLE_S
        peers = self._sockets.peers
        for peer, events in self._sockets.wait(min(pause_s, throttled_s or pause_s)):
            if events & WRITE:
                peer.flush()
            if events & READ and peer in peers:
                self._read(peer)
        now = time.monotonic()
        for peer in [peer for peer in peers if not peer.source]:
            if self._outlet.held:
                peer.since = now
            elif now - peer.since > HELLO_LIMIT_S:
                self._refuse(peer, f"no hello within {HELLO_LIMIT_S:.0f} s")

    def _read(self, peer: Peer) -> None:
        for _ in range(DATAGRAMS_A_ROUND):
            waits = self._outlet.held or peer.holding or peer.bucket.wait_s(time.monotonic())
            if waits or not self._read_one(peer):
                return

    def _read_one(self, peer: Peer) -> bool:
        """Take one datagram; False where there was none or the connection ended."""
        try:
            datagram = peer.receive()
            if not datagram:
                self._close(peer, "the driver closed the connection")
                return False
            self._take(peer, decode_upward(datagram))
        except BlockingIOError:
            return False
        except OSError as error:
            self._close(peer, str(error.strerror))
            return False
        except ValueError as error:
            self._refuse(peer, str(error))
            return False
        return True

    def _take(self, peer: Peer, message: Upward) -> None:
        """Raises ValueError on a message that no honest host sends."""
        peer.bucket.take(len(message.records) if isinstance(message, Records) else 1)
        if isinstance(message, Hello):
            self._greet(peer, message)
        elif not peer.source:
            raise ValueError(f"{type(message).__name__} before Hello")
        elif isinstance(message, Records):
            count = len(message.records)
            if not 1 <= count <= MAX_RECORDS:
                raise ValueError(f"{count} records in a datagram, expected 1 to {MAX_RECORDS}")
            if not self._files.hold(peer, message):
                self._advance(peer, *message.numbers, message)
        elif isinstance(message, Skipped):
            self._advance(peer, message.first, message.last, None)
        elif isinstance(message, Answer):
            self._answered(peer.source, checked_answer(message), peer.descriptors)
        else:
            report = checked_report(message)
            counters = report.counters | {"rejected_records": self._rejected.get(peer.source, 0)}
            self._outlet.put(Reported(peer.source, counters, report.device))

    def _advance(self, peer: Peer, first: int, last: int, message: Records | None) -> None:
        """Pass on what is new of the numbers `first` to `last`; None: they never come."""
        progress = peer.progress
        if not 1 <= first <= last <= INT64_MAX:
            raise ValueError(f"numbers {first} to {last}")
        if first > progress.received + 1:
            raise ValueError(f"number {first} after {progress.received}: send again from there")
        if last <= progress.received:
            return
        records: list[Record] = []
        if message is not None:
            now_ms = boottime_ms()
            for wire in message.records[progress.received + 1 - first :]:
                try:
                    records.append(checked_record(peer.source, peer.groups, wire, now_ms))
                except ValueError as error:
                    self._rejected[peer.source] = self._rejected.get(peer.source, 0) + 1
                    self._troubles.tell(peer.source, "records are rejected", str(error))
        progress.received = last
        self._outlet.put(Arrival(peer.source, progress.stream, last, tuple(records)))

    def _greet(self, peer: Peer, hello: Hello) -> None:
        if peer.source:
            raise ValueError("a second hello")
        groups = checked_hello(hello)
        name = hello.name
        if self._sources is not None and name not in self._sources:
            known = ", ".join(sorted(self._sources)) or "none"
            raise ValueError(
                f"source {name!r} is not configured (configured: {known}): "
                f"add [drivers.{name}] and restart the coordinator"
            )
        if not self._names(peer.uid, name):
            raise ValueError(f"user id {peer.uid} may not speak as {name!r}")
        progress = self._book.of(name, hello.stream)
        if (old := self._named.get(name)) is not None:
            self._replace(old, peer.pid)
        peer.source, peer.groups, peer.progress = name, groups, progress
        with self._lock:
            self._named[name] = peer
        about = {"brain_driver": name}
        text = "%s: %s %s connected, pid %d"
        log.info(text, name, hello.type, hello.version, peer.pid, extra=about)
        encoded = encode_groups(hello.groups)
        self._outlet.put(
            Joined(name, hello.type, hello.version, hello.stream, peer.pid, groups, encoded)
        )
        peer.queue(Welcome(progress.durable))
        peer.flush()

    def _replace(self, old: Peer, pid: int) -> None:
        """A successor is at the door: take what the old connection still holds, then end it."""
        source = old.source
        for _ in range(DRAIN_DATAGRAMS):
            if old.holding or not self._read_one(old):
                break
        if old in self._sockets.peers:
            self._refuse(old, f"replaced by pid {pid}, which speaks as {source!r} now")

    def _refuse(self, peer: Peer, reason: str) -> None:
        who = peer.source or f"a driver of user id {peer.uid}"
        self._troubles.tell(who, "refused", f"{reason} (pid {peer.pid})", news=reason)
        peer.queue(Refused(reason))
        peer.flush()
        self._close(peer, reason)

    def _close(self, peer: Peer, reason: str) -> None:
        self._sockets.remove(peer)
        if not peer.source:
            return
        with self._lock:
            if self._named.get(peer.source) is peer:
                del self._named[peer.source]
        log.info("%s: left: %s", peer.source, reason, extra={"brain_driver": peer.source})
        self._left(peer.source)
        self._outlet.put(Left(peer.source, reason))

    def _confirm(self) -> None:
        """Pass the newest marks down and send what waits."""
        with self._lock:
            marks, self._marks = self._marks, {}
            named = dict(self._named)
        for source, mark in marks.items():
            self._book.confirm(source, mark)
            peer = named.get(source)
            if peer is not None and peer.progress.stream == mark.stream:
                peer.confirm(mark.upto)
        for peer in named.values():
            if peer.waiting():
                peer.flush()
