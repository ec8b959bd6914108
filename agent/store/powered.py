"""Powered-on time: how long the computer has run, added up over its boots, whatever its clock says.

The state row keeps a few marks of it: at that hour, rows began with that key. They say which rows
are older than a limit, a little late where few marks have to cover a long one.
"""

from __future__ import annotations

from agent.store.limits import HOUR_MS
from agent.store.state import Powered, State

MARKS = 48
"""How many are kept at most; then every second one goes, and new ones come half as often."""


def elapse(powered: Powered, boot: str, boottime_ms: int) -> None:
    """The computer has run until `boottime_ms` of `boot`; boot time also counts while it slept."""
    if not boot:
        return
    since_ms = powered.boottime_ms if boot == powered.boot else 0
    powered.total_ms += max(0, boottime_ms - since_ms)
    powered.boot, powered.boottime_ms = boot, boottime_ms


def mark(state: State, next_key: int, hours: int) -> None:
    """Remember that rows from `next_key` on are not older than now; `hours`: the longest limit."""
    powered = state.powered
    step_ms = max(powered.step_ms, hours * HOUR_MS // MARKS)
    if powered.marks and powered.total_ms < powered.marks[-1][0] + step_ms:
        return
    powered.marks.append((powered.total_ms, next_key))
    if len(powered.marks) > MARKS:
        oldest = powered.total_ms - hours * HOUR_MS
        while len(powered.marks) > 1 and powered.marks[1][0] <= oldest:
            del powered.marks[0]
    if len(powered.marks) > MARKS:
        powered.marks = powered.marks[::2]
        powered.step_ms = 2 * max(step_ms, 1)


def older(powered: Powered, hours: int) -> int:
    """The key below which all rows are older than `hours`; 0 where none is known to be."""
    oldest_ms = powered.total_ms - hours * HOUR_MS
    return max((key for at_ms, key in powered.marks if at_ms <= oldest_ms), default=0)
