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
QUICK_S, SLOW_S = 1.0, 2.0
"""What the broker has within 1 s may be followed by larger messages; where it took more than 2 s
a message has what passes in 1 s. Two may be under way at once: an alarm waits 2 s behind them."""


class Portion:
    """`nbytes` is what a message may have; a single record may have more."""

    def __init__(self) -> None:
        self.nbytes = FIRST_BYTES

    def confirmed(self, carried: int, took_s: float) -> None:
        """The broker has a message, and so all that was under way when it was sent.

        `carried`: bytes of both. `took_s`: without the round trip, which tells nothing about what
        the link carries.
        """
        if took_s > SLOW_S:
            self.nbytes = max(LEAST_BYTES, min(self.nbytes, int(carried / took_s)))
        elif took_s <= QUICK_S and carried >= self.nbytes // 2:
            self.nbytes = min(LARGEST_BYTES, self.nbytes * 2)

    def lost(self, nbytes: int) -> None:
        """The connection went while the broker owed its confirmation for `nbytes`."""
        if nbytes >= self.nbytes // 2:
            self.nbytes = max(LEAST_BYTES, self.nbytes // 2)
