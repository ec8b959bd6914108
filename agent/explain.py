"""Who gives a signal, and why: the answer to `brain explain`, from what the loops leave behind."""

from __future__ import annotations

from collections.abc import Mapping

from agent.board import Board
from agent.clock import OffsetSource
from agent.config_problems import nearest
from agent.processors.arbitrate import Arbiter
from agent.processors.arbitrated import CLOCK_TOLD
from agent.processors.clock import KINDS, ClockSource, ClockTable
from agent.processors.contest import NOBODY, Candidate, Contest
from agent.signals import Catalogue

_RANK = {source: rank for rank, source in enumerate(OffsetSource)}


class Explainer:
    """Asks the arbiter, the clock, the board and the catalogue; waits for none of them."""

    def __init__(
        self, arbiter: Arbiter, clock: ClockTable, board: Board, catalogue: Catalogue
    ) -> None:
        self._arbiter = arbiter
        self._clock = clock
        self._board = board
        self._catalogue = catalogue

    def explain(self, asked: str, now_ms: int) -> dict[str, object]:
        """All about one signal, `asked` by its path or by what is arbitrated ("speed", "clock").

        `signal` is None where there is no such one, then `near` is the one that was probably meant.
        """
        contest = self._contest(asked)
        if contest is not None:
            return self._of_contest(contest, now_ms)
        if asked in ("clock", CLOCK_TOLD, *KINDS):
            return self._of_clock(asked, now_ms)
        sources = self._sources(asked, now_ms)
        if not sources:
            return {"signal": None, "asked": asked, "near": self._near(asked)}
        weighed = [c for c in self._contests() if any(asked in p for p in c.rule.order)]
        return {
            "signal": asked,
            "arbitrated": False,
            "sources": sources,
            "weighed_for": [contest.rule.path for contest in weighed],
        }

    def disagreements(self, now_ms: int) -> list[dict[str, object]]:
        """Who has long differed from the followed one, for the status."""
        found: list[dict[str, object]] = [
            {
                "signal": contest.rule.path,
                "followed": contest.followed.name,
                "other": other.name,
                "difference": round(other.difference, 3),
                "for_s": _seconds(now_ms, other.differs_since_ms),
            }
            for contest in self._contests()
            if contest.followed is not None
            for other in contest.disagreeing(now_ms)
        ]
        found += [
            {
                "signal": CLOCK_TOLD,
                "followed": self._clock.followed,
                "other": other.name,
                "difference": round(other.apart_ms / 1000, 3),
                "for_s": _seconds(now_ms, other.apart_since_ms),
            }
            for other in self._clock.apart(now_ms)
        ]
        return found

    def followed(self) -> dict[str, str]:
        """Who is followed for each arbitrated signal."""
        followed = {
            contest.rule.name: NOBODY if contest.followed is None else contest.followed.name
            for contest in self._contests()
        }
        return {**followed, "clock": self._clock.followed}

    def _contests(self) -> list[Contest]:
        return list(self._arbiter.contests.values())

    def _contest(self, asked: str) -> Contest | None:
        for contest in self._contests():
            if asked in (contest.rule.name, contest.rule.path, contest.rule.told):
                return contest
        return None

    def _of_contest(self, contest: Contest, now_ms: int) -> dict[str, object]:
        rule, followed = contest.rule, contest.followed
        candidates = sorted(list(contest.candidates.values()), key=lambda c: c.place)
        shown = [(one.place, self._candidate(contest, one, now_ms)) for one in candidates]
        heard = {one.rank for one in candidates}
        shown += [((n, ""), _unheard(p, n)) for n, p in enumerate(rule.order) if n not in heard]
        return {
            "signal": rule.path,
            "arbitrated": True,
            "followed": NOBODY if followed is None else followed.name,
            "reason": contest.reason,
            "changed_s": _seconds(now_ms, contest.changed_ms),
            "held": contest.held,
            "unit": self._unit(rule.path),
            "order": list(rule.order),
            "candidates": [about for _, about in sorted(shown, key=lambda pair: pair[0])],
            "sources": self._sources(rule.path, now_ms),
        }

    def _candidate(self, contest: Contest, one: Candidate, now_ms: int) -> dict[str, object]:
        verdict, text = _verdict(contest, one, now_ms)
        if one in contest.disagreeing(now_ms):
            for_s = _seconds(now_ms, one.differs_since_ms)
            text += f"; differs by {one.difference:.6g} for {for_s:.0f} s"
        return {
            "source": one.source,
            "path": one.path,
            "rank": one.rank + 1,
            "value": None if one.state is not None else one.value,
            "state": one.state,
            "age_s": _seconds(now_ms, one.at_ms),
            "verdict": verdict,
            "text": text,
        }

    def _of_clock(self, asked: str, now_ms: int) -> dict[str, object]:
        clock = self._clock
        current = clock.current
        known = sorted(list(clock.sources.values()), key=lambda s: (-_RANK[s.kind], s.rank))
        kind = OffsetSource.NONE if current is None else current.source
        return {
            "signal": "clock" if asked == CLOCK_TOLD else asked,
            "arbitrated": True,
            "followed": clock.followed,
            "reason": f"{kind.value} is the best kind of clock that this boot has seen",
            "changed_s": _seconds(now_ms, clock.changed_ms),
            "held": "",
            "unit": "ms",
            "order": [source.value for source in reversed(OffsetSource)],
            "candidates": [self._clock_source(one, now_ms) for one in known],
            "sources": self._sources(asked, now_ms),
        }

    def _clock_source(self, one: ClockSource, now_ms: int) -> dict[str, object]:
        verdict, text = _clock_verdict(self._clock, one)
        return {
            "source": one.source,
            "path": one.path,
            "rank": one.rank + 1,
            "value": None if one.offset_ms is None else one.at_ms + one.offset_ms,
            "state": None,
            "age_s": _seconds(now_ms, one.at_ms),
            "verdict": verdict,
            "text": text,
        }

    def _sources(self, path: str, now_ms: int) -> list[dict[str, object]]:
        """Who states a path: as declared, with the newest value or state."""
        newest = {
            source: (at_ms, value, state)
            for source, its_path, at_ms, value, state in self._board.latest()
            if its_path == path
        }
        declared = {
            source: (group, found[1])
            for source in self._catalogue.sources()
            if (found := self._catalogue.find(source, path)) is not None
            for group in (found[0].name,)
        }
        shown = []
        for source in sorted({*newest, *declared}):
            at_ms, value, state = newest.get(source, (None, None, None))
            about: Mapping[str, object] = {}
            if source in declared:
                group, signal = declared[source]
                about = {
                    "group": group,
                    "unit": signal.unit,
                    "meaning": signal.meaning,
                    "definition": signal.source,
                    "keep": signal.thinning.keep.value,
                    "interval_s": signal.thinning.interval_s,
                    "deadband": signal.thinning.deadband,
                }
            age_s = _seconds(now_ms, at_ms)
            shown.append(
                {"source": source, "value": value, "state": state, "age_s": age_s, **about}
            )
        return shown

    def _unit(self, path: str) -> str:
        units = (signal.unit for _, _, signal in self._catalogue if signal.path == path)
        return next(units, "")

    def _near(self, asked: str) -> str | None:
        """The path that was probably meant, None where none is near."""
        paths = list(dict.fromkeys(signal.path for _, _, signal in self._catalogue))
        if (near := nearest(asked, paths)) is not None:
            return near
        by_leaf = {path.rpartition(".")[2]: path for path in reversed(paths)}
        leaf = nearest(asked.rpartition(".")[2], by_leaf)
        return None if leaf is None else by_leaf[leaf]


