"""Keeps what is worth keeping of each signal, by the rule that the signal declares.

Nothing is held back for later: a driver states unchanged input again within a second, so a value
that is thinned now comes again by itself. Pure: the capture times of the records decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.record import Kind, Record, Scalar, State
from agent.signals import Group, Keep, Thinning

_THINNED = (Kind.SAMPLE, Kind.STATUS)


class _Last:
    """What was kept last of a signal: a value or a state, and when it was captured."""

    __slots__ = ("at_ms", "what")

    def __init__(self, at_ms: int, what: Scalar | State) -> None:
        self.at_ms = at_ms
        self.what = what


class Thin:
    """Per source and path; a path that nobody declared passes."""

    def __init__(self) -> None:
        self._rules: dict[str, dict[str, Thinning]] = {}
        self._last: dict[str, dict[str, _Last]] = {}

    def declare(self, source: str, groups: Iterable[Group]) -> None:
        """Replace the rules of a source; what was kept last stays known."""
        self._rules[source] = {s.path: s.thinning for g in groups for s in g.signals}

    def step(self, record: Record) -> Sequence[Record]:
        """The record with what is kept of it; nothing where nothing is."""
        rules = self._rules.get(record.source)
        if rules is None or record.kind not in _THINNED:
            return (record,)
        last = self._last.setdefault(record.source, {})
        at_ms = record.boottime_ms
        values = {
            path: value
            for path, value in record.values.items()
            if _value_kept(rules.get(path), last.get(path), value, at_ms)
        }
        states = {
            path: state
            for path, state in record.states.items()
            if (before := last.get(path)) is None or before.what is not state
        }
        if not values and not states:
            return ()
        for path, value in values.items():
            last[path] = _Last(at_ms, value)
        for path, state in states.items():
            last[path] = _Last(at_ms, state)
        if len(values) == len(record.values) and len(states) == len(record.states):
            return (record,)
        return (Record(record.source, at_ms, values, states, record.kind, record.blob),)


def _value_kept(rule: Thinning | None, last: _Last | None, value: Scalar, at_ms: int) -> bool:
    if rule is None or rule.keep is Keep.EVERY or last is None or isinstance(last.what, State):
        return True
    if rule.keep is Keep.CHANGE:
        return not _same(last.what, value)
    elapsed_ms = at_ms - last.at_ms
    # Boot time that runs back means another boot's clock: it must not silence the signal.
    if 0 <= elapsed_ms < rule.interval_s * 1000:
        return False
    if isinstance(value, (str, bool)) or isinstance(last.what, (str, bool)):
        return not _same(last.what, value)
    return abs(value - last.what) > rule.deadband


def _same(a: Scalar, b: Scalar) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool)
