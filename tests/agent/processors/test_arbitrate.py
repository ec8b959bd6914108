"""Who is followed when: order, freshness, hysteresis, disagreement, time that runs unevenly."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.arbitration import rules
from agent.config_models import Arbitration
from agent.processors.arbitrate import Arbiter
from agent.processors.arbitrated import (
    ARBITRATED,
    CLOCK_TOLD,
    DISAGREEMENT,
    HEADING,
    HEADING_TOLD,
    ODOMETER,
    SPEED,
    SPEED_TOLD,
)
from agent.record import Kind, Record, Scalar, State
from agent.values import checked

WHEELS, TACHO, SKY = (
    ("fms", SPEED),
    ("fms", "Vehicle.Tachograph.Speed"),
    ("gnss", "Vehicle.Bus.Gnss.Speed"),
)
FMS, TCO, GNSS = (f"{source}:{path}" for source, path in (WHEELS, TACHO, SKY))
BAD, ERROR = State.NOT_AVAILABLE, State.ERROR


class Said(NamedTuple):
    """What one source says of one signal at one second."""

    at_s: float
    who: tuple[str, str]
    what: Scalar | State


def arbiter(section: Arbitration | None = None) -> Arbiter:
    section = section or Arbitration()
    heading = section.heading
    moving, standing = heading.moving_kmh, heading.standing_kmh
    return Arbiter("brain", rules(section), moving_kmh=moving, standing_kmh=standing)


def every_second(who: tuple[str, str], what: Scalar | State, first: int, last: int) -> list[Said]:
    return [Said(at_s, who, what) for at_s in range(first, last + 1)]


def run(said: list[Said], one: Arbiter | None = None) -> list[Record]:
    """All that the agent states by itself when this is said, by capture time."""
    one = one or arbiter()
    stated: list[Record] = []
    for at_s, (source, path), what in sorted(said, key=lambda s: s.at_s):
        at_ms = round(at_s * 1000)
        values = {} if isinstance(what, State) else {path: what}
        states = {path: what} if isinstance(what, State) else {}
        record = Record(source, at_ms, values, states)
        passed, *derived = one.step(record)
        assert passed is record
        stated += derived
    assert all(record.source == "brain" for record in stated)
    return stated


def told(stated: list[Record], path: str = SPEED_TOLD) -> list[tuple[float, Scalar]]:
    """When the followed one changed, and to whom."""
    return [(r.boottime_ms / 1000, r.values[path]) for r in stated if path in r.values]


def states(stated: list[Record], path: str = SPEED) -> list[tuple[float, State]]:
    return [(r.boottime_ms / 1000, r.states[path]) for r in stated if path in r.states]


@pytest.mark.parametrize(
    ("said", "want"),
    [
        # nobody; one; the better of two that begin together
        ([], []),
        (every_second(SKY, 50.0, 0, 3), [(0, GNSS)]),
        (every_second(SKY, 50.0, 0, 20) + every_second(WHEELS, 51.0, 0, 20), [(0, GNSS), (0, FMS)]),
        (every_second(SKY, 50.0, 0, 20) + every_second(WHEELS, 51.0, 1, 20), [(0, GNSS), (1, FMS)]),
        # a better one that comes later has to be good for 5 s
        (every_second(SKY, 50.0, 0, 20) + every_second(WHEELS, 51.0, 2, 20), [(0, GNSS), (7, FMS)]),
        # a better one that is good for too short a time changes nothing
        (every_second(SKY, 50.0, 0, 20) + every_second(WHEELS, 51.0, 3, 7), [(0, GNSS)]),
        (
            every_second(SKY, 50.0, 0, 30)
            + every_second(WHEELS, 51.0, 3, 7)
            + every_second(WHEELS, ERROR, 8, 8)
            + every_second(WHEELS, 51.0, 9, 30),
            [(0, GNSS), (14, FMS)],
        ),
        # bad for less than 2 s is waited for, then the next takes over
        (
            [
                *every_second(WHEELS, 51.0, 0, 9),
                Said(9.5, WHEELS, BAD),
                Said(11, WHEELS, 51.0),
                *every_second(SKY, 50.0, 0, 12),
            ],
            [(0, FMS)],
        ),
        (
            every_second(WHEELS, 51.0, 0, 9)
            + every_second(WHEELS, BAD, 10, 13)
            + every_second(SKY, 50.0, 0, 13),
            [(0, FMS), (12, GNSS)],
        ),
        # silence: fresh for 3 s, bad for 2 s more
        (
            every_second(WHEELS, 51.0, 0, 9) + every_second(SKY, 50.0, 0, 20),
            [(0, FMS), (14, GNSS)],
        ),
        # implausible is no value; the tachograph is nearer than the sky
        (
            every_second(WHEELS, State.IMPLAUSIBLE, 0, 9)
            + every_second(TACHO, 50.0, 0, 9)
            + every_second(SKY, 50.0, 0, 9),
            [(0, TCO)],
        ),
        # what is no number is not weighed
        (every_second(WHEELS, "fast", 0, 9) + every_second(SKY, True, 0, 9), []),
        # somebody else's signal of the same name counts as well, the agent's own never
        (every_second(("obd", SPEED), 51.0, 0, 3), [(0, f"obd:{SPEED}")]),
        (every_second(("brain", SPEED), 51.0, 0, 3), []),
    ],
)
def test_who_is_followed(said: list[Said], want: list[tuple[float, str]]) -> None:
    # Time passes by other records, too.
    end = max((round(one.at_s) for one in said), default=0)
    clockwork = [Said(at, ("other", "Vehicle.Other"), 1) for at in range(end + 1)]
    assert told(run(said + clockwork)) == want


def test_where_nobody_is_left_it_says_so_and_why() -> None:
    clockwork = [Said(at / 2, ("other", "Vehicle.Other"), 1) for at in range(100)]
    stated = run(every_second(WHEELS, 51.0, 0, 9) + clockwork)
    assert told(stated) == [(0, FMS), (14, "none")]
    assert states(stated) == [(14, State.MISSING)]
    stated = run(every_second(WHEELS, ERROR, 0, 9))
    assert told(stated) == [(2, "none")]
    assert states(stated) == [(2, ERROR)]


def test_time_passes_without_records_too() -> None:
    one = arbiter()
    run(every_second(WHEELS, 51.0, 0, 9), one)
    assert one.at(13_000) == ()
    (record,) = one.at(14_000)
    assert (record.values[SPEED_TOLD], record.states) == ("none", {SPEED: State.MISSING})
    assert one.at(20_000) == ()
    # whoever comes back first is followed at once
    assert told(run([Said(21, SKY, 3.0)], one)) == [(21, GNSS)]


def test_values_are_the_followed_ones_at_their_capture_times() -> None:
    said = every_second(WHEELS, 51.0, 0, 4) + [Said(at + 0.5, SKY, 50.0) for at in range(5)]
    stated = [r for r in run(said) if SPEED in r.values]
    assert [(r.boottime_ms, r.values[SPEED]) for r in stated] == [
        (s * 1000, 51.0) for s in range(5)
    ]


def test_what_arrives_late_neither_runs_back_nor_is_held_against_anybody() -> None:
    """Two drivers hand over what they kept while the coordinator was away, one after the other."""
    one = arbiter()
    stated: list[Record] = []
    sky = every_second(SKY, 50.0, 0, 30)
    wheels = [Said(at / 10, WHEELS, 51.0) for at in range(400)]
    for at_s, (source, path), what in [*sky, *wheels]:
        assert not isinstance(what, State)
        stated += one.step(Record(source, round(at_s * 1000), {path: what}))[1:]
    times = [r.boottime_ms for r in stated if SPEED in r.values]
    assert times == sorted(set(times))
    assert told(stated)[0] == (0, GNSS)
    assert told(stated)[-1][1] == FMS
    assert len(told(stated)) == 2


def test_a_backlog_is_no_reason_to_say_that_nobody_is_there() -> None:
    """After a restart of the coordinator: rings hold the past, the present follows it."""
    one = arbiter()
    assert one.at(100_000) == ()
    late = [r for at in range(60, 97) for r in run([Said(at, WHEELS, 51.0)], one)]
    assert late == []
    assert told(run([Said(99.9, WHEELS, 51.0)], one)) == [(100, FMS)]


def test_a_late_record_of_a_source_changes_nothing() -> None:
    one = arbiter()
    assert len(run([Said(5, WHEELS, 51.0)], one)) == 1
    assert run([Said(4.9, WHEELS, 10.0)], one) == []
    assert one.contests["speed"].candidates[WHEELS].value == 51.0


def test_a_disagreement_is_noted_after_a_while_and_taken_back() -> None:
    wheels = every_second(WHEELS, 51.0, 0, 60)
    sky = every_second(SKY, 62.0, 0, 20) + every_second(SKY, 51.0, 21, 60)
    stated = run(wheels + sky)
    assert told(stated, DISAGREEMENT) == [
        (10, f"speed: {GNSS} against {FMS}"),
        (21, ""),
    ]
    assert told(stated) == [(0, FMS)], "nobody changes sides for it"


HEADINGS = ("gnss", HEADING)


def test_a_heading_is_believed_while_moving_only() -> None:
    speeds = [0.0, 4.0, 6.0, 4.0, 2.9, 4.9, 5.0]
    said = [Said(at, SKY, kmh) for at, kmh in enumerate(speeds)]
    said += [Said(at + 0.1, HEADINGS, 90.0 + at) for at in range(len(speeds))]
    stated = run(said)
    assert [r.values[HEADING] for r in stated if HEADING in r.values] == [92.0, 93.0, 96.0]
    assert told(stated, HEADING_TOLD) == [(0.1, f"gnss:{HEADING}")]


def test_a_receiver_that_states_no_heading_at_a_stop_is_not_blamed() -> None:
    moving = [Said(at, SKY, 30.0) for at in range(10)]
    moving += [Said(at, HEADINGS, 90.0) for at in range(10)]
    standing = [Said(at, SKY, 0.0) for at in range(10, 100)]
    again = [Said(at, SKY, 30.0) for at in range(100, 110)]
    again += [Said(at, HEADINGS, 180.0) for at in range(102, 110)]
    stated = run(moving + standing + again)
    assert states(stated, HEADING) == []
    assert len(told(stated, HEADING_TOLD)) == 1
    assert [r.values[HEADING] for r in stated if HEADING in r.values][-1] == 180.0


def test_without_any_speed_a_heading_is_believed() -> None:
    stated = run(every_second(HEADINGS, 90.0, 0, 3))
    assert [r.values[HEADING] for r in stated if HEADING in r.values] == [90.0] * 4


def test_headings_are_on_a_circle() -> None:
    other = ("compass", HEADING)
    said = every_second(HEADINGS, 359.0, 0, 30) + every_second(other, 2.0, 0, 30)
    assert told(run(said), DISAGREEMENT) == []


def test_the_configured_order_decides() -> None:
    section = Arbitration.model_validate(
        {"speed": {"order": [GNSS, "*:Vehicle.Speed"], "take_over_s": 0.0}}
    )
    said = [*every_second(WHEELS, 51.0, 0, 9), Said(5.5, SKY, 50.0)]
    said += every_second(("front", "Vehicle.Bus.Gnss.Speed"), 49.0, 0, 9)
    stated = run(said, arbiter(section))
    assert told(stated) == [(0, FMS), (5.5, GNSS)]


def test_another_order_applies_without_a_restart() -> None:
    one = arbiter()
    run(every_second(WHEELS, 51.0, 0, 9) + every_second(SKY, 50.0, 0, 9), one)
    section = Arbitration.model_validate({"speed": {"order": [GNSS]}})
    one.replace(rules(section), 5, 3)
    stated = run(every_second(WHEELS, 51.0, 10, 19) + every_second(SKY, 50.0, 10, 19), one)
    assert told(stated) == [(10, GNSS)]
    assert one.contests["speed"].reason == f"{FMS} is weighed no more"


def test_who_gives_utc_is_told_once() -> None:
    clocks = iter(["system:rtc", "system:rtc", "gnss:Vehicle.Bus.Utc", "gnss:Vehicle.Bus.Utc"])
    one = Arbiter("brain", (), moving_kmh=5, standing_kmh=3, clock=lambda: next(clocks))
    said = every_second(("gnss", "Vehicle.Bus.Utc"), 1, 1, 4)
    assert told(run(said, one), CLOCK_TOLD) == [(1, "system:rtc"), (3, "gnss:Vehicle.Bus.Utc")]


def test_events_are_not_weighed() -> None:
    event = Record("fms", 1000, {SPEED: 51.0}, kind=Kind.EVENT)
    assert arbiter().step(event) == (event,)


_values = st.one_of(
    st.floats(0, 200), st.sampled_from(list(State)), st.text(max_size=3), st.booleans()
)
_whos = st.sampled_from(
    [WHEELS, TACHO, SKY, ("fms", ODOMETER), ("gnss", HEADING), ("x", "Vehicle.X")]
)


@given(st.lists(st.tuples(st.integers(0, 90_000), _whos, _values), max_size=200))
def test_whatever_comes_only_declared_values_that_somebody_said_are_stated(
    said: list[tuple[int, tuple[str, str], Scalar | State]],
) -> None:
    one = arbiter()
    newest: dict[str, int] = {}
    spoken: set[tuple[int, Scalar]] = set()
    for at_ms, (source, path), what in said:
        values = {} if isinstance(what, State) else {path: what}
        record = Record(source, at_ms, values, {path: what} if isinstance(what, State) else {})
        spoken |= {(at_ms, value) for value in values.values()}
        _, *derived = one.step(record)
        for stated in derived:
            assert not stated.values.keys() & stated.states.keys()
            for stated_path, value in stated.values.items():
                signal = ARBITRATED.signals[ARBITRATED.index[stated_path]]
                checked(signal.datatype, value)
                if stated_path in (SPEED, ODOMETER, HEADING):
                    assert (stated.boottime_ms, value) in spoken
                    assert stated.boottime_ms > newest.get(stated_path, -1)
                    newest[stated_path] = stated.boottime_ms
            for stated_path in stated.states:
                assert stated_path in ARBITRATED.index
