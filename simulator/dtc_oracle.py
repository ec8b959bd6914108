"""Did every trouble code that came and went on the bus arrive, once, and none that did not?

An *episode* is the time in which a control unit's DM1s name a trouble code. Facts are the
appearance of each episode that was heard for long enough, and its end, where that was heard too. A
reader that was restarted within an episode knows nothing of it and may state its appearance again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from simulator.emission import Scalar
from simulator.ledger import FaultReport, Ledger
from simulator.verdict import Verdict

DTC = "Vehicle.Bus.Dtc"
APPEARED, CHANGED, GONE = "appeared", "changed", "gone"

SURE_MS = 3_000
"""Heard for less, an episode may be taken for a flicker."""
LATE_MS = 8_000
"""A reader may take this long to be sure, and a silent control unit is waited for."""
SILENCE_MS = 3_000
"""A pause of a control unit's DM1 after which a reader may believe its faults gone."""

Code = tuple[int, int, int]
"""Source address, suspect parameter number, failure mode."""


class FaultEvent(NamedTuple):
    """One delivered event."""

    seq: tuple[str, int]
    source: str
    at_ms: int
    what: str
    code: Code
    oc: int | None
    cm: int | None

    @classmethod
    def of(cls, seq: tuple[str, int], source: str, at_ms: int, said: Mapping[str, Scalar]) -> Self:
        """From the values of a record; what it lacks counts as -1, which no bus says."""

        def number(name: str) -> int:
            return int(said.get(f"Vehicle.Bus.DtcDetail.{name}", -1))

        oc = number("Oc")
        code = (number("Sa"), number("Spn"), number("Fmi"))
        return cls(seq, source, at_ms, str(said[DTC]), code, None if oc < 0 else oc, number("Cm"))


@dataclass
class _Episode:
    """One code from first to last DM1 that names it, boot time in ms.

    `sure_ms`, `ended_ms`: when DM1s with it, and after it without it, had been heard for SURE_MS;
    None: they were not. `doubtful`: it follows a pause that may have ended nothing.
    """

    first_ms: int
    last_ms: int
    details: set[tuple[int | None, int]] = field(default_factory=set)
    sure_ms: int | None = None
    ended_ms: int | None = None
    doubtful: bool = False


def judge_fault_events(
    ledger: Ledger,
    events: Iterable[FaultEvent],
    deaf: Mapping[str, list[tuple[int, int]]],
    slack_ms: int,
    verdict: Verdict,
) -> None:
    """Enter what is missing and invented among the events of trouble codes."""
    came: dict[tuple[str, Code], list[FaultEvent]] = {}
    for event in events:
        came.setdefault((event.source, event.code), []).append(event)
    sources = {report.source for report in ledger.fault_reports}
    for source in sorted(sources):
        reports = [report for report in ledger.fault_reports if report.source == source]
        known = {(r.sa, dtc.spn, dtc.fmi) for r in reports for dtc in r.dtcs}
        for code in sorted(known):
            mine = came.pop((source, code), [])
            own = [report for report in reports if report.sa == code[0]]
            episodes = list(_episodes(own, code, deaf.get(source, []), ledger.openings[source]))
            openings = ledger.openings[source]
            _judge(source, code, episodes, mine, openings, slack_ms, verdict)
    for (source, code), left in came.items():
        if source in sources:
            for event in left:
                verdict.invent(source, f"{DTC} {event.what} {code}, number {event.seq[1]}")


def _episodes(
    reports: list[FaultReport], code: Code, deaf: list[tuple[int, int]], openings: list[int]
) -> Iterator[_Episode]:
    """Episodes of one code, from all reports of its control unit in order."""
    episode: _Episode | None = None
    over: _Episode | None = None
    present_ms = absent_ms = None  # heard without interruption since
    before_ms = -1_000_000_000
    for report in reports:
        at_ms, pause_ms = report.at_ms, report.at_ms - before_ms
        restarted = any(before_ms < at <= at_ms for at in openings)
        heard = report.heard and not any(start <= at_ms <= end for start, end in deaf)
        details = {(d.oc, d.cm) for d in report.dtcs if (d.spn, d.fmi) == code[1:]}
        # After a short pause a reader may hold that the fault never went.
        doubtful = episode is not None and SILENCE_MS < pause_ms < LATE_MS
        if pause_ms > SILENCE_MS or restarted or not heard:
            present_ms = absent_ms = over = None
        if episode is not None and (pause_ms > SILENCE_MS or not details):
            yield episode
            over = episode if heard and not details and pause_ms <= SILENCE_MS else None
            episode = None
        if details:
            absent_ms = over = None
            episode = episode or _Episode(at_ms, at_ms, doubtful=doubtful)
            episode.last_ms = at_ms
            episode.details |= details
            if restarted:
                episode.sure_ms = None
            if heard:
                present_ms = present_ms or at_ms
                if episode.sure_ms is None and at_ms - present_ms >= SURE_MS:
                    episode.sure_ms = at_ms
        else:
            present_ms = None
            if over is not None:
                absent_ms = absent_ms or at_ms
                if over.sure_ms is not None and at_ms - absent_ms >= SURE_MS:
                    over.ended_ms, over = at_ms, None
        before_ms = at_ms
    if episode is not None:
        yield episode


def _judge(
    source: str,
    code: Code,
    episodes: list[_Episode],
    events: list[FaultEvent],
    openings: list[int],
    slack_ms: int,
    verdict: Verdict,
) -> None:
    left = list(events)
    for episode in episodes:
        first_ms, last_ms = episode.first_ms - slack_ms, episode.last_ms + slack_ms
        within = [
            e for e in left if first_ms <= e.at_ms <= last_ms and e.what in (APPEARED, CHANGED)
        ]
        for event in within:
            left.remove(event)
            if (event.oc, event.cm) not in episode.details:
                text = f"{DTC} {event.what} {code} with oc {event.oc}, cm {event.cm}"
                verdict.invent(source, f"{text}, number {event.seq[1]}")
        appeared = [e for e in within if e.what == APPEARED]
        restarts = sum(episode.first_ms < at <= episode.last_ms for at in openings)
        if episode.sure_ms is not None and not episode.doubtful:
            verdict.fact(source, bool(appeared), f"{DTC} {code} appeared at {episode.first_ms} ms")
        for event in appeared[1 + restarts :]:
            verdict.invent(source, f"{DTC} {code} appeared again, number {event.seq[1]}")
    for i, episode in enumerate(episodes):
        following = episodes[i + 1].first_ms if i + 1 < len(episodes) else episode.last_ms + 10**9
        until_ms = min(following, episode.last_ms + LATE_MS) + slack_ms
        gone = [
            e for e in left if e.what == GONE and episode.last_ms - slack_ms <= e.at_ms <= until_ms
        ]
        if episode.ended_ms is not None:
            verdict.fact(source, bool(gone), f"{DTC} {code} gone after {episode.last_ms} ms")
        for event in gone[:1]:
            left.remove(event)
    for event in left:
        verdict.invent(source, f"{DTC} {event.what} {code}, number {event.seq[1]}")
