"""States what several sources give as one signal, by the rules of the configuration. Pure.

Records pass as they are; what is decided comes behind them as a record of the agent itself. The
capture times of the records are the clock: `at` tells of time that passes while none come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from agent.processors.arbitrated import CLOCK_TOLD, DISAGREEMENT, HEADING, SPEED
from agent.processors.contest import NOBODY, Candidate, Contest, Rule
from agent.record import Kind, Record, Scalar, State

LOOK_MS = 250
"""How often time alone may change who is followed."""

_WEIGHED = (Kind.SAMPLE, Kind.STATUS)


class Arbiter:
    """All contests. `source` is the agent's own name; `clock` tells who gives UTC just now.

    A heading is a receiver's noise while the vehicle stands: `moving_kmh` of arbitrated speed must
    be reached before it is believed, below `standing_kmh` it is not any more. Where no speed is
    known, it is believed.
    """

    def __init__(
        self,
        source: str,
        rules: Iterable[Rule],
        *,
        moving_kmh: float,
        standing_kmh: float,
        clock: Callable[[], str] = lambda: NOBODY,
    ) -> None:
        self._source = source
        self._clock = clock
        self.contests: dict[str, Contest] = {}
        self._watched: dict[str, tuple[Contest, ...]] = {}
        self._paths: frozenset[str] = frozenset()
        self._now_ms = self._looked_ms = 0
        self._stated_ms: dict[str, int] = {}
        self._told: dict[str, str] = {CLOCK_TOLD: NOBODY, DISAGREEMENT: ""}
        self._moving: bool | None = None
        self._next: tuple[tuple[Rule, ...], float, float] | None = None
        self._moving_kmh, self._standing_kmh = moving_kmh, standing_kmh
        self._take(tuple(rules))

    def replace(self, rules: Iterable[Rule], moving_kmh: float, standing_kmh: float) -> None:
        """Go on by other rules from the next look on. From any thread."""
        self._next = (tuple(rules), moving_kmh, standing_kmh)

    def step(self, record: Record) -> Sequence[Record]:
        """The record, and behind it what it decides."""
        at_ms = record.boottime_ms
        states = record.states
        if self._paths.isdisjoint(record.values) and (not states or self._paths.isdisjoint(states)):
            if at_ms - self._looked_ms < LOOK_MS:
                return (record,)
            return (record, *self.at(at_ms))
        if record.source == self._source or record.kind not in _WEIGHED:
            return (record,)
        self._now_ms = max(self._now_ms, at_ms)
        heard: list[Candidate] = []
        for path, value in record.values.items():
            for contest in self._watched.get(path, ()):
                candidate = contest.hear(record.source, path, at_ms, value, self._now_ms)
                if candidate is not None:
                    heard.append(candidate)
        for path, state in states.items():
            for contest in self._watched.get(path, ()):
                contest.hear(record.source, path, at_ms, state, self._now_ms)
        return (record, *self._conclude(at_ms, heard))

    def at(self, now_ms: int) -> Sequence[Record]:
        """What the time alone decides, `now_ms` in boot time; nothing where it was just asked."""
        if now_ms - self._looked_ms < LOOK_MS:
            return ()
        self._now_ms = max(self._now_ms, now_ms)
        return self._conclude(self._now_ms, ())

    def _take(self, rules: Sequence[Rule]) -> None:
        for rule in rules:
            if (contest := self.contests.get(rule.name)) is None:
                self.contests[rule.name] = Contest(rule)
            else:
                contest.replace(rule, self._now_ms)
        watched: dict[str, tuple[Contest, ...]] = {}
        for contest in self.contests.values():
            for path in dict.fromkeys(p.partition(":")[2] for p in contest.rule.order):
                watched[path] = (*watched.get(path, ()), contest)
        self._watched, self._paths = watched, frozenset(watched)

    def _conclude(self, at_ms: int, heard: Sequence[Candidate]) -> Sequence[Record]:
        """Decide, and state what those among `heard` said at `at_ms` that are followed."""
        if self._next is not None:
            (rules, self._moving_kmh, self._standing_kmh), self._next = self._next, None
            self._take(rules)
        self._looked_ms = now_ms = self._now_ms
        values: dict[str, Scalar] = {}
        told: dict[str, Scalar] = {}
        states: dict[str, State] = {}
        for contest in self.contests.values():
            path = contest.rule.path
            if path == HEADING:
                contest.hold("" if self._moving is not False else "the vehicle stands", now_ms)
            if contest.decide(now_ms) and contest.followed is None:
                self._stated_ms[path], states[path] = now_ms, contest.state()
            followed = contest.followed
            name = NOBODY if followed is None else followed.name
            if followed is not None or contest.changed_ms is not None:
                self._tell(contest.rule.told, name, told)
            if followed in heard and not contest.held and at_ms > self._stated_ms.get(path, -1):
                assert followed is not None
                self._stated_ms[path], values[path] = at_ms, followed.value
            if path == SPEED:
                self._judge_motion(values.get(path), followed is None)
        self._tell(CLOCK_TOLD, self._clock(), told)
        self._tell(DISAGREEMENT, self._disagreement(now_ms), told)
        # A value is of its capture, which may come late; a decision is of the moment it was taken.
        if values and (told or states) and at_ms != now_ms:
            late = Record(self._source, at_ms, values)
            return (late, Record(self._source, now_ms, told, states))
        if not values and not told and not states:
            return ()
        return (Record(self._source, at_ms if values else now_ms, {**values, **told}, states),)

    def _tell(self, path: str, text: str, told: dict[str, Scalar]) -> None:
        if self._told.get(path) != text:
            self._told[path] = told[path] = text

    def _judge_motion(self, speed: Scalar | None, unknown: bool) -> None:
        if unknown:
            self._moving = None
        elif isinstance(speed, float | int):
            limit = self._standing_kmh if self._moving else self._moving_kmh
            self._moving = speed >= limit

    def _disagreement(self, now_ms: int) -> str:
        """Who contradicts whom, over all contests; empty where nobody does."""
        said = []
        for contest in self.contests.values():
            if contest.followed is not None and (others := contest.disagreeing(now_ms)):
                names = ", ".join(sorted(other.name for other in others))
                said.append(f"{contest.rule.name}: {names} against {contest.followed.name}")
        return "; ".join(said)
