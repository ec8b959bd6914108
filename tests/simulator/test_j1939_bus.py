"""The frames on the bus, read back by a decoder of the test's own, and their rates."""

from collections import Counter
from itertools import pairwise

import pytest

from simulator.emission import NO_FAULTS, ActiveFaults, Emission, Scalar
from simulator.j1939_bus import slcan
from simulator.vehicle import Vehicle

SILENT: ActiveFaults = frozenset({("can_silent", "fms")})
FLOOD: ActiveFaults = frozenset({("can_flood", "fms")})

SWITCH, CODE = "switch", "code"

# Layouts as SAE J1939-71 and the FMS standard publish them:
# PGN: (first byte, first bit, bits, resolution or SWITCH or CODE, offset, name)
LAYOUTS: dict[int, tuple[tuple[int, int, int, float | str, float, str], ...]] = {
    0xF004: (
        (1, 1, 4, CODE, 0, "Bus.Engine.TorqueMode"),
        (2, 1, 8, 1, -125, "Bus.Engine.DemandTorquePercent"),
        (3, 1, 8, 1, -125, "Bus.Engine.TorquePercent"),
        (4, 1, 16, 0.125, 0, "Powertrain.CombustionEngine.Speed"),
        (7, 1, 4, CODE, 0, "Bus.Engine.StarterMode"),
    ),
    0xF003: (
        (1, 1, 2, SWITCH, 0, "Bus.Chassis.AcceleratorLowIdle"),
        (1, 3, 2, SWITCH, 0, "Bus.Chassis.KickdownActive"),
        (2, 1, 8, 0.4, 0, "Chassis.Accelerator.PedalPosition"),
        (3, 1, 8, 1, 0, "Bus.Engine.LoadPercent"),
    ),
    0xFEF1: (
        (1, 3, 2, SWITCH, 0, "Chassis.ParkingBrake.IsEngaged"),
        (2, 1, 16, 1 / 256, 0, "Speed"),
        (4, 1, 2, SWITCH, 0, "ADAS.CruiseControl.IsActive"),
        (4, 3, 2, SWITCH, 0, "ADAS.CruiseControl.IsEnabled"),
        (4, 5, 2, SWITCH, 0, "Bus.Chassis.BrakeSwitch"),
        (4, 7, 2, SWITCH, 0, "Bus.Powertrain.ClutchSwitch"),
        (6, 1, 8, 1, 0, "ADAS.CruiseControl.SpeedSet"),
        (7, 1, 5, CODE, 0, "Bus.Pto.State"),
    ),
    0xFEF2: (
        (1, 1, 16, 0.05, 0, "Bus.Fuel.RateLitrePerHour"),
        (3, 1, 16, 1 / 512, 0, "Powertrain.FuelSystem.InstantFuelEconomy"),
        (5, 1, 16, 1 / 512, 0, "Powertrain.FuelSystem.CumulativeFuelEconomy"),
    ),
    0xFEFC: (
        (1, 1, 8, 0.4, 0, "Body.Windshield.Front.WasherFluid.Level"),
        (2, 1, 8, 0.4, 0, "Powertrain.FuelSystem.RelativeLevel"),
        (5, 1, 16, 1 / 32, -273, "Bus.Cabin.CargoAmbientTemperature"),
        (7, 1, 8, 0.4, 0, "Bus.Fuel.Level2"),
    ),
    0xFEE5: ((1, 1, 32, 0.05, 0, "Powertrain.CombustionEngine.EngineHours"),),
    0xFEC1: (
        (1, 1, 32, 5, 0, "TraveledDistance"),
        (5, 1, 32, 5, 0, "TripMeterReading"),
    ),
    0xFEEE: (
        (1, 1, 8, 1, -40, "Powertrain.CombustionEngine.EngineCoolant.Temperature"),
        (2, 1, 8, 1, -40, "Bus.Fuel.Temperature"),
        (3, 1, 16, 1 / 32, -273, "Powertrain.CombustionEngine.EngineOil.Temperature"),
    ),
    0xFEF5: (
        (1, 1, 8, 5, 0, "Exterior.AirPressure"),
        (2, 1, 16, 1 / 32, -273, "Cabin.HVAC.AmbientAirTemperature"),
        (4, 1, 16, 1 / 32, -273, "Exterior.AirTemperature"),
    ),
    0xFE6C: (
        (1, 1, 3, CODE, 0, "Tachograph.Driver1.WorkingState"),
        (1, 4, 3, CODE, 0, "Tachograph.Driver2.WorkingState"),
        (1, 7, 2, SWITCH, 0, "IsMoving"),
        (2, 1, 4, CODE, 0, "Tachograph.Driver1.TimeState"),
        (2, 5, 2, SWITCH, 0, "Tachograph.Driver1.CardPresent"),
        (2, 7, 2, SWITCH, 0, "Tachograph.Overspeed"),
        (3, 1, 4, CODE, 0, "Tachograph.Driver2.TimeState"),
        (3, 5, 2, SWITCH, 0, "Tachograph.Driver2.CardPresent"),
        (4, 1, 2, SWITCH, 0, "Tachograph.SystemEvent"),
        (4, 3, 2, SWITCH, 0, "Tachograph.HandlingInfo"),
        (4, 5, 2, CODE, 0, "Tachograph.Performance"),
        (4, 7, 2, CODE, 0, "Tachograph.Direction"),
        (5, 1, 16, 0.125, 0, "Tachograph.OutputShaftSpeed"),
        (7, 1, 16, 1 / 256, 0, "Tachograph.Speed"),
    ),
    0xFE4E: (
        (1, 1, 4, CODE, 0, "Bus.Doors.Position"),
        (1, 5, 2, SWITCH, 0, "Bus.Ramp.IsOutside"),
        (1, 7, 2, SWITCH, 0, "Bus.Doors.AnyEnabled"),
    ),
    0xFD09: (
        (1, 1, 32, 0.001, 0, "Bus.Fuel.TripUsed"),
        (5, 1, 32, 0.001, 0, "Bus.Fuel.TotalUsed"),
    ),
    0xFE56: (
        (1, 1, 8, 0.4, 0, "Powertrain.CombustionEngine.DieselExhaustFluid.Level"),
        (2, 1, 8, 1, -40, "Bus.Def.Temperature"),
    ),
    0xFED5: (
        (1, 1, 16, 0.5, 0, "Bus.Electrical.AlternatorSpeed"),
        (3, 1, 2, SWITCH, 0, "Bus.Electrical.Alternator1Charging"),
        (3, 3, 2, SWITCH, 0, "Bus.Electrical.Alternator2Charging"),
    ),
    0xF000: (
        (1, 1, 4, CODE, 0, "Bus.Retarder.TorqueMode"),
        (2, 1, 8, 1, -125, "Bus.Retarder.TorquePercent"),
        (7, 1, 8, 0.4, 0, "Bus.Retarder.Selection"),
    ),
    0xF001: (
        (1, 5, 2, SWITCH, 0, "ADAS.ABS.IsEngaged"),
        (1, 7, 2, SWITCH, 0, "Bus.Chassis.EbsBrakeSwitch"),
        (2, 1, 8, 0.4, 0, "Chassis.Brake.PedalPosition"),
    ),
    0xFEAE: (
        (1, 1, 8, 8, 0, "Bus.Pneumatics.Supply"),
        (2, 1, 8, 8, 0, "Bus.Pneumatics.ParkingPressure"),
        (3, 1, 8, 8, 0, "Bus.Pneumatics.BrakeCircuit1"),
        (4, 1, 8, 8, 0, "Bus.Pneumatics.BrakeCircuit2"),
        (7, 1, 2, SWITCH, 0, "Bus.Pneumatics.CompressorActive"),
    ),
    0xFE70: (
        (1, 1, 16, 10, 0, "CurrentOverallWeight"),
        (3, 1, 16, 10, 0, "Bus.Weight.GrossCombination"),
    ),
    0xFE58: (
        (1, 1, 16, 0.1, 0, "Bus.Suspension.FrontLeftPressure"),
        (3, 1, 16, 0.1, 0, "Bus.Suspension.FrontRightPressure"),
        (5, 1, 16, 0.1, 0, "Bus.Suspension.RearLeftPressure"),
        (7, 1, 16, 0.1, 0, "Bus.Suspension.RearRightPressure"),
    ),
    0xFEF7: (
        (1, 1, 8, 1, -125, "LowVoltageBattery.CurrentCurrent"),
        (3, 1, 16, 0.05, 0, "Bus.Electrical.ChargingVoltage"),
        (5, 1, 16, 0.05, 0, "LowVoltageBattery.CurrentVoltage"),
        (7, 1, 16, 0.05, 0, "Bus.Electrical.KeyswitchVoltage"),
    ),
    0xFDA4: ((7, 1, 2, SWITCH, 0, "Bus.Pto.AnyEngaged"),),
    0xFE40: (
        (1, 1, 2, SWITCH, 0, "Body.Lights.Running.IsOn"),
        (1, 5, 2, SWITCH, 0, "Body.Lights.Beam.Low.IsOn"),
        (1, 7, 2, SWITCH, 0, "Body.Lights.Beam.High.IsOn"),
        (2, 5, 2, SWITCH, 0, "Body.Lights.DirectionIndicator.Right.IsSignaling"),
        (2, 7, 2, SWITCH, 0, "Body.Lights.DirectionIndicator.Left.IsSignaling"),
    ),
    0xFDA5: (
        (1, 1, 2, SWITCH, 0, "Bus.Door1.IsLocked"),
        (1, 3, 2, SWITCH, 0, "Bus.Door1.IsOpen"),
        (1, 5, 2, SWITCH, 0, "Bus.Door1.IsEnabled"),
        (1, 7, 2, SWITCH, 0, "Bus.Door2.IsLocked"),
        (2, 1, 2, SWITCH, 0, "Bus.Door2.IsOpen"),
        (2, 3, 2, SWITCH, 0, "Bus.Door2.IsEnabled"),
        (2, 5, 2, SWITCH, 0, "Bus.Door3.IsLocked"),
        (2, 7, 2, SWITCH, 0, "Bus.Door3.IsOpen"),
        (3, 1, 2, SWITCH, 0, "Bus.Door3.IsEnabled"),
    ),
}
GREATEST = {2: 1, 3: 5, 4: 13, 5: 29, 8: 0xFA, 16: 0xFAFF, 32: 0xFAFFFFFF}
SENDERS = {
    0xFE6C: 0xEE, 0xFEC1: 0xEE, 0xF004: 0x00, 0xF003: 0x00, 0xFEFC: 0x17, 0xFEF5: 0x17,
    0xF000: 0x0F, 0xF001: 0x0B, 0xFE58: 0x2F, 0xFE4E: 0xEC, 0xFDA5: 0xEC,
}  # fmt: skip


