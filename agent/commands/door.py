"""Where commands arrive: looked at only as far as costs nothing, then a short queue.

A broker may send a million messages a second, of any size, on any topic. What the door turns away
costs a comparison and a count.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable

from agent.commands.refusal import Why
from agent.commands.token import MAX_BYTES

WAITING = 16
RATE_HZ = 2.0
BURST = 20.0
"""Messages that are looked at: checking a signature takes about a millisecond."""


class Bucket:
    """So many at once, so many a second in the long run. `clock`: monotonic seconds."""

    def __init__(
        self, burst: float, rate_hz: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst, self._rate_hz, self._clock = burst, rate_hz, clock
        self._level, self._at = burst, clock()

    def take(self) -> bool:
        """Take one; False where none is left."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate_hz)
        self._at = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True


class Door:
    """`knock` is for the network's thread and never blocks; `refused` counts by reason."""

    def __init__(self, topic: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.topic = topic
        self.refused: Counter[Why] = Counter()
        self._lock = threading.Lock()
        self._bucket = Bucket(BURST, RATE_HZ, clock)
        self._waiting: queue.Queue[bytes] = queue.Queue(WAITING)

    def knock(self, topic: str, payload: bytes, retained: bool) -> None:
        """A message that came on a topic of commands; `payload` may be cut at MAX_BYTES + 1."""
        if topic != self.topic:
            self.count(Why.WRONG_TOPIC)
        elif retained:
            # A broker would give it again at each connection, for ever.
            self.count(Why.RETAINED)
        elif len(payload) > MAX_BYTES:
            self.count(Why.TOO_LARGE)
        elif not self._bucket.take():
            self.count(Why.FLOOD)
        else:
            try:
                self._waiting.put_nowait(payload)
            except queue.Full:
                self.count(Why.FLOOD)

    def count(self, why: Why) -> None:
        """Note a refusal. From any thread."""
        with self._lock:
            self.refused[why] += 1

    def counts(self) -> dict[str, int]:
        """The refusals by their words."""
        with self._lock:
            return {why.value: n for why, n in sorted(self.refused.items())}

    def take(self) -> bytes | None:
        """The next message, None where none waits."""
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            return None
