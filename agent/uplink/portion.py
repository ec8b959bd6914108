"""How much at once: the size of a message that the link carries in a few seconds. Pure.

On 384 kbit/s a message of 96 KiB takes 2 s, on 4 kbit/s three minutes: an alarm would wait behind
it, and a tunnel would make it begin anew each time. So what messages took decides how large the
next ones are.
"""

from __future__ import annotations

FIRST_BYTES = 4 * 1024
"""Nothing is known of the link yet; a quick one shows with five messages that it takes 96 KiB."""
LEAST_BYTES = 2 * 1024
"""Below that the names in each message cost more than the patience is worth."""
LARGEST_BYTES = 256 * 1024
QUICK_S, SLOW_S = 2.0, 5.0
"""A message that the broker has within 2 s may be followed by a larger one, one that took more
than 5 s by one that would have taken 5 s."""


class Portion:
    """`nbytes` is what a message may have; a single record may have more."""

    def __init__(self) -> None:
        self.nbytes = FIRST_BYTES

    def confirmed(self, nbytes: int, took_s: float) -> None:
        """The broker has a message of `nbytes`, `took_s` after it was handed to TCP."""
        if took_s > SLOW_S:
            self.nbytes = max(LEAST_BYTES, min(self.nbytes, int(nbytes * SLOW_S / took_s)))
        elif took_s <= QUICK_S and nbytes >= self.nbytes // 2:
            self.nbytes = min(LARGEST_BYTES, self.nbytes * 2)

    def lost(self, nbytes: int) -> None:
        """The connection went while the broker owed its confirmation for `nbytes`."""
        if nbytes >= self.nbytes // 2:
            self.nbytes = max(LEAST_BYTES, self.nbytes // 2)
