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
PORTION_S = 0.7
"""A message has what passes in this. Two may be under way at once: an alarm waits 1.4 s behind
them, and has 2 s and a round trip for all of its way."""
QUICK_S = PORTION_S / 2
"""What took less says little of the link, which may be much quicker: it is told by doubling."""
SMALL = 8
"""A message of an eighth of a portion passes at once: what it takes is the round trip."""


class Portion:
    """`nbytes` is what a message may have; a single record may have more."""

    def __init__(self) -> None:
        self.nbytes = FIRST_BYTES
        self._confirmed_at = float("-inf")
        self._small_s = float("inf")

    def confirmed(
        self, nbytes: int, sent_at: float, now: float, *, ahead: int = 0, rtt_s: float = 0.0
    ) -> None:
        """The broker has a message of `nbytes`. Times are seconds of one monotonic clock.

        `ahead`: bytes under way before it when it was sent; some had passed by then. `rtt_s`: the
        round trip of TCP, which tells nothing about what the link carries. Where a proxy of the
        operator answers for TCP, the quickest small message tells the whole way.
        """
        if nbytes <= self.nbytes // SMALL:
            self._small_s = min(self._small_s, now - sent_at)
        if self._small_s < float("inf"):
            rtt_s = max(rtt_s, self._small_s)
        alone_s = now - max(sent_at + rtt_s, self._confirmed_at)
        # Confirmations may come in a bunch: then all that was under way tells more.
        share_s = (now - sent_at - rtt_s) * nbytes / max(1, nbytes + ahead)
        self._confirmed_at = now
        self._took(nbytes, max(alone_s, share_s))

    def _took(self, nbytes: int, took_s: float) -> None:
        telling = nbytes >= self.nbytes // 2
        slow = took_s > 2 * PORTION_S and nbytes >= LEAST_BYTES // 2
        if took_s > QUICK_S and (telling or slow):
            passes = int(nbytes / took_s * PORTION_S)
            most = 2 * self.nbytes if telling else self.nbytes
            self.nbytes = min(LARGEST_BYTES, max(LEAST_BYTES, min(most, passes)))
        elif took_s <= QUICK_S and telling:
            self.nbytes = min(LARGEST_BYTES, self.nbytes * 2)

    def lost(self, nbytes: int) -> None:
        """The connection went while the broker owed its confirmation for `nbytes`."""
        self._small_s = float("inf")
        if nbytes >= self.nbytes // 2:
            self.nbytes = max(LEAST_BYTES, self.nbytes // 2)
