"""Jumps: what a bus cannot have done, and how long a new place takes to be believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.gnss_nmea0183.epoch import Fix
from drivers.gnss_nmea0183.plausibility import SETTLE_FIXES, SETTLE_MS, JumpGuard

METRES_PER_DEGREE = 111_195.0


def fix(second: float, north_m: float, hdop: float | None = 1.0, utc_s: float | None = None) -> Fix:
    utc_ms = None if utc_s is None else round(utc_s * 1000)
    latitude = 44.0 + north_m / METRES_PER_DEGREE
    return Fix(round(second * 1000), 3, True, utc_ms, True, latitude, -121.0, hdop=hdop)


@pytest.mark.parametrize(
    ("north_m", "seconds", "hdop", "plausible"),
    [
        (30, 1, 1.0, True),  # 108 km/h
        (50, 1, 1.0, True),
        (300, 1, 1.0, False),  # a rocket
        (130, 0.1, 1.0, True),  # within the error of two fixes
        (400, 1, 20.0, True),  # both are bad, and say so
        (400, 1, None, False),
        (5_000, 100, 1.0, True),
        (100_000, 3_600, 1.0, True),  # after an hour without a fix
        (1_000_000, 3_600, 1.0, False),
    ],
)
def test_what_can_be(north_m: float, seconds: float, hdop: float | None, plausible: bool) -> None:
    guard = JumpGuard()
    assert guard.step(fix(0, 0, hdop)) is True
    assert guard.step(fix(seconds, north_m, hdop)) is plausible


def test_no_position_says_nothing() -> None:
    assert JumpGuard().step(Fix(0, 1)) is None


def test_one_jump_is_one_mark() -> None:
    guard = JumpGuard()
    told = [guard.step(fix(s, 5_000 if s == 5 else 10 * s)) for s in range(10)]
    assert told == [s != 5 for s in range(10)]


def test_a_ferry_settles() -> None:
    guard = JumpGuard()
    guard.step(fix(0, 0))
    told = [guard.step(fix(s, 500_000 + 10 * s)) for s in range(1, 60)]
    assert told.index(True) == SETTLE_MS // 1000
    assert all(told[SETTLE_MS // 1000 :])


def test_a_place_that_hops_about_does_not_settle() -> None:
    guard = JumpGuard()
    guard.step(fix(0, 0))
    told = [guard.step(fix(s, 500_000 * (1 + s % 2))) for s in range(1, 200)]
    assert not any(told)


def test_few_fixes_do_not_settle() -> None:
    guard = JumpGuard()
    guard.step(fix(0, 0))
    told = [guard.step(fix(20 * i, 900_000)) for i in range(1, SETTLE_FIXES + 1)]
    assert told == [False] * (SETTLE_FIXES - 1) + [True]


def test_a_clock_that_jumps_condemns_nothing() -> None:
    guard = JumpGuard()
    assert guard.step(fix(0, 0, utc_s=1000))
    assert guard.step(fix(60, 1_500, utc_s=900))
    assert guard.step(fix(61, 1_530, utc_s=100_000))


def test_the_date_line_and_the_poles() -> None:
    guard = JumpGuard()
    for latitude, longitude in ((10.0, 179.99999), (10.0, -179.99999), (10.0, 180.0)):
        assert guard.step(Fix(0, 3, utc_ms=0, latitude=latitude, longitude=longitude))
    assert not guard.step(Fix(0, 3, utc_ms=0, latitude=10.0, longitude=179.9))
    guard = JumpGuard()
    for longitude in (0.0, 90.0, -170.0):
        assert guard.step(Fix(0, 3, utc_ms=0, latitude=89.99999, longitude=longitude))


def test_without_any_clock_nothing_is_judged() -> None:
    guard = JumpGuard()
    for latitude in (10.0, 50.0, -50.0):
        assert guard.step(Fix(0, 3, latitude=latitude, longitude=0.0))


@given(
    st.lists(
        st.tuples(st.integers(0, 20_000), st.floats(-90, 90), st.floats(-180, 180)), max_size=50
    )
)
def test_anything_is_judged_and_the_first_is_believed(
    steps: list[tuple[int, float, float]],
) -> None:
    guard, at_ms = JumpGuard(), 0
    for number, (span_ms, latitude, longitude) in enumerate(steps):
        at_ms += span_ms
        told = guard.step(Fix(at_ms, 3, latitude=latitude, longitude=longitude))
        assert told in (True, False)
        assert told or number > 0


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=100))
def test_no_drive_is_marked(steps_m: list[float]) -> None:
    guard, north_m = JumpGuard(), 0.0
    for second, step_m in enumerate(steps_m):
        north_m += step_m
        assert guard.step(fix(second, north_m))
