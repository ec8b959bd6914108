"""The 17-field record of a bus, once a second: made up, the same for every system that is compared.

Imports nothing of ours, so that it runs in a foreign interpreter too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

FIELDS = (
    # short name, path, steps per unit (0: as it comes)
    ("lat", "Vehicle.CurrentLocation.Latitude", 10_000_000),
    ("lon", "Vehicle.CurrentLocation.Longitude", 10_000_000),
    ("alt", "Vehicle.CurrentLocation.Altitude", 10),
    ("hdg", "Vehicle.CurrentLocation.Heading", 10),
    ("sat", "Vehicle.Bus.Gnss.Satellites", 1),
    ("hdop", "Vehicle.Bus.Gnss.Hdop", 10),
    ("spd", "Vehicle.Speed", 256),
    ("rpm", "Vehicle.Powertrain.CombustionEngine.Speed", 8),
    ("trq", "Vehicle.Bus.Engine.TorquePercent", 1),
    ("load", "Vehicle.Bus.Engine.LoadPercent", 1),
    ("acc", "Vehicle.Chassis.Accelerator.PedalPosition", 10),
    ("fuel", "Vehicle.Bus.Fuel.RateLitrePerHour", 20),
    ("lvl", "Vehicle.Powertrain.FuelSystem.RelativeLevel", 10),
    ("cool", "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature", 1),
    ("odo", "Vehicle.TraveledDistance", 200),
    ("gear", "Vehicle.Powertrain.Transmission.CurrentGear", 1),
    ("amb", "Vehicle.Exterior.AirTemperature", 32),
)
UTC_MS = 1_800_000_000_000
"""Of the first record."""


def records(n: int, seed: int = 7) -> Iterator[tuple[int, dict[str, float | int]]]:
    """(milliseconds since the first, value by short name) of `n` seconds between stops."""
    draw = random.Random(seed)
    lat, lon, odometer_km, level, speed = 59.91, 10.75, 412_000.0, 80.0, 0.0
    for second in range(n):
        phase = second % 70
        target = 0.0 if phase < 12 else 45.0 if phase < 50 else max(0.0, 45.0 - (phase - 50) * 2.3)
        speed = max(0.0, speed + max(-4.0, min(3.0, target - speed)))
        shown = max(0.0, speed + draw.gauss(0, 0.4)) if target or speed > 1 else 0.0
        heading = (40 + 25 * math.sin(second / 90)) % 360
        metres = speed / 3.6
        lat += metres * math.cos(math.radians(heading)) / 111_320
        lon += metres * math.sin(math.radians(heading)) / 55_800
        odometer_km += metres / 1000
        torque = max(0, round((target - speed) * 6 + speed / 3 + draw.gauss(0, 2)))
        litres = 2 + torque * 0.35
        level -= litres / 3600 / 3
        gear = min(6, 1 + int(speed / 9))
        yield (
            second * 1000,
            {
                # A receiver's noise: half a metre from one second to the next.
                "lat": round(lat + draw.gauss(0, 4e-6), 7),
                "lon": round(lon + draw.gauss(0, 8e-6), 7),
                "alt": round(40 + 12 * math.sin(second / 200) + draw.gauss(0, 0.4), 1),
                "hdg": round((heading + draw.gauss(0, 0.8)) % 360, 1),
                "sat": draw.choice((9, 10, 10, 10, 11)),
                "hdop": draw.choice((0.8, 0.9, 0.9)),
                "spd": round(shown * 256) / 256,
                "rpm": round((600 + speed % 9 * 120 + torque * 2 + draw.gauss(0, 6)) * 8) / 8,
                "trq": torque,
                "load": min(100, torque + 8 + draw.choice((-1, 0, 0, 1))),
                "acc": min(100.0, round(max(0.0, torque + draw.gauss(0, 1)) * 2.5) / 2.5),
                "fuel": round((litres + abs(draw.gauss(0, 0.2))) * 20) / 20,
                "lvl": round(level, 1),
                "cool": round(85 + 2 * math.sin(second / 300)),
                "odo": round(odometer_km * 200) / 200,
                "gear": gear,
                "amb": round((8 + math.sin(second / 1800)) * 32) / 32,
            },
        )
