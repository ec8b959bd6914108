"""How fast: token buckets for what is sent, pauses between attempts to connect, segments. Pure."""

from __future__ import annotations

from collections.abc import Callable

ONE_REFUSAL_S = 3.0
"""What is refused within this was under way together: the rate is halved once for it."""
SLOWEST = 256.0
"""A refused rate is halved at most so often that this part of it is left."""
STABLE_S = 60.0
MIN_PAUSE_S = 1.0
MAX_PAUSE_S = 60.0
ANSWERED_PAUSE_S = 360.0
"""The longest pause where something answers at the broker's address and no session comes of it. The
way there is fine, so when the broker comes back a whole fleet has been waiting for it and must not
come at once. Where nothing answers, it may be a tunnel, and whoever leaves it is alone."""
FIRST_CAP_S = 2.0
TAKEOVER_PAUSE_S = 10.0
TAKEOVER_CAP_S = 600.0
BARE_CUTS = 5
MAX_SHORT = 5
"""So many connections that held for less than 60 s are no accident any more."""


class TokenBucket:
    """Lets `per_s` pass on average and one second's worth at once. A debt is paid off first.

    `slower` halves the rate, for a broker that says that it is too much; `faster`, for each message
    that it took, lets it come back little by little.
    """

    def __init__(self, per_s: float) -> None:
        self._full = self._per_s = per_s
        self._tokens = per_s
        self._at: float | None = None
        self._slowed_at: float | None = None

    def level(self, now: float) -> float:
        """What may pass now; `now` in seconds of any clock that never goes back."""
        if self._at is not None:
            earned = max(0.0, now - self._at) * self._per_s
            self._tokens = min(max(1.0, self._per_s), self._tokens + earned)
        self._at = now
        return self._tokens

    def slower(self, now: float) -> None:
        """Half as much from now on, and nothing at once. Refusals that come together are one."""
        self._tokens = min(0.0, self.level(now))
        if self._slowed_at is not None and now - self._slowed_at < ONE_REFUSAL_S:
            return
        self._slowed_at = now
        self._per_s = max(self._full / SLOWEST, self._per_s / 2)

    def faster(self) -> None:
        """A twentieth more, up to the whole rate."""
        self._per_s = min(self._full, self._per_s * 1.05)

    def take(self, now: float, amount: float) -> None:
        """Count what passed."""
        self.level(now)
        self._tokens -= amount

    def wait_s(self, now: float, amount: float) -> float:
        """Seconds until `amount` may pass."""
        return max(0.0, (amount - self.level(now)) / self._per_s)


class Reconnect:
    """When to try the broker again: jitter from 1 s to half the trouble's age.

    At most 60 s, or 6 minutes where something answers there.

    Trouble begins with the first failure and ends when a connection has held for 60 s or has proved
    useful: an ack came through it. Then the next failure begins with short pauses again. Usefulness
    no longer counts after a few short-lived connections in a row. A second client that takes the
    session over makes the pauses long at once: both would go on taking it from each other.
    """

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform = uniform
        self._since: float | None = None
        self._connected_at: float | None = None
        self._useful = self._probing = False
        self._short = 0
        self._takeovers = 0

    def connected(self, now: float) -> None:
        """A connection stands."""
        self._connected_at = now
        self._useful = False

    @property
    def was_useful(self) -> bool:
        """Whether the far end answered through the present connection, or the last one."""
        return self._useful

    def useful(self) -> None:
        """The far end answered through it."""
        self._useful = True

    def probing(self) -> None:
        """A message was sent that may well cost the connection: then that is no trouble of its."""
        self._probing = True

    def pause_s(self, now: float, *, taken_over: bool = False, answered: bool = False) -> float:
        """A connection broke or an attempt failed: seconds to wait before the next.

        `answered`: by something at the broker's address, be it by a refusal.
        """
        if self._connected_at is not None:
            if now - self._connected_at >= STABLE_S:
                self._since = None
                self._short = self._takeovers = 0
            elif self._probing:
                self._since = None
            elif self._short < MAX_SHORT:
                self._short += 1
                if self._useful:
                    self._since = None
        self._connected_at, self._probing = None, False
        if self._since is None:
            self._since = now
        if taken_over:
            cap = min(TAKEOVER_CAP_S, TAKEOVER_PAUSE_S * 2 ** min(self._takeovers, 10))
            self._takeovers += 1
            return self._uniform(cap / 2, cap)
        longest = ANSWERED_PAUSE_S if answered else MAX_PAUSE_S
        cap = min(longest, max(FIRST_CAP_S, (now - self._since) / 2))
        return self._uniform(MIN_PAUSE_S, cap)


class Takeovers:
    """Tells a second client of our name from accidents, where the broker gives no reason.

    A broker of MQTT 3.1.1 just closes the connection, and so does mosquitto 2.0 with MQTT 5. Five
    in a row that were cut within a minute though nothing was asked of the broker are no accident,
    and no message's fault.
    """

    def __init__(self) -> None:
        self._bare = 0

    def cut(self, *, held_s: float, by_peer: bool, owed: int) -> bool:
        """A connection was cut without a reason; whether a second client is to be suspected."""
        if held_s >= STABLE_S:
            self._bare = 0
        elif by_peer and not owed:
            self._bare += 1
        return self._bare >= BARE_CUTS

    def refused(self) -> None:
        """There was no connection: a broker that goes up and down, not one that serves another."""
        self._bare = 0


SEGMENTS: tuple[int | None, ...] = (None, 1_100, 500)
"""Bytes in a TCP segment: the kernel's choice, then what passes tunnels and any IPv4 at all."""
NARROW_S = 3_600.0


class Segments:
    """Smaller segments where large ones vanish without a word: an MTU black hole.

    There small packets pass and large ones do not, so connecting works and sending stalls. In a
    tunnel nothing passes. So a stalled connection makes the next attempt use smaller segments, and
    they stay, for an hour, if that attempt succeeds; if it fails it was a tunnel.
    """

    def __init__(self) -> None:
        self._level = self._proven = 0
        self._since = 0.0

    def limit(self, now: float) -> int | None:
        """For the next connection; None for the kernel's choice."""
        if self._proven and now - self._since >= NARROW_S:
            self._level = self._proven = 0
        return SEGMENTS[self._level]

    def stalled(self, *, useful: bool) -> None:
        """A connection died because nothing that it sent was answered.

        `useful`: acks had come through it. With small segments that speaks for a tunnel.
        """
        if not (self._proven and useful):
            self._level = min(self._proven + 1, len(SEGMENTS) - 1)

    def failed(self) -> None:
        """An attempt failed."""
        self._level = self._proven

    def connected(self, now: float) -> None:
        """An attempt succeeded."""
        if self._level != self._proven:
            self._proven, self._since = self._level, now
