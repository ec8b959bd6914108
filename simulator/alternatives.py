"""What a second sender or a coarser message says: to be believed while the better one is not heard.

Pure; times are boot times in ms.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from itertools import pairwise

from simulator.delivered import Delivered
from simulator.emission import Scalar
from simulator.ledger import Ledger, Run

SETTLED_MS = 5_000
"""A reader that has heard the better sender for this long has no use for another one."""
PAUSE_MS = 3_000
"""Of a sender that is said to be heard; all that have an alternative speak within 2 s."""


class Others:
    """What other senders, or coarser messages, say of a signal."""

    def __init__(
        self, ledger: Ledger, source: str, signal: str, deaf: Iterable[tuple[int, int]]
    ) -> None:
        """`deaf`: spans of which nobody knows from when on the reader heard, if at all."""
        self._deaf = list(deaf)
        self._runs = ledger.alternatives.get((source, signal), [])
        self._settled: list[tuple[int, int]] = []
        if self._runs:
            better = ledger.runs.get((source, signal), [])
            openings = [*ledger.openings.get(source, []), *(end for _, end in self._deaf)]
            self._settled = _settled(better, openings)

    def believable(self, value: Delivered, slack_ms: int, tolerance: float) -> bool:
        """Whether they wrote it around its capture, and nobody better had been heard for long."""
        at_ms = value.at_ms
        settled = within(self._settled, at_ms) and not within(self._deaf, at_ms)
        return not settled and written(self._runs, value, slack_ms, tolerance)


def written(runs: list[Run], value: Delivered, slack_ms: int, tolerance: float) -> bool:
    """Whether it stood on the wire within `slack_ms` of its capture."""
    high = bisect.bisect_right(runs, value.at_ms + slack_ms, key=lambda run: run.first_ms)
    for run in reversed(runs[:high]):
        if run.last_ms < value.at_ms - slack_ms:
            return False
        if same(run.value, value.value, tolerance):
            return True
    return False


def _settled(runs: Iterable[Run], openings: Iterable[int]) -> list[tuple[int, int]]:
    """Spans in which one reader had heard a signal without a pause for SETTLED_MS.

    `openings`: when the port was opened, by a reader that knew nothing yet.
    """
    spans: list[tuple[int, int]] = []
    for run in runs:
        if not run.heard:
            continue
        if spans and run.first_ms - spans[-1][1] <= PAUSE_MS:
            spans[-1] = (spans[-1][0], run.last_ms)
        else:
            spans.append((run.first_ms, run.last_ms))
    settled: list[tuple[int, int]] = []
    for start_ms, end_ms in spans:
        news = sorted({start_ms, *(at for at in openings if start_ms < at <= end_ms)})
        for new_ms, until_ms in pairwise([*news, end_ms + 1]):
            if new_ms + SETTLED_MS < until_ms:
                settled.append((new_ms + SETTLED_MS, until_ms - 1))
    return settled


def same(a: Scalar, b: Scalar, tolerance: float) -> bool:
    """Whether two values are one: numbers within `tolerance`, at least 1e-9."""
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=max(1e-9, tolerance))


def within(spans: Iterable[tuple[int, int]], at_ms: int) -> bool:
    """Whether a moment lies in one of the spans, both ends included."""
    return any(start <= at_ms <= end for start, end in spans)
