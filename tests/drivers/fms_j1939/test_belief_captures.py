"""What is stated over whole recordings of real buses: whom the receiver believes, what it doubts.

Runs where the recordings stand beside the checkout (../shared/data/can).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

import pytest

from agent.sdk import Keep, Scalar, State
from drivers.codecs import candump
from drivers.codecs.j1939 import split_id
from drivers.fms_j1939.frames import Frame
from drivers.fms_j1939.receiver import Receiver
from drivers.fms_j1939.table import PGNS
from tests.drivers.fms_j1939.recordings import CAPTURES, FOLDER, needs_recordings

BUS = "css-bus-2023"
CLUSTER, TACHOGRAPH = 0x17, 0xEE
DOORS, OTHER_DOORS = 0xEC, 0x42
LOOK_MS = 200

NO_PREFERENCE: Mapping[str, Sequence[int]] = MappingProxyType({})


pytestmark = needs_recordings

Told = tuple[int, Scalar | State, tuple[int, int] | None]
"""Milliseconds into the recording, what is stated, and who (PGN, source address) is believed."""


@functools.cache
def frames(name: str) -> list[tuple[int, Frame]]:
    """Milliseconds into the recording, and frame."""
    assert FOLDER is not None
    logged = [one for one in candump.read(FOLDER / f"{name}.log.gz") if one.extended]
    return [
        (round((one.t - logged[0].t) * 1000), Frame(one.can_id, one.payload, True, one.remote))
        for one in logged
    ]


def replay(name: str, prefer: Mapping[str, Sequence[int]] = NO_PREFERENCE) -> dict[str, list[Told]]:
    """All that is stated, signal by signal."""
    receiver = Receiver(prefer)
    told: dict[str, list[Told]] = {}
    looked_ms = 0
    for at_ms, frame in frames(name):
        said = []
        if at_ms - looked_ms >= LOOK_MS:
            looked_ms = at_ms
            said += receiver.missing(at_ms)
        said += receiver.frame(frame, at_ms)
        for statement in said:
            for path, what in {**statement.values, **statement.states}.items():
                told.setdefault(path, []).append((at_ms, what, receiver.believed(path)))
    return told


@functools.cache
def stated(name: str) -> dict[str, list[Told]]:
    return replay(name)


def news(told: Sequence[Told]) -> list[Scalar | State]:
    """What is stated, repetition left out."""
    return [
        what
        for n, (_, what, _) in enumerate(told)
        if not n or told[n - 1][1] != what or type(told[n - 1][1]) is not type(what)
    ]


def test_the_odometer_is_37_5_km_then_doubted_then_that_of_the_tachograph() -> None:
    told = stated(BUS)["Vehicle.TraveledDistance"]
    assert news(told) == [37_500.0, State.IMPLAUSIBLE, 158_910_600.0]
    first = next(at_ms for at_ms, what, _ in told if what == 158_910_600.0)
    assert 375_000 < first < 375_200
    assert {what for at_ms, what, _ in told if at_ms >= first} == {158_910_600.0}
    # The tachograph goes to sleep after 10 s. Then the cluster, doubted for its jump, is believed:
    # it has come to where the odometer stands.
    who = [who for at_ms, _, who in told if at_ms >= first]
    assert list(dict.fromkeys(who)) == [(65217, TACHOGRAPH), (65217, CLUSTER)]


def test_a_cluster_without_a_tachograph_is_doubted_to_the_end() -> None:
    """26 s after its wake-up the recording ends: a jump takes a minute to be believed."""
    receiver = Receiver()
    told = []
    for at_ms, frame in frames(BUS):
        if split_id(frame.can_id)[1:3] == (65217, CLUSTER):
            for statement in receiver.frame(frame, at_ms):
                whats = {**statement.values, **statement.states}
                told.append((at_ms, whats["Vehicle.TraveledDistance"], None))
    assert news(told) == [37_500.0, State.IMPLAUSIBLE]
    assert told[-1][0] > 390_000


def test_the_clock_of_2001_is_implausible_until_the_tachograph_tells_the_time() -> None:
    told = stated(BUS)["Vehicle.Bus.Clock.Vehicle"]
    by_tachograph = [one for one in told if isinstance(one[1], int)]
    # The logger's own clock is 36 s off.
    assert len(by_tachograph) == 11
    for at_ms, what, who in by_tachograph:
        assert who == (65254, TACHOGRAPH)
        assert at_ms > 375_000
        assert abs(int(what) - (1_701_363_725_986 + at_ms)) < 60_000
    before = {what for at_ms, what, _ in told if at_ms < by_tachograph[0][0]}
    assert State.IMPLAUSIBLE in before
    assert before <= {State.IMPLAUSIBLE, State.MISSING}
    # The tachograph speaks for 10 s; 5 s later nobody else has the time, and nobody makes it up.
    assert news(told)[-1] is State.IMPLAUSIBLE
    assert next(at_ms for at_ms, _, who in told[::-1] if who == (65254, TACHOGRAPH)) < 390_100


def test_each_door_signal_has_one_sender_and_none_flaps() -> None:
    told = stated(BUS)
    position = told["Vehicle.Bus.Doors.Position"]
    assert {who for _, _, who in position} == {(65102, DOORS)}
    assert set(news(position)) <= {2, State.NOT_AVAILABLE, State.MISSING}
    ramp = told["Vehicle.Bus.Ramp.IsOutside"]
    assert {who for at_ms, _, who in ramp if at_ms > 1000} == {(65102, OTHER_DOORS)}
    assert [what for what in news(ramp) if what is not State.MISSING][-3:] == [True, False, True]


def test_preference_moves_the_ramp_to_the_other_sender() -> None:
    told = replay(BUS, {"Vehicle.Bus.Ramp.IsOutside": [DOORS]})
    ramp = told["Vehicle.Bus.Ramp.IsOutside"]
    assert {what for at_ms, what, _ in ramp if at_ms > 1000 and what is not State.MISSING} == {
        False
    }
    enabled = told["Vehicle.Bus.Doors.AnyEnabled"]
    assert {who for at_ms, _, who in enabled if at_ms > 1000} == {(65102, OTHER_DOORS)}


def test_the_output_shaft_is_an_error_all_along() -> None:
    told = stated(BUS)["Vehicle.Tachograph.OutputShaftSpeed"]
    assert set(news(told)) <= {State.ERROR, State.MISSING}
    assert news(told)[0] is State.ERROR


def test_zero_fill_is_implausible_all_along() -> None:
    for path in ("Vehicle.Exterior.AirPressure", "Vehicle.Cabin.HVAC.AmbientAirTemperature"):
        assert set(news(stated(BUS)[path])) <= {State.IMPLAUSIBLE, State.MISSING}
    assert 0.0 in news(stated(BUS)["Vehicle.Exterior.AirTemperature"])


@pytest.mark.parametrize("name", CAPTURES)
def test_no_value_is_stated_that_no_frame_said(name: str) -> None:
    """... and what the believed sender says last of an every-change signal is what is stated."""
    said: dict[str, set[Scalar]] = {}
    for _, frame in frames(name):
        pgn = PGNS.get(split_id(frame.can_id).pgn)
        for reading in pgn.read(frame.payload) if pgn is not None else []:
            if reading.path is not None and reading.stated is not None and reading.plausible:
                said.setdefault(reading.path, set()).add(reading.stated)
    whole = {spn.path for pgn in PGNS.values() for spn in pgn.whole}
    multi_packet = {s.path for number in (65260, 65131) for s in PGNS[number].group.signals}
    for path, told in stated(name).items():
        if path not in whole | multi_packet:
            values = {what for _, what, _ in told if not isinstance(what, State)}
            assert values <= said.get(path, set()), path


@pytest.mark.parametrize("name", CAPTURES)
def test_a_signal_is_missing_where_the_bus_pauses_and_at_most_once_for_a_slow_sender(
    name: str,
) -> None:
    """The tractor sends CCVS1 every second and DEF every ten: slow, not missing each time."""
    worst = {
        path: sum(what is State.MISSING for what in news(told))
        for path, told in stated(name).items()
    }
    assert max(worst.values()) <= {"css-bus-2023": 1, "css-truck-2021": 0}.get(name, 2)


def test_the_bus_wakes_up_once_and_everything_fast_is_missing_meanwhile() -> None:
    """All senders of the engine pause for 2 s at the change of ignition."""
    for path in ("Vehicle.Speed", "Vehicle.Powertrain.CombustionEngine.Speed"):
        told = stated(BUS)[path]
        assert news(told) == [0.0, State.MISSING, 0.0]
    tachograph = stated(BUS)["Vehicle.Tachograph.Driver1.WorkingState"]
    assert news(tachograph) == [0, State.MISSING]


def test_who_is_believed_changes_seldom() -> None:
    """... at the start, when senders that had nothing to say begin to, and where they are gone."""
    for name in CAPTURES:
        for path, told in stated(name).items():
            changes = sum(a[2] != b[2] for a, b in pairwise(told))
            assert changes <= 3, (name, path, changes)


def test_sampled_and_edge_signals_are_both_there() -> None:
    keeps = {
        signal.thinning.keep
        for pgn in PGNS.values()
        for signal in pgn.group.signals
        if signal.path in stated(BUS)
    }
    assert keeps == {Keep.CHANGE, Keep.SAMPLED}
