"""What leaves the ingest: the queue to the pipeline, and what it had no room for."""

from __future__ import annotations

import queue
from collections import deque

from agent.ingest_messages import Inbound


class Outlet:
    """Used by the ingest's thread. While something is `held`, no more may be read."""

    def __init__(self, out: queue.Queue[Inbound]) -> None:
        self._out = out
        self.held: deque[Inbound] = deque()

    def put(self, item: Inbound) -> None:
        """Pass an item on, in order, now or later."""
        self.held.append(item)
        self.pass_on()

    def pass_on(self) -> None:
        """Give the pipeline what it takes."""
        while self.held:
            try:
                self._out.put_nowait(self.held[0])
            except queue.Full:
                return
            self.held.popleft()