def _unheard(pattern: str, position: int) -> dict[str, object]:
    """An entry of the order that nobody has filled yet."""
    source, _, path = pattern.partition(":")
    nothing = dict.fromkeys(("value", "state", "age_s"))
    about = {"source": source, "path": path, "rank": position + 1, **nothing}
    return {**about, "verdict": "unheard", "text": "never heard"}


def _verdict(contest: Contest, one: Candidate, now_ms: int) -> tuple[str, str]:
    """What the arbiter makes of a candidate: a word for programs, a text for people."""
    rule, followed = contest.rule, contest.followed
    stale = one.state is None and now_ms - one.at_ms > rule.fresh_s * 1000
    bad = one.state is not None or stale
    if one is followed and contest.held:
        return "held", f"followed; not believed: {contest.held}"
    if one is followed:
        if not bad:
            return "followed", "followed"
        return "failing", f"followed; {one.trouble(now_ms)}, waits for it {rule.fall_back_s:g} s"
    if bad:
        return (one.state.value if one.state is not None else "stale"), one.trouble(now_ms)
    if followed is None or one.place < followed.place:
        left_s = max(0.0, rule.take_over_s - one.good_s())
        return "waits", f"waits {left_s:.0f} s before it takes over"
    return "lower", "fresh but ranks lower"


def _clock_verdict(clock: ClockTable, one: ClockSource) -> tuple[str, str]:
    current = clock.current
    if one.offset_ms is None:
        return "implausible", "implausible: no date that can be"
    if one.name == clock.followed:
        return "followed", "followed"
    if current is not None and _RANK[current.source] > _RANK[one.kind]:
        off_s = (one.offset_ms - current.utc_offset_ms) / 1000
        return "lower", f"ranks below {current.source.value}; differs by {off_s:.1f} s"
    if one.suspected_ms is not None:
        return "waits", "waits to be confirmed"
    return "lower", "ranks lower"


def _seconds(now_ms: int, at_ms: int | None) -> float | None:
    """Seconds since, None where it never was."""
    return None if at_ms is None else round(max(0, now_ms - at_ms) / 1000, 3)
