"""Which of several sources is followed for one signal: order, freshness, hysteresis. Pure.

A *candidate* is a path of a source. It is good while its newest value is fresh and no state has
taken that value's place. The followed one stays followed until a better-ranked one has been good
for a while, or until it has itself been bad for a while: neither a blip nor a gap changes sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.record import Scalar, State

NOBODY = "none"
"""What is followed where no candidate is good."""

_AGREES_AGAIN = 0.8
"""A difference must fall below this share of the bound before it counts as settled."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one signal is decided; all times are seconds of boot time.

    `path` is what the followed value is stated as, `told` where the name of the followed one is.
    `order` lists candidates best first as "SOURCE:PATH", SOURCE may be "*". A value is fresh for
    `fresh_s`. Values further apart than `differ` (in the signal's unit; on a circle of 360 where
    `circular`) for `differ_s` are noted as a disagreement.
    """

    name: str
    path: str
    told: str
    order: tuple[str, ...]
    fresh_s: float
    take_over_s: float
    fall_back_s: float
    differ: float
    differ_s: float
    circular: bool = False

    def rank(self, source: str, path: str) -> int | None:
        """Position of a candidate in `order`, from 0; None where it is not weighed."""
        return rank_in(self.order, source, path)


def rank_in(order: tuple[str, ...], source: str, path: str) -> int | None:
    """Position of `source:path` among patterns whose source may be "*"; None where it is not."""
    for position, pattern in enumerate(order):
        wanted, _, its_path = pattern.partition(":")
        if its_path == path and wanted in ("*", source):
            return position
    return None


@dataclass(slots=True, eq=False)
class Candidate:
    """What is known of one source of a signal. Times are boot time in ms.

    `good_since_ms` is None while it is bad, then `bad_since_ms` tells since when.
    """

    source: str
    path: str
    rank: int
    at_ms: int = 0
    value: float = 0.0
    state: State | None = None
    good_since_ms: int | None = None
    bad_since_ms: int = 0
    differs_since_ms: int | None = None
    difference: float = 0.0

    @property
    def name(self) -> str:
        """As `order` writes it."""
        return f"{self.source}:{self.path}"

    @property
    def place(self) -> tuple[int, str]:
        """Sorts better ones first; sources of one wildcard by name."""
        return self.rank, self.source

    def good_s(self) -> float:
        """How long it has been seen to be good, in seconds; 0 while it is bad."""
        since_ms = self.good_since_ms
        return 0.0 if since_ms is None else (self.at_ms - since_ms) / 1000

    def trouble(self, now_ms: int) -> str:
        """Why it is bad, in words."""
        if self.state is not None:
            return self.state.value.replace("_", " ")
        return f"stale: {(now_ms - self.at_ms) / 1000:.1f} s"


@dataclass(slots=True, eq=False)
class Contest:
    """One signal: `candidates` by (source, path), who is followed, since when and why."""

    rule: Rule
    candidates: dict[tuple[str, str], Candidate] = field(default_factory=dict)
    followed: Candidate | None = None
    changed_ms: int | None = None
    reason: str = "nothing heard yet"
    began_ms: int | None = None
    """When the first of them was heard."""
    held: str = ""
    """Why nothing is decided or stated just now, empty where it is."""

    def hear(
        self, source: str, path: str, at_ms: int, what: Scalar | State, now_ms: int
    ) -> Candidate | None:
        """Note a value or a state captured at `at_ms`; None where it is not weighed or too old.

        `now_ms` is the newest time known. What comes after something newer of its source is late.
        """
        if isinstance(what, str | bool) and not isinstance(what, State):
            return None
        candidate = self.candidates.get((source, path))
        if candidate is None:
            rank = self.rule.rank(source, path)
            if rank is None:
                return None
            candidate = Candidate(source, path, rank, at_ms, bad_since_ms=at_ms)
            self.candidates[source, path] = candidate
            if self.began_ms is None:
                self.began_ms = now_ms
        if at_ms < candidate.at_ms:
            return None
        if isinstance(what, State):
            if candidate.state is None or candidate.good_since_ms is not None:
                candidate.good_since_ms, candidate.bad_since_ms = None, at_ms
            candidate.at_ms, candidate.state = at_ms, what
        else:
            self._expire(candidate, at_ms)
            candidate.at_ms, candidate.value, candidate.state = at_ms, what, None
            if candidate.good_since_ms is None and self._fresh(candidate, now_ms):
                candidate.good_since_ms = at_ms
        return candidate

    def decide(self, now_ms: int) -> bool:
        """Look at everybody as of `now_ms`; True where another one is followed now, or nobody."""
        for candidate in self.candidates.values():
            self._expire(candidate, now_ms)
        followed = self.followed
        if self.held and followed is not None:
            return False
        self._compare(now_ms)
        rule = self.rule
        good = sorted(self._good(), key=lambda c: c.place)
        best = good[0] if good else None
        if followed is None:
            if best is not None:
                return self._follow(best, now_ms, "the first that is good")
            return self._give_up(now_ms)
        if best is not None and best.place < followed.place and self._settling(now_ms):
            return self._follow(best, now_ms, "ranks higher, among the first that were heard")
        for better in good:
            if better.place < followed.place and better.good_s() >= rule.take_over_s:
                why = f"ranks higher, good for {better.good_s():.1f} s"
                return self._follow(better, now_ms, why)
        if followed.good_since_ms is not None:
            return False
        bad_s = (now_ms - followed.bad_since_ms) / 1000
        if bad_s < rule.fall_back_s:
            return False
        why = f"{followed.name} is weighed no more"
        if followed in self.candidates.values():
            why = f"{followed.name} {followed.trouble(now_ms)}, bad for {bad_s:.1f} s"
        return self._follow(best, now_ms, why)

    def hold(self, why: str, now_ms: int) -> None:
        """Decide nothing and state nothing while `why` is not empty.

        Afterwards nobody is blamed for its silence meanwhile.
        """
        if self.held and not why:
            for candidate in self.candidates.values():
                candidate.bad_since_ms = max(candidate.bad_since_ms, now_ms)
        elif why and not self.held:
            for candidate in self.candidates.values():
                candidate.differs_since_ms = None
        self.held = why

    def replace(self, rule: Rule, now_ms: int) -> None:
        """Go on by another rule; who is not in its order is forgotten."""
        self.rule = rule
        for key, candidate in list(self.candidates.items()):
            rank = rule.rank(*key)
            if rank is None:
                del self.candidates[key]
            else:
                candidate.rank = rank
        followed = self.followed
        if followed is not None and (followed.source, followed.path) not in self.candidates:
            followed.good_since_ms = None
            followed.bad_since_ms = now_ms - round(rule.fall_back_s * 1000)

    def state(self) -> State:
        """Why the signal has no value: what the best-ranked candidate says, else `missing`."""
        ranked = sorted(self.candidates.values(), key=lambda c: c.place)
        said = next((c.state for c in ranked if c.state is not None), None)
        return State.MISSING if said is None else said

    def disagreeing(self, now_ms: int) -> list[Candidate]:
        """Good ones that have differed from the followed one for too long."""
        limit_ms = self.rule.differ_s * 1000
        return [
            candidate
            for candidate in list(self.candidates.values())
            if candidate.differs_since_ms is not None
            and now_ms - candidate.differs_since_ms >= limit_ms
        ]

    def _good(self) -> Iterator[Candidate]:
        return (c for c in self.candidates.values() if c.good_since_ms is not None)

    def _fresh(self, candidate: Candidate, now_ms: int) -> bool:
        return now_ms - candidate.at_ms <= self.rule.fresh_s * 1000

    def _expire(self, candidate: Candidate, now_ms: int) -> None:
        if candidate.good_since_ms is not None and not self._fresh(candidate, now_ms):
            candidate.good_since_ms = None
            candidate.bad_since_ms = candidate.at_ms + round(self.rule.fresh_s * 1000)

    def _settling(self, now_ms: int) -> bool:
        """Whether it is too early to speak of anybody who was followed before."""
        return self.began_ms is not None and now_ms - self.began_ms < self.rule.fall_back_s * 1000

    def _give_up(self, now_ms: int) -> bool:
        """Nobody was ever good: say so once somebody had the time to be."""
        if self.began_ms is None or self.changed_ms is not None or self._settling(now_ms):
            return False
        return self._follow(None, now_ms, "none has been good yet")

    def _follow(self, candidate: Candidate | None, now_ms: int, why: str) -> bool:
        self.followed, self.changed_ms, self.reason = candidate, now_ms, why
        for other in self.candidates.values():
            other.differs_since_ms = None
        return True

    def _compare(self, now_ms: int) -> None:
        """Keep the time since which each good candidate differs from the followed one."""
        followed, rule = self.followed, self.rule
        judged = followed is not None and followed.good_since_ms is not None
        for candidate in self.candidates.values():
            if not judged or candidate is followed or candidate.good_since_ms is None:
                candidate.differs_since_ms = None
                continue
            assert followed is not None
            difference = abs(candidate.value - followed.value)
            if rule.circular:
                difference = min(difference % 360, 360 - difference % 360)
            candidate.difference = difference
            if difference > rule.differ:
                if candidate.differs_since_ms is None:
                    candidate.differs_since_ms = now_ms
            elif difference < rule.differ * _AGREES_AGAIN:
                candidate.differs_since_ms = None
