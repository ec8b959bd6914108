"""The sockets of the door: the listener, all connections, and whom to listen to next."""

from __future__ import annotations

import selectors
import socket
import time

from agent.ingest_peer import Peer
from agent.protocol import MAX_DATAGRAM
from agent.waker import Waker

MAX_CONNECTIONS = 64
"""More wait in the backlog. Strangers leave after seconds, see the hello's deadline."""

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Sockets:
    """For one thread; only `waker` is for others."""

    def __init__(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self.peers: dict[Peer, None] = {}
        self.waker = Waker()
        self._listener = listener
        self._listening = False
        self._buffer = memoryview(bytearray(MAX_DATAGRAM))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.waker.fd, READ)

    def arrange(self, now: float, *, reading: bool) -> float | None:
        """Decide whom to listen to next: nobody brings anything while `reading` is false.

        Seconds until a connection that brought too much may go on, None where there is none.
        """
        self._listen(reading and len(self.peers) < MAX_CONNECTIONS)
        soonest_s: float | None = None
        for peer in self.peers:
            throttled_s = peer.bucket.wait_s(now)
            mask = WRITE if peer.waiting() else 0
            if throttled_s:
                soonest_s = min(soonest_s or throttled_s, throttled_s)
            elif reading and not peer.holding:
                mask |= READ
            self._watch(peer, mask)
        return soonest_s

    def wait(self, pause_s: float) -> list[tuple[Peer, int]]:
        """Who is ready for what within `pause_s`. New connections join `peers`."""
        ready = []
        for key, events in self._selector.select(pause_s):
            if key.fd == self.waker.fd:
                self.waker.clear()
            elif key.fileobj is self._listener:
                self._accept()
            else:
                ready.append((key.data, events))
        return ready

    def remove(self, peer: Peer) -> None:
        """Hang up."""
        del self.peers[peer]
        self._watch(peer, 0)
        peer.forget_descriptors()
        peer.sock.close()

    def close(self) -> None:
        """Hang up on all and stop listening."""
        for peer in list(self.peers):
            self.remove(peer)
        self._selector.close()
        self._listener.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # it hung up again, or descriptors are short: the next turn will see
        self.peers[Peer(sock, time.monotonic(), self._buffer)] = None

    def _listen(self, wanted: bool) -> None:
        if wanted and not self._listening:
            self._selector.register(self._listener, READ)
        elif self._listening and not wanted:
            self._selector.unregister(self._listener)
        self._listening = wanted

    def _watch(self, peer: Peer, mask: int) -> None:
        if mask == peer.mask:
            return
        if not peer.mask:
            self._selector.register(peer.sock, mask, peer)
        elif mask:
            self._selector.modify(peer.sock, mask, peer)
        else:
            self._selector.unregister(peer.sock)
        peer.mask = mask