def frame(line: bytes) -> tuple[int, int, bytes]:
    """PGN, source address and payload of an SLCAN line."""
    assert line[:1] == b"T" and line[-1:] == b"\r"
    can_id, length = int(line[1:9], 16), int(line[9:10])
    payload = bytes.fromhex(line[10:-1].decode("ascii"))
    assert len(payload) == length
    pgn = can_id >> 8 & 0x3FFFF
    if pgn >> 8 & 0xFF < 0xF0:
        pgn &= 0x3FF00
    return pgn, can_id & 0xFF, payload


def decoded(pgn: int, payload: bytes) -> dict[str, Scalar]:
    got: dict[str, Scalar] = {}
    number = int.from_bytes(payload, "little")
    for byte, bit, bits, resolution, offset, name in LAYOUTS[pgn]:
        raw = number >> (byte - 1) * 8 + bit - 1 & (1 << bits) - 1
        if raw > GREATEST[bits]:
            continue
        if isinstance(resolution, str):
            got["Vehicle." + name] = raw == 1 if resolution == SWITCH else raw
        else:
            got["Vehicle." + name] = pytest.approx(raw * resolution + offset, abs=1e-9)
    return got


def on_bus(seed: int, seconds: float, faults: ActiveFaults = NO_FAULTS) -> list[Emission]:
    return Vehicle(seed, sources=("fms",)).advance(seconds, faults)


