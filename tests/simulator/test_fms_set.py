"""Messages with a form of their own: multiplexed, composed, on change, in packets, electric."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.diagnosis import dm1
from simulator.emission import NO_FAULTS, Dtc, Emission, Scalar
from simulator.fms_table import VehicleKind
from simulator.fms_tachograph import time_and_date
from simulator.telltales import NAMES, path
from simulator.transport import broadcast
from simulator.vehicle import Vehicle
from simulator.world import World
from tests.simulator.test_j1939_bus import frame

DEGREES = 180 / math.pi


def said(pgn: int, seconds: float = 100, kind: VehicleKind = "diesel") -> list[Emission]:
    emissions = Vehicle(7, sources=("fms",), kind=kind).advance(seconds, NO_FAULTS)
    return [e for e in emissions if frame(e.data)[0] == pgn]


def le(payload: bytes, first: int, last: int) -> int:
    """Bytes `first` to `last`, counted from 1, as one little-endian number."""
    return int.from_bytes(payload[first - 1 : last], "little")


def test_axle_weights_take_turns() -> None:
    turns = []
    for emission in said(0xFEEA, 10):
        payload = frame(emission.data)[2]
        axle = payload[0] >> 4
        turns.append(axle)
        assert emission.writings == (
            (f"Vehicle.Bus.Chassis.Axle.Row{axle + 1}.Weight", le(payload, 2, 3) * 0.5),
        )
        assert 3_500 < le(payload, 2, 3) * 0.5 < 12_000
    assert turns == [0, 1] * 5


def test_service_distances_and_the_nearest_of_them() -> None:
    emissions = said(0xFEC0, 10)
    of_component: dict[int, float] = {}
    for emission in emissions:
        payload = frame(emission.data)[2]
        km = le(payload, 2, 3) * 5 - 160_635
        of_component[payload[0]] = km
        values: dict[str, Scalar] = dict((*emission.writings, *emission.alternatives))
        assert values[f"Vehicle.Bus.Service.Component{payload[0]}.Distance"] == km
        assert values["Vehicle.Service.TimeToService"] == (payload[4] - 125) * 604_800
        assert values["Vehicle.Bus.Service.HoursToService"] == le(payload, 7, 8) - 32_127
    assert set(of_component) == {1, 4}
    nearest = [dict(e.writings).get("Vehicle.Service.DistanceToService") for e in emissions]
    assert set(nearest) == {None, min(of_component.values())}


def test_high_resolution_fuel_is_a_value_and_the_coarse_one_an_alternative() -> None:
    fine, coarse = said(0xFD09, 60), said(0xFEE9, 60)
    for one, other in zip(fine, coarse, strict=True):
        (_, trip), (_, total) = one.writings
        assert other.writings == () and [p for p, _ in one.writings] == [
            p for p, _ in other.alternatives
        ]
        (_, about_trip), (_, about_total) = other.alternatives
        assert abs(float(trip) - float(about_trip)) < 0.3
        assert abs(float(total) - float(about_total)) < 0.3


def test_fuel_counters_add_up_with_the_rate() -> None:
    burnt = [float(dict(e.writings)["Vehicle.Bus.Fuel.TripUsed"]) for e in said(0xFD09, 300)]
    rates = [
        float(dict(e.writings)["Vehicle.Bus.Fuel.RateLitrePerHour"]) for e in said(0xFEF2, 300)
    ]
    assert burnt[-1] == pytest.approx(sum(rates) / 36_000, rel=0.03)
    assert burnt == sorted(burnt)


def test_dynamics_are_in_degrees_and_belong_together() -> None:
    turned = 0.0
    for emission in said(0xF009, 200):
        payload = frame(emission.data)[2]
        values = dict(emission.writings)
        angle = float(values["Vehicle.Chassis.SteeringWheel.Angle"])
        yaw = float(values["Vehicle.AngularVelocity.Yaw"])
        assert angle == pytest.approx((le(payload, 1, 2) / 1024 - 31.374) * DEGREES, abs=1e-8)
        assert yaw == pytest.approx((le(payload, 4, 5) / 8192 - 3.92) * DEGREES, abs=1e-8)
        assert abs(float(values["Vehicle.Acceleration.Lateral"])) < 3.1
        assert abs(angle) < 800
        if abs(yaw) > 2:
            assert angle * yaw > 0
        turned += yaw / 10
    assert abs(turned) > 50


def test_the_yaw_rate_is_how_the_heading_changes() -> None:
    """A compass turns clockwise, a yaw rate the other way."""
    world = World(7)
    yaw_deg = turn_deg = 0.0
    before = None
    for ms in range(0, 200_000, 100):
        world.advance_to(ms)
        heading = world.place.heading_deg
        if before is not None:
            turn_deg += (heading - before + 180) % 360 - 180
        before = heading
        yaw_deg += world.yaw_rad_per_s * DEGREES / 10
    assert abs(turn_deg) > 50
    assert yaw_deg == pytest.approx(-turn_deg, abs=8)


@pytest.mark.parametrize(
    ("at", "offset_min", "want"),
    [
        ("2027-03-01T00:00:00", 0, "00000003012a7d7d"),
        ("2027-03-01T05:59:59.750", 60, "ef3b0503012a7d7e"),
        ("2027-03-01T06:00:00", -180, "00000603022a7d7a"),
        ("2028-12-31T23:59:30", 345, "783b170c7c2baa82"),
        ("2028-12-31T23:59:30", -210, "783b170c7c2b5f7a"),
        ("2001-01-01T00:00:01", None, "040000010110ffff"),
    ],
)
def test_time_and_date(at: str, offset_min: int | None, want: str) -> None:
    utc_ms = round(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000)
    assert time_and_date(utc_ms, offset_min).hex() == want


def test_the_tachograph_tells_the_true_time() -> None:
    vehicle = Vehicle(7, sources=("fms",))
    for emission in vehicle.advance(5, NO_FAULTS):
        if frame(emission.data)[0] == 0xFEE6:
            utc_ms = dict(emission.writings)["Vehicle.Bus.Clock.Vehicle"]
            assert int(utc_ms) % 250 == 0
            now_ms = vehicle.world.utc_start_ms + emission.at_s * 1000
            assert 0 <= now_ms - int(utc_ms) < 260


def test_telltales_come_block_by_block() -> None:
    states = {0b1000: "off", 0b1001: "red", 0b1010: "yellow", 0b1011: "info"}
    blocks = []
    shown: set[str] = set()
    colours: set[Scalar] = set()
    for emission in said(0xFD7D, 200):
        payload = frame(emission.data)[2]
        block = payload[0] & 0xF
        blocks.append(block)
        want = {}
        for k in range(1, 16):
            byte = payload[k // 2]
            nibble = byte >> 4 if k % 2 else byte & 0xF
            if nibble != 0xF:
                want[path(NAMES[block * 15 + k - 1])] = states[nibble]
        assert dict(emission.writings) == want
        shown |= want.keys()
        colours |= set(want.values())
    assert blocks[:8] == [0, 1, 2, 3] * 2
    assert len(NAMES) == 60 and len(shown) == 32
    assert colours == set(states.values())


def test_doors_open_and_close_one_after_the_other() -> None:
    opened: dict[int, float] = {}
    closed: dict[int, float] = {}
    for emission in said(0xFDA5, 12):
        bits = le(frame(emission.data)[2], 1, 8)
        for door in range(10):
            is_open = bits >> 6 * door + 2 & 3
            assert is_open == 3 if door >= 3 else is_open in (0, 1)
            if is_open == 1:
                opened.setdefault(door, emission.at_s)
                closed[door] = emission.at_s
    assert opened[0] < opened[1] < opened[2] < opened[0] + 1
    assert closed[0] < closed[1] < closed[2] < 10.3
    # Door control 1 says the same of all of them together.
    shut = [e.at_s for e in said(0xFE4E, 12) if frame(e.data)[2][0] & 0xF == 2]
    assert next(at_s for at_s in shut if at_s > 5) == pytest.approx(closed[2] + 0.1, abs=0.11)


def test_lights_come_when_they_change() -> None:
    emissions = said(0xFE40, 200)
    assert 4 <= len(emissions) < 60
    assert all(a.data != b.data for a, b in pairwise(emissions))


@pytest.mark.parametrize(
    ("dtcs", "want"),
    [
        ((), "04ff00000000ffff"),
        ((Dtc(110, 0, 3, 0),), "04ff6e000003ffff"),
        ((Dtc(520_211, 31, None, 0),), "04ff13f0ff7fffff"),
        ((Dtc(100, 1, 1, 1), Dtc(157, 18, 126, 0)), "04ff640001819d00127e"),
    ],
)
def test_dm1(dtcs: tuple[Dtc, ...], want: str) -> None:
    assert dm1(0x04, dtcs).hex() == want


@given(st.binary(min_size=9, max_size=200))
def test_packets_hold_the_message(text: bytes) -> None:
    announcement, *parts = broadcast(0xFECA, 0x0B, text)
    assert announcement.payload[0] == 32 and le(announcement.payload, 2, 3) == len(text)
    assert announcement.payload[3] == len(parts) and le(announcement.payload, 6, 8) == 0xFECA
    assert [part.payload[0] for part in parts] == list(range(1, len(parts) + 1))
    assert b"".join(part.payload[1:] for part in parts)[: len(text)] == text
    assert {len(part.payload) for part in parts} == {8}


def test_trouble_codes_come_and_go_alone_and_in_packets() -> None:
    single: set[int] = set()
    together: set[int] = set()
    for emission in Vehicle(7, sources=("fms",)).advance(80, NO_FAULTS):
        if emission.dm1 is not None and emission.dm1.dtcs:
            pgn, sender, _ = frame(emission.data)
            (single if pgn == 0xFECA else together).add(len(emission.dm1.dtcs))
            assert sender == emission.dm1.sa
    assert single == {1} and together == {3}


def test_the_driver_is_named_in_packets_once_the_card_is_read() -> None:
    vehicle = Vehicle(7, sources=("fms",))
    named = [
        (e.at_s, value)
        for e in vehicle.advance(30, NO_FAULTS)
        for p, value in e.writings
        if p == "Vehicle.Tachograph.Driver1.Identifier"
    ]
    assert [value for _, value in named] == [vehicle.world.driver_id] * 3
    assert named[0][0] > 7.5


def test_two_messages_of_one_sender_never_mix_their_packets() -> None:
    """A sender has one broadcast at a time (SAE J1939-21)."""
    for kind in ("diesel", "electric"):
        open_until: dict[int, int] = {}
        emissions = Vehicle(7, sources=("fms",), kind=kind).advance(70, NO_FAULTS)
        for emission in emissions:
            pgn, sender, payload = frame(emission.data)
            if pgn == 0xEC00:
                assert open_until.get(sender, 0) == 0
                open_until[sender] = payload[3]
            elif pgn == 0xEB00:
                open_until[sender] -= 1


ELECTRIC_LAYOUT = {
    # PGN: (first byte, last byte, resolution, offset, name)
    0xFCB7: ((1, 2, 0.0025, 0, "Powertrain.TractionBattery.StateOfCharge.Displayed"),),
    0xF090: (
        (1, 2, 0.05, 0, "Bus.TractionBattery.AvailableDischargePower"),
        (3, 4, 0.05, 0, "Bus.TractionBattery.AvailableChargePower"),
        (5, 6, 0.05, 0, "Powertrain.TractionBattery.CurrentVoltage"),
        (7, 8, 0.05, -1600, "Powertrain.TractionBattery.CurrentCurrent"),
    ),
    0xF091: (
        (1, 2, 0.0025, 0, "Powertrain.TractionBattery.StateOfCharge.Current"),
        (3, 4, 0.001, 0, "Bus.TractionBattery.HighestCellVoltage"),
        (5, 6, 0.001, 0, "Bus.TractionBattery.LowestCellVoltage"),
    ),
    0xF0A0: ((4, 6, 0.001, 0, "Bus.TractionBattery.ChargeEnergyCapacity"),),
    0xFC5E: ((1, 1, 0.4, 0, "Powertrain.TractionBattery.StateOfHealth"),),
}
ENGINE_PGNS = {0xF004, 0xF003, 0xFEF2, 0xFEE9, 0xFD09, 0xFEE5, 0xFEEE, 0xFE56, 0xF005, 0xF000}


def test_an_electric_bus_speaks_of_its_battery_and_not_of_an_engine() -> None:
    seen: dict[int, int] = {}
    for emission in Vehicle(7, sources=("fms",), kind="electric").advance(20, NO_FAULTS):
        pgn, sender, payload = frame(emission.data)
        seen[pgn] = seen.get(pgn, 0) + 1
        assert sender != 0x00
        if pgn in ELECTRIC_LAYOUT and emission.writings:
            assert sender == 0xF3
            assert dict(emission.writings) == {
                f"Vehicle.{name}": pytest.approx(le(payload, first, last) * step + offset)
                for first, last, step, offset, name in ELECTRIC_LAYOUT[pgn]
            }
    assert set(ELECTRIC_LAYOUT) <= set(seen) and not ENGINE_PGNS & set(seen)
    assert seen[0xF090] == seen[0xF091] == 1_000 and seen[0xFC5E] == 2


def test_braking_charges_and_driving_discharges() -> None:
    world = World(7, electric=True)
    battery = world.traction
    assert battery is not None
    stored = battery.stored_kwh
    charged = 0.0
    for ms in range(0, 300_000, 100):
        world.advance_to(ms)
        assert 500 < battery.voltage_v < 800 and -500 < battery.current_a < 300
        assert 0 < battery.soc_percent < 100
        charged = max(charged, battery.current_a)
        if battery.current_a > 5:
            assert world.acceleration_ms2 < 0 or world.speed_ms > 1
    assert charged > 50
    # About a kilowatt-hour a kilometre.
    spent = stored - battery.stored_kwh
    assert 0.5 < spent / (world.distance_m / 1000) < 3.0
