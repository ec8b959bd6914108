"""Did everything arrive, and nothing else: judges the cloud's ledger by the world's.

It never asks the agent. A *fact* is each heard fix, each heard change of an every-change signal,
and each interval of a sampled signal that was heard in its first half. `missing` counts facts that
are not met, `invented` delivered values that nobody wrote, or that came under two numbers. What
only a second sender or a coarser message said is invented too, unless the better one had not been
heard for a while. Trouble codes are judged in `dtc_oracle`.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Mapping

from simulator.alternatives import Others, same, within, written
from simulator.delivered import Delivered
from simulator.dtc_oracle import FaultEvent, judge_fault_events
from simulator.emission import Scalar
from simulator.expectation import Expectation
from simulator.ledger import LATITUDE, LONGITUDE, Ledger, Run
from simulator.pseudonyms import lifted
from simulator.signals import BY_SIGNAL
from simulator.verdict import Verdict

SLACK_MS = 1_000
"""A value may be captured this much before or after it was written."""
HEARD_ON_MS = 2_000
"""Within this a driver has stated again what thinning held back, and a commit has taken it."""


def judge(
    ledger: Ledger,
    delivered: Iterable[Delivered],
    zero_ms: int,
    *,
    events: Iterable[FaultEvent] | None = None,
    late_ms: int = 0,
) -> Verdict:
    """Judge a finished run. `zero_ms` is the boot time of world second 0, at speed 1.

    `events`: the delivered events of trouble codes, None: they are not judged. `late_ms`: how much
    later than elsewhere a value may be captured; for a slow machine.
    """
    slack_ms = SLACK_MS + late_ms
    verdict = Verdict()
    by_signal: dict[tuple[str, str], list[Delivered]] = {}
    for value in delivered:
        by_signal.setdefault((value.source, value.signal), []).append(value)
    for values in by_signal.values():
        values.sort(key=lambda v: v.at_ms)
    deaf = {source: ledger.deaf(source) for source in {key[0] for key in ledger.runs}}
    ended: dict[str, int] = {}
    for (source, _), runs in ledger.runs.items():
        ended[source] = max(ended.get(source, 0), *(run.last_ms for run in runs))
    _judge_fixes(ledger, by_signal, deaf, slack_ms, verdict)
    if events is not None:
        judge_fault_events(ledger, events, deaf, slack_ms, verdict)
    for (source, signal), raw in sorted(ledger.runs.items()):
        spec = BY_SIGNAL.get((source, signal))
        if spec is None:
            raise ValueError(f"{source} writes {signal}, which simulator/signals.py does not list")
        runs = list(_split(raw, deaf[source]))
        verdict.unheard += sum(1 for run in runs if not run.heard)
        values = by_signal.get((source, signal), [])
        if spec.pseudonym:
            values = by_signal[source, signal] = lifted(values, raw, slack_ms)
        if spec.keep == "change":
            _judge_changes(source, spec, runs, values, slack_ms, verdict)
        elif spec.keep == "sampled":
            others = Others(ledger, source, signal, deaf[source])
            judged = _intervals(spec, runs, zero_ms, ended[source])
            _judge_intervals(source, spec, runs, values, others, judged, zero_ms, late_ms, verdict)
    for (source, signal), values in sorted(by_signal.items()):
        if source in deaf:
            _judge_inventions(ledger, source, signal, values, deaf[source], slack_ms, verdict)
    return verdict


def _split(runs: Iterable[Run], deaf: list[tuple[int, int]]) -> Iterator[Run]:
    """The runs with what falls into deaf spans marked unheard."""
    for run in runs:
        if not run.heard:
            yield run
            continue
        at_ms = run.first_ms
        for start, end in deaf:
            if end < at_ms or start > run.last_ms:
                continue
            if start > at_ms:
                yield Run(at_ms, start - 1, run.value, True)
            yield Run(max(start, at_ms), min(end, run.last_ms), run.value, False)
            at_ms = end + 1
        if at_ms <= run.last_ms:
            yield Run(at_ms, run.last_ms, run.value, True)


def _judge_fixes(
    ledger: Ledger,
    by_signal: Mapping[tuple[str, str], list[Delivered]],
    deaf: Mapping[str, list[tuple[int, int]]],
    slack_ms: int,
    verdict: Verdict,
) -> None:
    """Each heard fix has a record of its own with just its position."""
    longitude_of = {v.seq: v.value for v in by_signal.get(("gnss", LONGITUDE), [])}
    free: dict[tuple[float, float], list[int]] = {}
    for value in by_signal.get(("gnss", LATITUDE), []):
        longitude = longitude_of.get(value.seq)
        if longitude is not None:
            key = (round(float(value.value), 7), round(float(longitude), 7))
            free.setdefault(key, []).append(value.at_ms)
    for fix in ledger.fixes:
        heard = fix.heard and not within(deaf.get("gnss", []), fix.at_ms)
        times = free.get((round(fix.latitude, 7), round(fix.longitude, 7)), [])
        match = next((t for t in times if abs(t - fix.at_ms) <= slack_ms), None)
        if match is not None:
            times.remove(match)
        if heard:
            verdict.fact("gnss", match is not None, f"gnss fix at {fix.at_ms} ms")
        else:
            verdict.unheard += 1


def _judge_changes(
    source: str,
    spec: Expectation,
    runs: list[Run],
    values: list[Delivered],
    slack_ms: int,
    verdict: Verdict,
) -> None:
    """Each value that replaced another in what was heard is delivered, captured in its time."""
    last: Scalar | None = None
    used = 0
    for i, run in enumerate(runs):
        if not run.heard or run.value == last:
            continue
        last = run.value
        # What was on the wire before it counted as heard may have been captured then.
        first_ms, last_ms = run.first_ms, run.last_ms
        for before in reversed(runs[:i]):
            if before.value != run.value:
                break
            first_ms = before.first_ms
        for after in runs[i + 1 :]:
            if after.value != run.value:
                break
            last_ms = after.last_ms
        while used < len(values) and values[used].at_ms < first_ms - slack_ms:
            used += 1
        match = next(
            (
                k
                for k in range(used, len(values))
                if values[k].at_ms <= last_ms + slack_ms
                and same(values[k].value, run.value, spec.tolerance)
            ),
            None,
        )
        if match is not None:
            used = match + 1
        verdict.fact(
            source, match is not None, f"{spec.path} became {run.value!r} at {run.first_ms} ms"
        )


def _intervals(spec: Expectation, runs: list[Run], zero_ms: int, ended_ms: int) -> list[int]:
    """Numbers of the intervals that are facts: heard in their first half, and on from there.

    What thinning held back comes again within a second: a reader that is killed before that, or
    whose wire ends, owes nothing yet. `ended_ms`: when the source wrote last.
    """
    interval_ms = round(spec.interval_s * 1000)
    unheard = [(run.first_ms, run.last_ms) for run in runs if not run.heard]
    found = set()
    for run in runs:
        if not run.heard:
            continue
        first = max(0, (run.first_ms - zero_ms) // interval_ms)
        for k in range(first, (run.last_ms - zero_ms) // interval_ms + 1):
            start_ms = zero_ms + k * interval_ms
            heard_ms = max(run.first_ms, start_ms)
            until_ms = min(start_ms + interval_ms, heard_ms + HEARD_ON_MS)
            if heard_ms >= start_ms + interval_ms // 2 or ended_ms < until_ms:
                continue
            after = bisect.bisect_left(unheard, (heard_ms, 0))
            if after == len(unheard) or unheard[after][0] >= until_ms:
                found.add(k)
    return sorted(found)


def _judge_intervals(
    source: str,
    spec: Expectation,
    runs: list[Run],
    values: list[Delivered],
    others: Others,
    judged: list[int],
    zero_ms: int,
    late_ms: int,
    verdict: Verdict,
) -> None:
    """In each interval the newest delivered value is one that stood there, or just before.

    One that another sender wrote there will do where it was to be believed.
    """
    interval_ms = round(spec.interval_s * 1000)
    tolerance = spec.deadband + 0.5 * spec.step + spec.tolerance + 1e-9
    times = [v.at_ms for v in values]
    begins = [run.first_ms for run in runs]
    for k in judged:
        start_ms, end_ms = zero_ms + k * interval_ms, zero_ms + (k + 1) * interval_ms
        newest = bisect.bisect_left(times, end_ms) - 1
        oldest_ms = start_ms - interval_ms - late_ms
        low = max(0, bisect.bisect_right(begins, oldest_ms) - 1)
        high = bisect.bisect_left(begins, end_ms)
        met = newest >= 0 and any(
            _near(values[newest].value, run.value, tolerance)
            for run in runs[low:high]
            if run.last_ms >= oldest_ms
        )
        if not met and newest >= 0 and values[newest].at_ms >= oldest_ms:
            met = others.believable(values[newest], SLACK_MS + late_ms, tolerance)
        shown = values[newest].value if newest >= 0 else None
        verdict.fact(
            source, met, f"{spec.path} in second {k * spec.interval_s:g}, newest {shown!r}"
        )


def _judge_inventions(
    ledger: Ledger,
    source: str,
    signal: str,
    values: list[Delivered],
    deaf: list[tuple[int, int]],
    slack_ms: int,
    verdict: Verdict,
) -> None:
    runs = ledger.runs.get((source, signal), [])
    others = Others(ledger, source, signal, deaf)
    spec = BY_SIGNAL.get((source, signal))
    tolerance = spec.tolerance if spec is not None else 0.0
    seen: dict[tuple[int, Scalar], tuple[str, int]] = {}
    for value in values:
        at = f"{signal} {value.value!r} at {value.at_ms} ms, number {value.seq[1]}"
        twin = seen.setdefault((value.at_ms, value.value), value.seq)
        if twin != value.seq:
            verdict.invent(source, f"{at}, also number {twin[1]}")
            continue
        if written(runs, value, slack_ms, tolerance):
            continue
        if not others.believable(value, slack_ms, tolerance):
            verdict.invent(source, at)


def _near(a: Scalar, b: Scalar, tolerance: float) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    return abs(a - b) <= tolerance