def long_messages(emissions: list[Emission]) -> list[Emission]:
    return [e for e in emissions if frame(e.data)[0] in (0xEC00, 0xEB00)]


@pytest.mark.parametrize("seed", [0, 7, 31])
def test_writings_are_what_the_bits_say(seed: int) -> None:
    seen = Counter[int]()
    for emission in on_bus(seed, 100):
        pgn, sender, payload = frame(emission.data)
        seen[pgn] += 1
        if pgn in LAYOUTS:
            assert len(payload) == 8
            assert dict(emission.writings) == decoded(pgn, payload)
            assert sender == SENDERS.get(pgn, sender)
    assert set(LAYOUTS) <= set(seen)


def test_bits_without_a_meaning_are_ones() -> None:
    defined = {
        pgn: sum(((1 << bits) - 1) << (byte - 1) * 8 + bit - 1 for byte, bit, bits, *_ in layout)
        for pgn, layout in LAYOUTS.items()
    }
    for emission in on_bus(1, 3):
        pgn, _, payload = frame(emission.data)
        if pgn in defined:
            rest = ~defined[pgn] & (1 << 64) - 1
            assert int.from_bytes(payload, "little") & rest == rest


def test_each_group_comes_at_its_rate() -> None:
    want = {
        0xF004: 50, 0xF003: 20, 0xFEF1: 10, 0xFEF2: 10, 0xFE6C: 20, 0xFE4E: 10, 0xFDA5: 10,
        0xF000: 10, 0xF001: 10, 0xF005: 10, 0xF009: 10, 0xFDA4: 10, 0xFEE0: 10,
        0xFEFC: 1, 0xFEE5: 1, 0xFEC1: 1, 0xFEEE: 1, 0xFEF5: 1, 0xFEE9: 1, 0xFD09: 1, 0xFEEA: 1,
        0xFEAE: 1, 0xFEE6: 1, 0xFE58: 1, 0xFE56: 1, 0xFEF7: 1, 0xFED5: 1, 0xFEC0: 1, 0xFD7D: 1,
        0xFE70: 0.1, 0xFDD1: 0.1,
    }  # fmt: skip
    seconds = 30
    times: dict[int, list[float]] = {}
    for emission in on_bus(7, seconds):
        times.setdefault(frame(emission.data)[0], []).append(emission.at_s)
    for pgn, rate in want.items():
        assert len(times[pgn]) == rate * seconds
        assert {round(b - a, 3) for a, b in pairwise(times[pgn])} == {round(1 / rate, 3)}


