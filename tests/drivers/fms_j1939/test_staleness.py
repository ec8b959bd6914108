"""When a signal is missing, and that it never is through the reader's own fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sdk import State
from drivers.fms_j1939.beliefs import Statement
from drivers.fms_j1939.driver import FmsConfig, FmsJ1939
from drivers.fms_j1939.receiver import Receiver
from drivers.fms_j1939.staleness import limit_ms
from drivers.fms_j1939.table import PGNS

SPEED = "Vehicle.Speed"
EEC1 = b"T0CF004008FFFFFF6813FFFFFF"
CCVS1 = b"T18FEF1008F30032CFFF0000FF"
ET1 = b"T18FEEE00882FFFFFFFFFFFFFF"
LD = b"T18FE400085555FFFFFFFFFFFF"
RPM = "Vehicle.Powertrain.CombustionEngine.Speed"
COOLANT = "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature"


def paths(said: Iterable[Statement], state: State = State.MISSING) -> set[str]:
    assert not [s for s in said if s.values]
    return {path for s in said for path, what in s.states.items() if what is state}


@pytest.mark.parametrize(
    ("period_ms", "want"),
    [(0, None), (20, 500), (50, 500), (100, 500), (101, 505), (1000, 5000), (10_000, 50_000)],
)
def test_the_limit_is_5_periods_and_half_a_second_at_least(
    period_ms: int, want: int | None
) -> None:
    assert limit_ms(period_ms) == want


def looks(receiver: Receiver, since_ms: int, until_ms: int) -> dict[int, set[str]]:
    """Look every 100 ms; when something is missing, and what."""
    told = {}
    for now_ms in range(since_ms, until_ms, 100):
        found = paths(receiver.missing(now_ms))
        if found:
            told[now_ms] = found
    return told


@pytest.mark.parametrize(
    ("line", "path", "at_ms"), [(EEC1, RPM, 600), (CCVS1, SPEED, 600), (ET1, COOLANT, 5100)]
)
def test_a_signal_is_missing_once_after_its_limit(line: bytes, path: str, at_ms: int) -> None:
    receiver = Receiver()
    receiver.lines([line], 0)
    assert receiver.missing(0) == []
    told = looks(receiver, 100, 60_000)
    assert list(told) == [at_ms]
    assert path in told[at_ms]


@pytest.mark.parametrize("line", [EEC1, CCVS1, ET1])
def test_the_first_frame_after_is_an_edge_though_it_says_the_same(line: bytes) -> None:
    receiver = Receiver()
    first = receiver.lines([line], 0)
    assert len(looks(receiver, 0, 6400)) == 1
    assert receiver.lines([line], 6400) == first
    assert receiver.lines([line], 6450) == []


def test_within_the_second_of_repetition_too() -> None:
    receiver = Receiver()
    first = receiver.lines([EEC1], 0)
    receiver.missing(0)
    assert list(looks(receiver, 100, 700)) == [600]
    assert receiver.lines([EEC1], 700) == first
    assert receiver.missing(800) == []


def test_what_was_never_heard_and_what_speaks_on_change_is_never_missing() -> None:
    receiver = Receiver()
    receiver.lines([LD], 0)
    assert PGNS[65088].period_ms == 0
    assert looks(receiver, 0, 100_000) == {}
    assert receiver.gone() == []


def test_a_signal_is_missing_only_when_all_its_senders_are_silent() -> None:
    receiver = Receiver()
    told = {}
    for now_ms in range(0, 3000, 100):
        lines = [CCVS1.replace(b"F100", b"F127")] if now_ms < 2000 else []
        lines += [CCVS1] if now_ms < 500 else []
        receiver.lines(lines, now_ms)
        if SPEED in paths(receiver.missing(now_ms)):
            told[now_ms] = True
    assert list(told) == [2500]


def test_a_worse_sender_ends_it_at_once() -> None:
    receiver = Receiver()
    receiver.lines([CCVS1], 0)
    looks(receiver, 0, 700)
    (statement,) = receiver.lines([b"T18FEF1278F30040CFFF0000FF"], 700)
    assert statement.values[SPEED] == 64.0
    assert receiver.believed(SPEED) == (65265, 0x27)


def test_a_worse_sender_without_a_value_ends_it_too() -> None:
    receiver = Receiver()
    receiver.lines([CCVS1], 0)
    looks(receiver, 0, 700)
    (statement,) = receiver.lines([b"T18FEF1278F3FFFFCFFF0000FF"], 700)
    assert statement.states[SPEED] is State.NOT_AVAILABLE


def test_a_late_reader_invents_no_silence() -> None:
    receiver = Receiver()
    receiver.lines([EEC1], 0)
    for now_ms in range(0, 400, 100):
        assert receiver.missing(now_ms) == []
    # The reader stood still for 10 s; nothing was lost, the next frames come.
    assert receiver.missing(10_400) == []
    receiver.lines([EEC1], 10_420)
    assert looks(receiver, 10_500, 10_900) == {}
    # A silence that begins then is one.
    assert list(looks(receiver, 10_900, 12_000)) == [11_000]


def test_a_reader_that_was_held_up_briefly_still_has_half_of_it_to_read() -> None:
    """A port gives 4 KiB a read: after 0.8 s the speed is in the third of them."""
    receiver = Receiver()
    receiver.lines([CCVS1, EEC1], 0)
    for now_ms in range(0, 400, 100):
        receiver.missing(now_ms)
    for now_ms in (1200, 1215, 1230):
        receiver.lines([EEC1], now_ms)
        assert receiver.missing(now_ms) == []
    receiver.lines([CCVS1, EEC1], 1245)
    assert receiver.missing(1400) == []


def test_while_frames_wait_silence_is_judged_by_the_last_one_read() -> None:
    """A backlog: frames of 2 s ago are read now, and more wait behind them."""
    receiver = Receiver()
    for at_ms in range(0, 5000, 20):
        receiver.lines([EEC1], at_ms)
        assert receiver.missing(at_ms + 2000) == []
    # The jump to the present is no silence either.
    assert list(looks(receiver, 6980, 9000)) == [7580]


def test_axles_that_come_in_turn_are_not_missing_between_their_turns() -> None:
    """Eight axles, one a second: each comes every 8 s and is missing after 40 s."""
    receiver = Receiver()
    told = {}
    for now_ms in range(0, 160_000, 100):
        if now_ms < 80_000 and now_ms % 1000 == 0:
            axle = now_ms // 1000 % 8
            receiver.lines([b"T18FEEA00803X2000FFFFFFFFFF".replace(b"03X", b"%X0" % axle)], now_ms)
        found = paths(receiver.missing(now_ms))
        if found:
            told[now_ms] = found
    assert min(told) > 72_000 + 40_000 - 1
    assert set().union(*told.values()) == {
        f"Vehicle.Bus.Chassis.Axle.Row{row}.Weight" for row in range(1, 9)
    }


def test_the_smallest_service_distance_is_missing_with_its_components() -> None:
    receiver = Receiver()
    for now_ms in range(0, 3000, 1000):
        receiver.lines([b"T18FEC000801%04XFFFFFFFFFF" % 0x8080], now_ms)
        receiver.missing(now_ms)
    told = looks(receiver, 3000, 30_000)
    assert "Vehicle.Service.DistanceToService" in set().union(*told.values())
    (first, second) = receiver.lines([b"T18FEC000801%04XFFFFFFFFFF" % 0x8080], 30_000)
    assert "Vehicle.Service.DistanceToService" in {**first.values, **second.values}


def test_a_sender_that_is_slower_than_the_standard_is_missing_once_at_most() -> None:
    """CCVS1 every 1.1 s, as a tractor sends it, not every 100 ms."""
    receiver = Receiver()
    told = []
    for now_ms in range(0, 60_000, 100):
        if now_ms % 1100 == 0 and now_ms < 50_000:
            receiver.lines([CCVS1], now_ms)
        if SPEED in paths(receiver.missing(now_ms)):
            told.append(now_ms)
    assert told == [600, 49_500 + 5600]


def test_a_pause_of_a_fast_sender_makes_it_no_slow_one() -> None:
    receiver = Receiver()
    told = []
    for now_ms in range(0, 60_000, 100):
        if now_ms % 10_000 < 8_500:
            receiver.lines([CCVS1], now_ms)
        if SPEED in paths(receiver.missing(now_ms)):
            told.append(now_ms)
    assert told == [9_000 + n * 10_000 for n in range(6)]


def test_a_sender_heard_once_before_the_bus_slept_is_no_slow_one() -> None:
    receiver = Receiver()
    receiver.lines([CCVS1], 0)
    assert list(looks(receiver, 0, 30_000)) == [600]
    receiver.lines([CCVS1], 30_000)
    assert list(looks(receiver, 30_000, 60_000)) == [30_600]


def test_a_bus_that_is_gone_leaves_nothing_behind() -> None:
    receiver = Receiver()
    receiver.lines([EEC1, CCVS1, ET1, LD], 0)
    assert {RPM, SPEED, COOLANT} <= paths(receiver.gone())
    assert receiver.gone() == []


def test_the_driver_states_it_and_the_value_again(
    plug: Callable[..., object], start: Callable[..., object]
) -> None:
    stick = plug()
    driver = FmsJ1939(FmsConfig(channel=stick.path))
    running = start(driver.run)
    stick.wait(lambda: stick.open)
    stick.send(CCVS1)
    ctx = running.ctx

    def states() -> list[object]:
        return [
            values.get(SPEED, states.get(SPEED))
            for group, values, states, *_ in list(ctx.emitted)
            if group == "ccvs1"
        ]

    ctx.wait(lambda: State.MISSING in states())
    stick.send(CCVS1)
    ctx.wait(lambda: len(states()) >= 3)
    assert states()[:3] == [50.0, State.MISSING, 50.0]
    times = [at_ms for group, _, _, at_ms, _ in ctx.emitted if group == "ccvs1"]
    assert times[1] - times[0] > 500
    # ... and once more when the adaptor is pulled.
    stick.pull()
    ctx.wait(lambda: states()[-1] is State.MISSING)


@given(st.lists(st.tuples(st.integers(0, 290), st.sampled_from([True, False, False])), max_size=80))
def test_nothing_is_missing_that_was_heard_within_its_limit(
    steps: list[tuple[int, bool]],
) -> None:
    receiver = Receiver()
    now_ms = 0
    heard_ms: int | None = None
    missing = False
    for wait_ms, frame in steps:
        now_ms += wait_ms
        if frame:
            said = receiver.lines([CCVS1], now_ms)
            assert not missing or [s for s in said if SPEED in s.values]
            heard_ms, missing = now_ms, False
        if SPEED in paths(receiver.missing(now_ms)):
            assert heard_ms is not None
            assert now_ms - heard_ms > 500
            assert not missing
            missing = True
