"""Looks at a connection from below: does TCP get on, does the way to the broker begin here?"""

from __future__ import annotations

import socket

from agent.uplink import tcp

LOOK_S = 1.0
STALLED_S = 10.0
"""Bytes that nobody answered for this long: a cut after that came from silence, not from a peer."""


class Watch:
    """Watches one connected socket. All times are seconds of one monotonic clock."""

    def __init__(self, sock: socket.socket, now: float) -> None:
        self._sock = sock
        self._ends = tcp.ends(sock)
        self._looked_at = self._moved_at = now
        self._seen: tcp.Progress | None = None

    @property
    def peer(self) -> tuple[str, int] | None:
        """The far end's address and port, None where it was gone at once."""
        return self._ends[1] if self._ends is not None else None

    @property
    def acked_bytes(self) -> int | None:
        """Bytes of ours that the far end's TCP has; None where the kernel does not tell."""
        return self._seen.acked_bytes if self._seen is not None else None

    @property
    def rtt_s(self) -> float:
        """The shortest round trip so far, 0 where none is known."""
        return self._seen.rtt_s if self._seen is not None else 0.0

    def look(self, now: float) -> str | None:
        """Look once a second; why the connection is of no use any more, None where it may be."""
        if now - self._looked_at < LOOK_S:
            return None
        self._looked_at = now
        seen = tcp.progress(self._sock)
        if seen is not None:
            before = self._seen
            if before is None or (seen.acked_bytes, seen.received_bytes) != (
                before.acked_bytes,
                before.received_bytes,
            ):
                self._moved_at = now
            elif not seen.unacked:
                self._moved_at = now  # it has nothing to do
            self._seen = seen
        return self._moved_away()

    def stalled(self, now: float) -> bool:
        """Whether the far end owed an answer for long when it was last looked at."""
        owed = self._seen is not None and self._seen.unacked > 0
        return owed and now - self._moved_at >= STALLED_S

    def _moved_away(self) -> str | None:
        """The far end answers to an address that is not ours any more: only we can know that."""
        if self._ends is None:
            return None
        ours, peer = self._ends
        here = tcp.source_address(peer)
        # No way at all is no reason: it may come back as it was.
        if here is None or here == ours:
            return None
        return f"the address of this box is {here} now, it was {ours}"