def test_the_vin_comes_in_three_packets() -> None:
    vehicle = Vehicle(7, sources=("fms",))
    packets = long_messages(vehicle.advance(3, NO_FAULTS))
    assert [b.at_s - a.at_s for a, b in pairwise(packets)] == pytest.approx([0.06] * 3)
    announcement, *parts = [frame(e.data)[2] for e in packets]
    assert announcement == bytes((32, 18, 0, 3, 0xFF, 0xEC, 0xFE, 0x00))
    assert [part[0] for part in parts] == [1, 2, 3]
    text = b"".join(part[1:] for part in parts)[:18].decode("ascii")
    assert text == vehicle.world.vin + "*"
    assert [e.writings for e in packets] == [
        (), (), (), (("Vehicle.VehicleIdentification.VIN", vehicle.world.vin),),
    ]  # fmt: skip


def test_states_are_on_the_wire_and_no_writings() -> None:
    shaft_errors = no_set_speed = 0
    for emission in on_bus(7, 100):
        pgn, _, payload = frame(emission.data)
        if pgn == 0xFE6C and payload[4:6] == b"\x00\xfe":
            shaft_errors += 1
            assert "Vehicle.Tachograph.OutputShaftSpeed" not in dict(emission.writings)
        if pgn == 0xFEF1 and payload[5] == 0xFF:
            no_set_speed += 1
            assert "Vehicle.ADAS.CruiseControl.SpeedSet" not in dict(emission.writings)
    assert shaft_errors > 10 and no_set_speed > 100


def test_a_silent_bus_has_no_frame() -> None:
    assert on_bus(7, 20, SILENT) == []


def test_a_vin_that_was_cut_by_silence_is_no_writing() -> None:
    vehicle = Vehicle(7, sources=("fms",))
    vehicle.advance(1.53, NO_FAULTS)
    vehicle.advance(1.57, SILENT)
    rest = vehicle.advance(2.0, NO_FAULTS)
    assert any(frame(e.data)[0] == 0xEB00 for e in rest)
    assert not any("VIN" in path for e in rest for path, _ in e.writings)


def test_a_flooded_bus_is_full_and_still_carries_everything() -> None:
    flooded, calm = on_bus(7, 6, FLOOD), on_bus(7, 6)
    beyond = sum(frame(e.data)[0] in (0xEC00, 0xEB00, 0xFE40, 0xFE70, 0xFDD1) for e in calm)
    # What comes less often than once a second is not set off against the flood.
    assert abs(len(flooded) - 6 * 1_850 - beyond) <= 2
    assert [e for e in flooded if e.writings] == [e for e in calm if e.writings]
    for second in range(6):
        count = sum(second < e.at_s <= second + 1 for e in flooded)
        assert count - 1_850 in range(-1, 7)
    ids = {e.data[1:9] for e in flooded}
    assert len(ids) > 20


def test_what_a_gateway_repeats_is_what_was_said_last() -> None:
    said: dict[int, bytes] = {}
    repeated = 0
    for emission in on_bus(7, 5, FLOOD):
        pgn, sender, payload = frame(emission.data)
        if pgn in LAYOUTS and emission.writings:
            said[pgn] = payload
        elif pgn in LAYOUTS and emission.at_s > 0.2:
            repeated += 1
            assert payload == said[pgn] and sender == 0xEF
    assert repeated > 1_000


def test_slcan_line() -> None:
    assert slcan(0x18FEF100, bytes.fromhex("ff0032")) == b"T18FEF1003FF0032\r"
