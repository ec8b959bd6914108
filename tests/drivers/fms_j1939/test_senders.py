"""Whom to believe about one signal: rank, values, silence, fallbacks, no flapping."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from agent.sdk import Scalar, State
from drivers.fms_j1939.beliefs import Statement
from drivers.fms_j1939.receiver import Receiver

SPEED = "Vehicle.Speed"
BRAKE = "Vehicle.Bus.Chassis.BrakeSwitch"
ODOMETER = "Vehicle.TraveledDistance"
CLOCK = "Vehicle.Bus.Clock.Vehicle"
TOTAL_FUEL = "Vehicle.Bus.Fuel.TotalUsed"
NONE = State.NOT_AVAILABLE


def line(pgn: int, sa: int, payload: str) -> bytes:
    return b"T%08X%d%s" % (6 << 26 | pgn << 8 | sa, len(payload) // 2, payload.encode())


def ccvs(sa: int, kmh: int | None, brake: int = 0) -> bytes:
    """Speed in whole km/h, None where it is not available."""
    speed = "FFFF" if kmh is None else f"00{kmh:02X}"
    return line(65265, sa, f"F3{speed}{0xCF | brake << 4:02X}FF0000FF")


def vdhr(sa: int, km: float) -> bytes:
    return line(65217, sa, int(km * 200).to_bytes(4, "little").hex() + "FFFFFFFF")


def vd(sa: int, km: float) -> bytes:
    return line(65248, sa, "FFFFFFFF" + int(km * 8).to_bytes(4, "little").hex())


def of(path: str, said: Iterable[Statement]) -> list[Scalar | State]:
    """What is stated of one signal."""
    return [
        s.states[path] if path in s.states else s.values[path]
        for s in said
        if path in s.states or path in s.values
    ]


def run(receiver: Receiver, path: str, *steps: tuple[int, bytes]) -> list[tuple[int, object]]:
    """What is stated of one signal when lines are read, and when; repetition left out."""
    told: list[tuple[int, object]] = []
    for at_ms, text in steps:
        for what in of(path, receiver.lines([text], at_ms)):
            if not told or told[-1][1] != what:
                told.append((at_ms, what))
    return told


def every(
    period_ms: int, until_ms: int, *lines: bytes, start_ms: int = 0
) -> list[tuple[int, bytes]]:
    return [(at, one) for at in range(start_ms, until_ms, period_ms) for one in lines]


def test_belief_is_by_signal_not_by_message() -> None:
    """The better sender has no speed, the worse has one; both have a brake switch."""
    receiver = Receiver()
    steps = every(100, 5000, ccvs(0x11, None, brake=1), ccvs(0x27, 50, brake=0))
    assert run(receiver, SPEED, *steps) == [(0, NONE), (0, 50.0)]
    assert receiver.believed(SPEED) == (65265, 0x27)
    assert receiver.believed(BRAKE) == (65265, 0x11)
    assert run(Receiver(), BRAKE, *steps) == [(0, True)]


def test_error_and_implausible_yield_too() -> None:
    for bad in ("00FE", "00FB", "00C8"):  # error, reserved, 200 km/h
        steps = every(100, 3000, line(65265, 1, f"F3{bad}CFFF0000FF"), ccvs(2, 50))
        assert run(Receiver(), SPEED, *steps)[-1][1] == 50.0


def test_a_worse_sender_waits_until_the_value_has_been_gone_for_3_s() -> None:
    both = every(100, 1000, ccvs(0x11, 40), ccvs(0x27, 50))
    gone = every(100, 9000, ccvs(0x11, None), ccvs(0x27, 50), start_ms=1000)
    told = run(Receiver(), SPEED, *both, *gone)
    assert [what for _, what in told] == [40.0, NONE, 50.0]
    assert told[1][0] == 1000
    assert 4000 <= told[2][0] <= 5000  # an unchanged message is looked at once a second


def test_a_short_lapse_changes_nobody() -> None:
    steps = every(100, 1000, ccvs(0x11, 40), ccvs(0x27, 50))
    steps += every(100, 3500, ccvs(0x11, None), ccvs(0x27, 51), start_ms=1000)
    steps += every(100, 9000, ccvs(0x11, 41), ccvs(0x27, 52), start_ms=3500)
    assert [what for _, what in run(Receiver(), SPEED, *steps)] == [40.0, NONE, 41.0]


def test_who_lost_a_signal_must_be_steady_to_get_it_back() -> None:
    receiver = Receiver()
    steps = every(100, 1000, ccvs(0x11, 40), ccvs(0x27, 50))
    steps += every(100, 8000, ccvs(0x11, None), ccvs(0x27, 50), start_ms=1000)
    assert run(receiver, SPEED, *steps)[-1][1] == 50.0
    # On and off every 2 s: never believed.
    for at_ms in range(8000, 40_000, 100):
        kmh = 40 if at_ms // 2000 % 2 else None
        assert 40.0 not in of(SPEED, receiver.lines([ccvs(0x11, kmh), ccvs(0x27, 50)], at_ms))
    steps = every(100, 46_000, ccvs(0x11, 40), ccvs(0x27, 50), start_ms=40_000)
    told = run(receiver, SPEED, *steps)
    assert [what for _, what in told] == [50.0, 40.0]
    assert told[1][0] == 41_000  # it has had a value since 38_000


@pytest.mark.parametrize(
    ("prefer", "believed"),
    [
        ({}, 0x11),
        ({"ccvs1": [0x27]}, 0x27),
        ({SPEED: [0x30]}, 0x30),
        ({SPEED: [0x30], "ccvs1": [0x27]}, 0x30),
        ({BRAKE: [0x30], "ccvs1": [0x27]}, 0x27),
        ({SPEED: [], "ccvs1": [0x27]}, 0x11),
    ],
)
def test_preference_by_signal_goes_before_that_by_group(
    prefer: dict[str, list[int]], believed: int
) -> None:
    receiver = Receiver(prefer)
    receiver.lines([ccvs(0x11, 1), ccvs(0x27, 2), ccvs(0x30, 3)], 0)
    receiver.lines([ccvs(0x11, 1), ccvs(0x27, 2), ccvs(0x30, 3)], 1000)
    assert receiver.believed(SPEED) == (65265, believed)


def test_a_fallback_waits_for_the_preferred_group() -> None:
    receiver = Receiver()
    told = run(receiver, ODOMETER, *every(100, 8000, vd(0x17, 1000)))
    assert [what for _, what in told] == [1_000_000.0]
    assert 5000 < told[0][0] <= 6100
    assert receiver.believed(ODOMETER) == (65248, 0x17)


def test_a_fallback_is_never_heard_beside_the_preferred_one() -> None:
    steps = every(100, 10_000, vd(0x00, 1000.125))
    steps = sorted([*steps, *every(1000, 10_000, vdhr(0xEE, 1000.2), start_ms=50)])
    assert run(Receiver(), ODOMETER, *steps) == [(50, 1_000_200.0)]


def test_a_fallback_takes_over_and_gives_back() -> None:
    receiver = Receiver(guards={})
    steps = every(1000, 3000, vdhr(0xEE, 1000.2))
    steps += every(100, 12_000, vd(0x17, 1000.125))
    steps += every(1000, 20_000, vdhr(0xEE, 1000.3), start_ms=12_000)
    told = run(receiver, ODOMETER, *sorted(steps))
    assert [what for _, what in told] == [1_000_200.0, 1_000_125.0, 1_000_300.0]
    assert 7000 < told[1][0] <= 8100
    assert 15_000 <= told[2][0] <= 16_000


def test_it_is_stated_in_the_group_that_declares_it() -> None:
    receiver = Receiver()
    groups = set()
    for at_ms, text in every(1000, 9000, line(65257, 0, "0010000000200000")):
        said = receiver.lines([text], at_ms)
        groups |= {s.group.name for s in said}
        assert all({*s.values, *s.states} <= set(s.group.index) for s in said)
    assert groups == {"hrlfc"}
    assert receiver.believed(TOTAL_FUEL) == (65257, 0)


def test_an_odometer_that_wakes_up_beside_one_that_is_right() -> None:
    """The cluster is preferred by mistake; while it is doubted, the tachograph is believed."""
    receiver = Receiver({"vdhr": [0x17]})
    told = run(
        receiver,
        ODOMETER,
        (0, vdhr(0x17, 0)),
        (100, vdhr(0xEE, 158_910.6)),
        (200, vdhr(0x17, 37.5)),
        (400, vdhr(0x17, 158_910.6)),
        *every(1000, 70_000, vdhr(0x17, 158_910.6), vdhr(0xEE, 158_910.6), start_ms=1000),
    )
    assert told == [(0, State.IMPLAUSIBLE), (100, 158_910_600.0)]
    assert receiver.believed(ODOMETER) == (65217, 0x17)  # confirmed after a minute


def test_an_odometer_alone_is_doubted_until_it_is_confirmed() -> None:
    steps = [(0, vdhr(0x17, 100_000)), (1000, vdhr(0x17, 0)), (2000, vdhr(0x17, 37.5))]
    steps += every(1000, 80_000, vdhr(0x17, 158_910.6), start_ms=3000)
    told = run(Receiver(), ODOMETER, *steps)
    assert told == [(0, 100_000_000.0), (1000, State.IMPLAUSIBLE), (63_000, 158_910_600.0)]


def test_a_worse_odometer_has_to_go_on_where_the_better_one_stopped() -> None:
    """The cluster is 300 km behind; when the tachograph falls silent, nothing falls at once."""
    steps = every(1000, 10_000, vdhr(0xEE, 1000), vdhr(0x17, 700))
    steps += every(1000, 100_000, vdhr(0x17, 700), start_ms=10_000)
    told = run(Receiver(), ODOMETER, *steps)
    assert [what for _, what in told] == [1_000_000.0, State.IMPLAUSIBLE, 700_000.0]
    assert told[1][0] == 15_000
    assert told[2][0] == 75_000


def test_a_jump_to_where_the_signal_stands_is_believed() -> None:
    """The cluster wakes up beside the tachograph and arrives at its value; then that is gone."""
    steps = every(1000, 10_000, vdhr(0xEE, 1000))
    steps += [(500, vdhr(0x17, 0)), (1500, vdhr(0x17, 37.5))]
    steps += every(1000, 30_000, vdhr(0x17, 1000), start_ms=2100)
    assert run(Receiver(), ODOMETER, *sorted(steps)) == [(0, 1_000_000.0)]


def test_a_better_one_that_is_doubted_does_not_get_through_when_the_worse_one_is_gone() -> None:
    receiver = Receiver({"vdhr": [0x17]})
    steps = [(0, vdhr(0x17, 0)), *every(1000, 10_000, vdhr(0xEE, 1000), start_ms=100)]
    steps += every(1000, 40_000, vdhr(0x17, 37.5), start_ms=500)
    told = run(receiver, ODOMETER, *sorted(steps))
    assert [what for _, what in told] == [State.IMPLAUSIBLE, 1_000_000.0, State.IMPLAUSIBLE]


def td(sa: int, year: int, second: int) -> bytes:
    minute, rest = divmod(second, 60)
    return line(65254, sa, f"{rest * 4:02X}{minute:02X}080B78{year - 1985:02X}7D7D")


def test_a_clock_of_2001_is_implausible_and_yields() -> None:
    steps = [(0, td(0x17, 2001, 0)), (1000, td(0x17, 2001, 1)), (1100, td(0xEE, 2023, 1))]
    told = run(Receiver(), CLOCK, *steps)
    assert [at for at, _ in told] == [0, 1100]
    assert told[0][1] is State.IMPLAUSIBLE
    assert isinstance(told[1][1], int)


def test_a_clock_that_steps_is_doubted_for_a_minute() -> None:
    receiver = Receiver()
    said: dict[int, object] = {}
    for second in range(100):
        shown = second if second < 10 else second + 600
        for what in of(CLOCK, receiver.lines([td(0xEE, 2023, shown)], second * 1000)):
            said[second] = what
    doubted = [second for second, what in said.items() if what is State.IMPLAUSIBLE]
    assert doubted == list(range(10, 70))
    assert len(said) == 100


def test_two_door_senders_that_disagree_do_not_flap() -> None:
    """As on a real bus: 0x42 has no door position but a ramp, 0xEC has all."""
    receiver = Receiver()
    dc1 = (line(65102, 0x42, "1F00000000000000"), line(65102, 0xEC, "0200FC3FFFFFFFFF"))
    for path, want in (("Vehicle.Bus.Doors.Position", 2), ("Vehicle.Bus.Ramp.IsOutside", True)):
        told = run(Receiver(), path, *every(100, 20_000, *dc1))
        assert told[-1][1] == want
        assert len(told) <= 2
    for at_ms, text in every(100, 3000, *dc1):
        receiver.lines([text], at_ms)
    assert receiver.believed("Vehicle.Bus.Doors.Position") == (65102, 0xEC)


def test_hostile_senders_take_bounded_memory_and_the_believed_one_stays() -> None:
    receiver = Receiver()
    receiver.lines([ccvs(0x00, 50)], 0)
    for n in range(20_000):
        sa, axle = 1 + n % 253, n // 253 % 256
        receiver.lines([ccvs(sa, 90), line(65258, sa, f"{axle:02X}2000FFFFFFFFFF")], n)
    assert len(list(receiver._voices)) <= 2 * 128 + 1
    assert sum(len(b.claims) for b in receiver._beliefs._beliefs.values()) <= 128 * 12
    assert len(receiver._turns) <= 64
    assert sum(map(len, receiver._turns.values())) <= 64 * 64
    assert of(SPEED, receiver.lines([ccvs(0x00, 51)], 20_000)) == [51.0]
