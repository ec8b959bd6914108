"""The world keeps to what buses and roads do."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.drivetrain import IDLE_RPM, TANK_L
from simulator.route import METRES_PER_DEGREE, Route
from simulator.service import DOORS_CLOSED, DRIVE, REST
from simulator.world import ACCELERATION_MAX_MS2, BRAKING_MAX_MS2, World


def test_the_route_is_a_closed_city_loop() -> None:
    route = Route.load()
    assert 8_000 < route.length_m < 12_000
    assert sum(halt.kind == "stop" for halt in route.halts) == 18
    assert len({halt.name for halt in route.halts}) == len(route.halts)
    first, again = route.at(0.0), route.at(route.length_m)
    assert first == pytest.approx(again)
    # Neighbouring metres are a metre apart, across the seam too.
    for metre in range(0, int(route.length_m) + 200, 25):
        one, other = route.at(metre), route.at(metre + 1)
        assert abs(one.lat_deg - other.lat_deg) * METRES_PER_DEGREE < 1.01
        assert abs(one.elevation_m - other.elevation_m) < 0.15
        turn = abs((one.heading_deg - other.heading_deg + 180) % 360 - 180)
        assert turn < 20


@pytest.mark.parametrize("seed", [1, 7, 4021])
def test_a_lap(seed: int) -> None:
    world = World(seed)
    route, service, engine = world.route, world.service, world.engine
    odometer = world.odometer_m
    fuel, hours, driven = engine.fuel_l, engine.hours, service.driving_s
    coolant_at_start = engine.coolant_c
    stops = 0
    was_open = False
    ms = 0
    while world.distance_m < route.length_m + 200:
        ms += 50
        assert ms < 3_600_000, "the bus does not get round"
        world.advance_to(ms)
        assert 0.0 <= world.speed_ms <= route.top_speed_ms
        assert world.speed_ms <= route.limit_ms(world.distance_m) + 1.0
        assert -BRAKING_MAX_MS2 <= world.acceleration_ms2 <= ACCELERATION_MAX_MS2
        assert odometer <= world.odometer_m <= odometer + 50 / 1000 * 25
        assert engine.fuel_l <= fuel and engine.hours >= hours and service.driving_s >= driven
        odometer, fuel, hours = world.odometer_m, engine.fuel_l, engine.hours
        driven = service.driving_s
        if world.speed_ms > 0.0:
            assert service.doors == DOORS_CLOSED
            assert not service.parking_brake and not service.ramp_out
            assert service.working_state == DRIVE and service.card_present
            assert engine.running and engine.rpm > IDLE_RPM * 0.8
        assert 0.0 <= engine.rpm < 2_300.0
        for percent in (
            engine.torque_percent,
            engine.load_percent,
            engine.pedal_percent,
            engine.demand_percent,
            engine.fuel_percent,
        ):
            assert 0.0 <= percent <= 100.0
        assert 0.0 <= engine.fuel_rate_lph < 120.0
        assert 930.0 < world.air_pressure_hpa < 1_060.0
        is_open = service.doors != DOORS_CLOSED
        if is_open and not was_open and ms > 20_000:
            stops += 1
            at = world.distance_m % route.length_m
            nearest = min(
                abs((at - halt.distance_m + 100) % route.length_m - 100)
                for halt in route.halts
                if halt.kind == "stop"
            )
            assert nearest < 3.0
        was_open = is_open
    assert stops >= 10
    assert coolant_at_start < engine.coolant_c < 100
    assert engine.coolant_c > 70
    used = TANK_L * 0.95 - engine.fuel_l
    assert used > 0
    assert 1.0 < engine.average_km_per_l < 5.0


def test_the_end_of_the_line_is_a_rest() -> None:
    world = World(7)
    ms, seen = 0, set()
    while world.distance_m < world.route.length_m + 300 and ms < 3_600_000:
        ms += 200
        world.advance_to(ms)
        if ms > 60_000:
            seen.add(world.service.working_state)
    assert REST in seen


@settings(max_examples=200, deadline=None)
@given(st.integers())
def test_who_and_when(seed: int) -> None:
    world = World(seed)
    start = datetime.fromtimestamp(world.utc_ms / 1000, UTC)
    assert datetime(2027, 1, 1, tzinfo=UTC) <= start <= datetime(2029, 12, 31, tzinfo=UTC)
    assert world.utc_ms % 1000 == 0
    assert len(world.vin) == 17 and set(world.vin) <= set("ABCDEFGHJKLMNPRSTUVWXYZ0123456789")


def test_the_first_minute_has_something_to_tell() -> None:
    world = World(7)
    doors, brakes, moving, starter = set(), set(), set(), set()
    for ms in range(0, 60_000, 100):
        world.advance_to(ms)
        doors.add(world.service.doors)
        brakes.add(world.service.parking_brake)
        moving.add(world.speed_ms > 0)
        starter.add(world.engine.starter_mode)
    assert doors == {0, 1, 2} and brakes == moving == {True, False} and len(starter) == 3
