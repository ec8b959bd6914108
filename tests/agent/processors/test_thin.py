"""What `thin` keeps: by rule, by state, by the capture times of the records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processors.thin import Thin
from agent.record import Kind, Record, Scalar, State
from agent.signals import CHANGE, EVERY, Datatype, Group, Signal, Thinning, sampled

Item = Scalar | State
NA, ERROR = State.NOT_AVAILABLE, State.ERROR


def thin_with(**rules: Thinning) -> Thin:
    signals = tuple(
        Signal(path, Datatype.FLOAT, "", "meaning", thinning) for path, thinning in rules.items()
    )
    thin = Thin()
    thin.declare("fms", [Group("group", signals)])
    return thin


def told(at_ms: int, kind: Kind = Kind.SAMPLE, /, **items: Item) -> Record:
    states = {path: item for path, item in items.items() if isinstance(item, State)}
    values = {path: item for path, item in items.items() if not isinstance(item, State)}
    return Record("fms", at_ms, values, states, kind)


def kept(rule: Thinning, stream: list[tuple[int, Item]]) -> list[tuple[int, Item]]:
    """What is kept of one signal."""
    thin = thin_with(A=rule)
    found: list[tuple[int, Item]] = []
    for at_ms, item in stream:
        for record in thin.step(told(at_ms, A=item)):
            assert record.boottime_ms == at_ms
            found += [(at_ms, x) for x in (*record.values.values(), *record.states.values())]
    return found


@pytest.mark.parametrize(
    ("rule", "stream", "lost"),
    [
        (EVERY, [(0, 1.0), (0, 1.0), (1, 1.0), (2, 2.0)], []),
        # change
        (CHANGE, [(0, 1.0), (20, 1.0), (40, 2.0), (60, 2.0), (80, 1.0)], [20, 60]),
        (CHANGE, [(0, "N"), (10, "D"), (20, "D"), (30, "N")], [20]),
        (CHANGE, [(0, True), (10, True), (20, False), (30, False)], [10, 30]),
        (CHANGE, [(0, 1), (10, True), (20, 1.0)], []),
        (CHANGE, [(0, 1), (10, 1.0)], [10]),
        (CHANGE, [(100, 1.0), (50, 1.0), (60, 2.0)], [50]),
        # sampled: the interval first ...
        (sampled(1), [(0, 1.0), (999, 2.0), (1000, 3.0), (1999, 4.0), (2000, 5.0)], [999, 1999]),
        (sampled(0.5), [(0, 1.0), (499, 2.0), (500, 3.0)], [499]),
        # ... counted from the last kept one, then the deadband, which must be passed
        (sampled(1, 0.5), [(0, 1.0), (1000, 1.5), (1020, 1.6), (1040, 9.0)], [1000, 1040]),
        (sampled(1, 0.5), [(0, 1.0), (1000, 0.4), (1500, -5.0)], [1500]),
        (sampled(1, 0.5), [(0, 1.0), (1000, 1.2), (2000, 1.4), (3000, 1.6)], [1000, 2000]),
        (sampled(1), [(0, 1.0), (1000, 1.0), (5000, 1.0), (5020, 1.01)], [1000, 5000]),
        # strings and booleans: differs at all
        (sampled(1, 5), [(0, "a"), (500, "b"), (1000, "b"), (2000, "b")], [500, 2000]),
        (sampled(1, 5), [(0, False), (500, True), (1000, True), (2000, True)], [500, 2000]),
        (sampled(1, 5), [(0, 1), (1000, True), (2000, 1)], []),
        # a clock that runs back silences nothing
        (sampled(10), [(9_000_000, 1.0), (100, 2.0), (200, 3.0), (10_100, 4.0)], [200]),
        (sampled(10, 1), [(9_000_000, 1.0), (100, 1.5), (200, 3.0), (300, 9.0)], [100, 300]),
    ],
)
def test_values(rule: Thinning, stream: list[tuple[int, Item]], lost: list[int]) -> None:
    assert kept(rule, stream) == [item for item in stream if item[0] not in lost]


@pytest.mark.parametrize("rule", [EVERY, CHANGE, sampled(10, 5)])
def test_states_are_kept_at_once_and_only_where_they_change(rule: Thinning) -> None:
    stream: list[tuple[int, Item]] = [
        (0, 1.0),
        (1, NA),
        (2, NA),
        (3, ERROR),
        (4, 1.0),
        (5, NA),
    ]
    assert kept(rule, stream) == [item for item in stream if item[0] != 2]


@pytest.mark.parametrize("rule", [EVERY, CHANGE, sampled(10, 5)])
def test_first_of_all_is_kept(rule: Thinning) -> None:
    assert kept(rule, [(5, NA)]) == [(5, NA)]
    assert kept(rule, [(5, 0.0)]) == [(5, 0.0)]
    assert kept(rule, [(5, False)]) == [(5, False)]


def test_text_that_reads_like_a_state_is_a_value() -> None:
    stream: list[tuple[int, Item]] = [(0, "missing"), (1, State.MISSING), (2, "missing")]
    assert kept(CHANGE, stream) == stream


def test_record_shrinks_to_what_is_kept() -> None:
    thin = thin_with(A=CHANGE, B=EVERY, C=CHANGE)
    first = told(0, A=1.0, B=1.0, C=NA)
    assert thin.step(first) == (first,)
    assert thin.step(told(10, A=1.0, B=1.0, C=NA)) == (told(10, B=1.0),)
    assert thin.step(told(20, A=2.0, B=3.0, C=1.0)) == (told(20, A=2.0, B=3.0, C=1.0),)
    assert thin.step(told(30, A=2.0, C=1.0)) == ()


@pytest.mark.parametrize("kind", [Kind.EVENT, Kind.REPLY, Kind.SEGMENT, Kind.FILE])
def test_other_kinds_pass_untouched_and_are_not_remembered(kind: Kind) -> None:
    thin = thin_with(A=CHANGE)
    for at_ms in (0, 1, 2):
        record = told(at_ms, kind, A=1.0)
        assert thin.step(record) == (record,)
    assert thin.step(told(3, A=1.0)) == (told(3, A=1.0),)


def test_status_is_thinned() -> None:
    thin = thin_with(A=CHANGE)
    assert thin.step(told(0, Kind.STATUS, A=1.0))
    assert thin.step(told(1, Kind.STATUS, A=1.0)) == ()
    (record,) = thin.step(told(2, Kind.STATUS, A=2.0))
    assert record.kind is Kind.STATUS


def test_unknown_paths_and_sources_pass() -> None:
    thin = thin_with(A=CHANGE)
    for at_ms in (0, 1):
        assert thin.step(told(at_ms, X=1.0)) == (told(at_ms, X=1.0),)
        stranger = Record("other", at_ms, {"A": 1.0})
        assert thin.step(stranger) == (stranger,)


def test_a_driver_that_joins_again_does_not_repeat() -> None:
    thin = thin_with(A=CHANGE)
    thin.step(told(0, A=1.0))
    signal = Signal("A", Datatype.FLOAT, "", "meaning", CHANGE)
    thin.declare("fms", [Group("group", (signal,))])
    assert thin.step(told(1, A=1.0)) == ()
    thin.declare("fms", [])
    assert thin.step(told(2, A=1.0)) == (told(2, A=1.0),)


VALUES = st.floats(-1e6, 1e6)


@given(
    st.lists(st.tuples(st.integers(0, 400), VALUES), min_size=1),
    st.integers(0, 1000),
    VALUES.map(abs),
)
def test_sampled_never_stays_silent_beyond_its_bounds(
    steps: list[tuple[int, float]], interval_ms: int, deadband: float
) -> None:
    """Of any stream: what is not kept lies within the interval or the deadband of a kept one."""
    stream: list[tuple[int, Item]] = []
    at_ms = 0
    for step_ms, value in steps:
        at_ms += step_ms
        stream.append((at_ms, value))
    thin = thin_with(A=sampled(interval_ms / 1000, deadband))
    last: tuple[int, float] | None = None
    for at, value in stream:
        assert not isinstance(value, str)
        records = thin.step(told(at, A=value))
        if records:
            assert records == (told(at, A=value),)
            if last is not None:
                assert at - last[0] >= interval_ms and abs(value - last[1]) > deadband
            last = (at, value)
        else:
            assert last is not None
            assert at - last[0] < interval_ms or abs(value - last[1]) <= deadband
