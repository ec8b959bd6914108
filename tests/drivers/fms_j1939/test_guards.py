"""Which jumps of an odometer and a clock are doubted, and for how long."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.fms_j1939.guards import CONFIRM_MS, Course, Guard, Point, clock, odometer

KM = 1000.0
TRUE_KM = 158_910.6 * KM


def odometer_says(points: Sequence[tuple[float, float]]) -> str:
    """Seconds and kilometres; y for each that is believed, - for each that is doubted."""
    guard = Guard(odometer)
    return "".join("y" if guard.believes(km * KM, int(s * 1000)) else "-" for s, km in points)


@pytest.mark.parametrize(
    ("points", "want"),
    [
        ([(0, 158_910.6)], "y"),
        ([(0, 100), (1, 100), (2, 100.04), (3, 100.06)], "yyyy"),
        # A gap in which the bus drove on: 30 min at 100 km/h.
        ([(0, 100), (1800, 150)], "yy"),
        # It never falls, not by the smallest count, and never rises as fast as an aeroplane.
        ([(0, 100), (1, 99.995)], "y-"),
        ([(0, 100), (1, 101)], "y-"),
        # A glitch costs itself only.
        ([(0, 100), (1, 0), (2, 100), (3, 4_000_000), (4, 100)], "y-y-y"),
        # 0 is never believed, however long it stays.
        ([(s, 0) for s in range(200)], "-" * 200),
        # A cluster at wake-up: 0, then 37.5 km, then the truth.
        ([(0, 0), (1, 37.5), (2, 158_910.6)], "---"),
        ([(0, 0), (1, 37.5), *((s, 158_910.6) for s in range(2, 70))], "--" + "-" * 60 + "y" * 8),
        # ... and heard when it says 37.5 already: no one can know.
        ([(0, 37.5), (300, 37.5), (301, 0), (302, 158_910.6), (361, 158_910.6)], "yy---"),
        ([(0, 37.5), (1, 0), (2, 158_910.6), (62, 158_910.6)], "y--y"),
        # Workshop change to a lower one, driving all the while.
        ([(0, 100), *((s, 5 + s * 0.02) for s in range(1, 70))], "y" + "-" * 60 + "y" * 9),
        # A doubted one that jumps again begins anew.
        ([(0, 100), (1, 5), (50, 9), (62, 9), (109, 9), (110, 9)], "y----y"),
    ],
)
def test_odometer(points: list[tuple[float, float]], want: str) -> None:
    assert odometer_says(points) == want


def clock_says(points: Sequence[tuple[float, float]]) -> str:
    """Boot time and clock in seconds."""
    guard = Guard(clock)
    return "".join("y" if guard.believes(s * 1000, int(at * 1000)) else "-" for at, s in points)


@pytest.mark.parametrize(
    ("points", "want"),
    [
        ([(0, 10_000), (1, 10_001), (2, 10_002), (3600, 13_600)], "yyyy"),
        ([(0, 10_000), (1, 10_005), (2, 9_998), (3, 10_009)], "yyy-"),
        # Set right by an hour while the boot clock went on.
        ([(0, 10_000), (1, 13_601), (30, 13_630), (60, 13_660), (61, 13_661)], "y---y"),
        # 0.02 % drift over a day; twice as much is too fast.
        ([(0, 0), (86_400, 86_400 + 20)], "yy"),
        ([(0, 0), (86_400, 86_400 + 40)], "y-"),
        # It stands still: found out, and never believed again.
        ([(s, 10_000) for s in range(200)], "yyyyyy" + "-" * 194),
        # ... or runs at double speed.
        ([(s, 10_000 + 2 * s) for s in range(200)], "yyyyyy" + "-" * 194),
        ([(0, 10_000), (1, 5), (2, 10_002)], "y-y"),
    ],
)
def test_clock(points: list[tuple[float, float]], want: str) -> None:
    assert clock_says(points) == want


@given(st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 900_000_000)), max_size=60))
def test_what_is_believed_of_an_odometer_never_falls_within_the_time_to_confirm(
    steps: list[tuple[int, int]],
) -> None:
    guard = Guard(odometer)
    at_ms = 0
    believed: list[tuple[int, int]] = []
    doubted_since: int | None = None
    for wait_ms, metres in steps:
        at_ms += wait_ms
        if guard.believes(metres, at_ms):
            if believed and metres < believed[-1][1]:
                assert doubted_since is not None
                assert at_ms - doubted_since >= CONFIRM_MS
            believed.append((at_ms, metres))
            doubted_since = None
            assert metres > 0
        elif doubted_since is None:
            doubted_since = at_ms


@given(st.lists(st.tuples(st.integers(-5_000, 90_000), st.floats(-1e15, 1e15)), max_size=40))
def test_steps_are_pure_and_total(steps: list[tuple[int, float]]) -> None:
    for step in (odometer, clock):
        course, at_ms = Course(), 0
        for wait_ms, value in steps:
            at_ms += wait_ms
            once = step(course, Point(value, at_ms))
            assert step(course, Point(value, at_ms)) == once
            course = once[0]


def test_a_steady_counter_is_always_believed() -> None:
    points = [(s, 158_910.6 + s * 0.027) for s in range(0, 7200, 7)]
    assert odometer_says(points) == "y" * len(points)


def test_restart_takes_the_next_value_as_the_first() -> None:
    guard = Guard(odometer)
    assert guard.believes(TRUE_KM, 0)
    guard.restart()
    assert guard.believes(5.0, 1)
