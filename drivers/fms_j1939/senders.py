"""Whom to believe about a signal that several senders state: pure, time comes with the frames.

The best sender that gives a value is believed: first by preference, then the lowest address. Who is
believed does not change with each frame:

* a better sender takes over with its first value; once it has lost the signal, only after it has
  given values for `STEADY_MS` without a break;
* a worse one takes over when the believed one has been silent for the `silence_s` of its parameter
  group, or without a value for `HOLD_MS`, or never gave a value, or when the signal is missing;
* a fallback, which carries the signal in another parameter group, moreover waits until no preferred
  one has given a value for its own `silence_s`.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.sdk import Group
from drivers.fms_j1939.guards import Guard
from drivers.fms_j1939.pgn import Composer, Pgn
from drivers.fms_j1939.rereading import Rereading
from drivers.fms_j1939.spn import Reading
from drivers.fms_j1939.staleness import slow_limit_ms

HOLD_MS = 3_000
"""How long the believed sender may be without a value before a worse one takes over."""

STEADY_MS = 3_000
"""How long a sender that lost a signal must give values before it is believed again."""

NEVER_MS = -(1 << 62)


class Voice:
    """What one source address says in one parameter group, for one value of its multiplexer."""

    __slots__ = (
        "claims",
        "composer",
        "limit_ms",
        "multiplexer",
        "payload",
        "pgn",
        "readings",
        "rereading",
        "returned_ms",
        "sa",
        "seen_ms",
        "silence_ms",
        "silent",
        "stated_ms",
        "together",
        "whole",
    )

    def __init__(
        self, pgn: Pgn, sa: int, multiplexer: int = 0, composer: Composer | None = None
    ) -> None:
        self.pgn = pgn
        self.sa = sa
        self.multiplexer = multiplexer
        self.rereading = Rereading(pgn)
        self.silence_ms = int(pgn.silence_s * 1000)
        # How long it may be silent before its signals are missing; None: for ever.
        self.limit_ms: int | None = None
        # The voice for what all messages of this sender say together, and what composes it.
        self.together: Voice | None = None
        self.composer = composer
        # The SLCAN line or can_frame that `payload` came in.
        self.whole = b""
        self.payload = b""
        self.readings: Sequence[Reading] = ()
        self.claims: dict[str, Claim] = {}
        self.stated_ms = NEVER_MS
        self.seen_ms = NEVER_MS
        self.returned_ms = NEVER_MS
        self.silent = False

    def hear(self, at_ms: int) -> None:
        """It said something. After a silence its values have to become steady anew."""
        pause_ms = at_ms - self.seen_ms
        if pause_ms > self.silence_ms:
            for claim in self.claims.values():
                claim.since_ms = at_ms
        if self.silent or self.seen_ms == NEVER_MS:
            if self.seen_ms == self.returned_ms != NEVER_MS:
                # Nothing but one message between two silences: this is its own rhythm.
                self.allow(slow_limit_ms(pause_ms, self.pgn.period_ms))
            self.returned_ms = at_ms
            self.silent = False
        self.seen_ms = at_ms

    def allow(self, limit_ms: int | None) -> None:
        """Let it be silent for so long, or for longer if that was allowed before."""
        if limit_ms is not None:
            self.limit_ms = max(limit_ms, self.limit_ms or 0)

    def fall_silent(self) -> None:
        """It has not been heard for too long: its next frame counts, whatever it says."""
        self.silent = True
        self.stated_ms = NEVER_MS

    @property
    def followed(self) -> bool:
        """Whether any signal is believed from here."""
        return any(claim.belief.followed is claim for claim in self.claims.values())


class Claim:
    """One sender's claim to one signal. `since_ms`: how long it has had, or lacked, a value."""

    __slots__ = (
        "belief",
        "ever",
        "fallback",
        "first_ms",
        "guard",
        "has_value",
        "lost",
        "rank",
        "since_ms",
        "voice",
    )

    def __init__(
        self,
        belief: Belief,
        voice: Voice,
        rank: int,
        at_ms: int,
        *,
        fallback: bool = False,
        guard: Guard | None = None,
    ) -> None:
        self.belief = belief
        self.voice = voice
        # A fallback is worse than any sender of the signal's own parameter group.
        self.rank = rank + (1 << 16 if fallback else 0)
        self.fallback = fallback
        self.guard = guard
        self.has_value = False
        self.ever = False
        self.lost = False
        self.first_ms = self.since_ms = at_ms

    def turn(self, has_value: bool, at_ms: int) -> None:
        """It has a value from now on, or none."""
        self.has_value = has_value
        self.ever = self.ever or has_value
        self.since_ms = at_ms

    def alive(self, at_ms: int) -> bool:
        """Whether it gave a value lately."""
        voice = self.voice
        return self.has_value and not voice.silent and at_ms - voice.seen_ms <= voice.silence_ms


class Belief:
    """One signal: who claims it, and who of them is followed. `missing`: all of them are silent."""

    __slots__ = ("claims", "followed", "group", "guard", "missing", "path")

    def __init__(self, path: str, group: Group, guard: Guard | None = None) -> None:
        self.path = path
        self.group = group
        self.guard = guard
        self.claims: list[Claim] = []
        self.followed: Claim | None = None
        self.missing = False

    @property
    def silent(self) -> bool:
        """Whether all who ever claimed this signal are silent."""
        return all(claim.voice.silent for claim in self.claims)

    def follows(self, claim: Claim, at_ms: int) -> bool:
        """Whether `claim`, heard now, is the one to believe; follows it from now on if so."""
        followed = self.followed
        if followed is claim:
            return True
        if not self._yields(followed, claim, at_ms):
            return False
        if followed is not None:
            followed.lost = True
            if self.guard is not None and claim.has_value:
                self._hand_over(self.guard, followed, claim)
        claim.lost = False
        self.followed = claim
        return True

    @staticmethod
    def _hand_over(guard: Guard, followed: Claim, claim: Claim) -> None:
        """A worse sender has to go on where the better one stopped, not the other way round."""
        if claim.rank < followed.rank or not guard.settled:
            guard.restart()

    def _yields(self, followed: Claim | None, claim: Claim, at_ms: int) -> bool:
        if claim.fallback and not self._fallen_back(claim, at_ms):
            return False
        if followed is None:
            return True
        silent = self.missing or at_ms - followed.voice.seen_ms > followed.voice.silence_ms
        if not claim.has_value:
            return silent and not any(other.alive(at_ms) for other in self.claims)
        if silent or not followed.ever:
            return True
        if claim.rank < followed.rank:
            return not claim.lost or at_ms - claim.since_ms >= STEADY_MS
        return not followed.has_value and at_ms - followed.since_ms >= HOLD_MS

    def _fallen_back(self, claim: Claim, at_ms: int) -> bool:
        if at_ms - claim.first_ms <= claim.voice.silence_ms:
            return False
        return not any(other.alive(at_ms) for other in self.claims if not other.fallback)


def rank(sa: int, prefer: Sequence[int]) -> int:
    """The place of a source address: in the order of `prefer`, then by its number."""
    return prefer.index(sa) if sa in prefer else 256 + sa
