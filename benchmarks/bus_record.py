"""The 17-field record of a bus at 1 Hz: a made-up drive between stops, with a sensor's rounding."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterator

from agent.record import Record, Scalar
from agent.signals import Datatype, Group, Signal

SOURCE = "bus"
FIELDS: tuple[tuple[str, str, int], ...] = (
    ("Vehicle.CurrentLocation.Latitude", "degrees", 10_000_000),
    ("Vehicle.CurrentLocation.Longitude", "degrees", 10_000_000),
    ("Vehicle.CurrentLocation.Altitude", "m", 10),
    ("Vehicle.Bus.Gnss.Speed", "km/h", 100),
    ("Vehicle.CurrentLocation.Heading", "degrees", 10),
    ("Vehicle.Bus.Gnss.Satellites", "", 1),
    ("Vehicle.Speed", "km/h", 256),
    ("Vehicle.Powertrain.CombustionEngine.Speed", "rpm", 8),
    ("Vehicle.Bus.Engine.TorquePercent", "percent", 1),
    ("Vehicle.Chassis.Accelerator.PedalPosition", "percent", 10),
    ("Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature", "celsius", 1),
    ("Vehicle.Powertrain.FuelSystem.RelativeLevel", "percent", 10),
    ("Vehicle.Bus.Fuel.RateLitrePerHour", "l/h", 20),
    ("Vehicle.TraveledDistance", "km", 200),
    ("Vehicle.Powertrain.Transmission.CurrentGear", "", 1),
    ("Vehicle.Bus.Doors.AnyOpen", "", 0),
    ("Vehicle.Bus.Chassis.BrakeSwitch", "", 0),
)
"""Path, unit, steps per unit (0: not a number)."""
GROUP = Group(
    "second",
    tuple(
        Signal(path, Datatype.DOUBLE if steps else Datatype.BOOLEAN, unit, "", steps_per_unit=steps)
        for path, unit, steps in FIELDS
    ),
)


def group_of(source: str, paths: Collection[str]) -> Group:
    """All records are of the one group."""
    return GROUP


def drive(seed: int = 1) -> Iterator[Record]:
    """One record a second for ever: 60 s between stops, 20 s there."""
    chance = random.Random(seed)
    latitude, longitude, heading_deg, altitude_m = 52.52, 13.405, 80.0, 34.0
    distance_km, fuel_percent, coolant_c, speed_kmh = 412_345.0, 71.0, 82.0, 0.0
    second = 0
    while True:
        at = second % 80
        target_kmh = 0.0 if at < 20 else min(52.0, (at - 19) * 3.6, max(0.0, (80 - at) * 4.0))
        before = speed_kmh
        speed_kmh = max(0.0, target_kmh + (chance.gauss(0, 0.35) if target_kmh else 0.0))
        accelerating = speed_kmh > before + 0.2
        if speed_kmh:
            heading_deg = (heading_deg + chance.gauss(0, 1.2)) % 360
            altitude_m += chance.gauss(0, 0.12)
        way_m = speed_kmh / 3.6
        latitude += way_m * math.cos(math.radians(heading_deg)) / 111_320
        longitude += way_m * math.sin(math.radians(heading_deg)) / 67_800
        distance_km += way_m / 1_000
        gear = 0 if not speed_kmh else 1 + min(5, int(speed_kmh / 9))
        rpm = 600 + (speed_kmh % 9) * 90 if speed_kmh else 600 + chance.gauss(0, 3)
        pedal = chance.gauss(48, 6) if accelerating else 0.0
        rate_l_h = 3.0 + (22.0 + chance.gauss(0, 2) if accelerating else 0.0)
        fuel_percent -= rate_l_h / 3_600 / 3
        coolant_c += chance.gauss(0, 0.05)
        stated = (
            latitude,
            longitude,
            altitude_m,
            speed_kmh + chance.gauss(0, 0.1) if speed_kmh else 0.0,
            heading_deg,
            chance.choice((10, 10, 10, 10, 11)),
            speed_kmh,
            rpm,
            40 + chance.gauss(0, 4) if accelerating else 8,
            max(0.0, pedal),
            coolant_c,
            fuel_percent,
            rate_l_h,
            distance_km,
            gear,
            2 < at < 18,
            speed_kmh < before - 0.2,
        )
        values: dict[str, Scalar] = {}
        for (path, _, steps), value in zip(FIELDS, stated, strict=True):
            values[path] = bool(value) if not steps else round(value * steps) / steps
        yield Record(SOURCE, 100_000 + 1_000 * second, values)
        second += 1
