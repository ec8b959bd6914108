"""The world: one bus on one route, a pure function of its seed and of time.

Time goes in steps of 10 ms, however callers slice it, so the same seed gives the same trajectory.
World second 0 is the moment at which the run begins; UTC then comes from the seed.
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime

from simulator.drivetrain import Drivetrain
from simulator.route import BRAKING_MS2, Place, Route
from simulator.service import Service

STEP_MS = 10
STEP_S = STEP_MS / 1000

ACCELERATION_MAX_MS2 = 1.0
BRAKING_MAX_MS2 = 1.8
JERK_MAX_MS3 = 2.5
POWER_PER_MASS_W_PER_KG = 5.5

BRAKE_ON_MS2 = -0.45
BRAKE_OFF_MS2 = -0.15

CRUISE_LIMIT_MS = 59.0 / 3.6
"""Cruise control is worth switching on where the limit is at least this."""
CRUISE_SET_KMH = 58

SHAFT_GLITCH_EVERY_MS = 41_000
SHAFT_GLITCH_AT_MS = 27_000
SHAFT_GLITCH_MS = 1_400

UTC_FIRST = datetime(2027, 1, 1, tzinfo=UTC)
UTC_LAST = datetime(2029, 12, 31, tzinfo=UTC)

VIN_ALPHABET = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"  # no I, O, Q: ISO 3779

_ROUTE: list[Route] = []


def shipped_route() -> Route:
    """The route that ships, built once: its speed envelope takes a tenth of a second."""
    if not _ROUTE:
        _ROUTE.append(Route.load())
    return _ROUTE[0]


class World:
    """The bus at `now_ms`. Speeds in m/s, distances in m, unless a name says otherwise."""

    def __init__(self, seed: int, route: Route | None = None) -> None:
        rng = random.Random(f"world {seed}")
        self.route = route or shipped_route()
        span_s = int((UTC_LAST - UTC_FIRST).total_seconds())
        self.utc_start_ms = (int(UTC_FIRST.timestamp()) + rng.randrange(span_s)) * 1000
        self.vin = "ZZ9" + "".join(rng.choice(VIN_ALPHABET) for _ in range(14))
        self.odometer_start_m = rng.randrange(40_000_000, 620_000_000)
        self.sea_level_hpa = rng.uniform(993.0, 1_032.0)
        self.washer_percent = rng.uniform(30.0, 100.0)
        self.second_tank_percent = rng.uniform(20.0, 90.0)
        self.now_ms = 0
        self.speed_ms = 0.0
        self.acceleration_ms2 = 0.0
        self.distance_m = 0.0
        self.braking = False
        self.engine = Drivetrain(random.Random(f"drivetrain {seed}"))
        self.service = Service(random.Random(f"service {seed}"), self.route)

    def advance_to(self, at_ms: int) -> None:
        """Let the world go on to the last whole step that is not after `at_ms`."""
        while self.now_ms + STEP_MS <= at_ms:
            self._step()

    @property
    def utc_ms(self) -> int:
        """UTC now, in ms."""
        return self.utc_start_ms + self.now_ms

    @property
    def place(self) -> Place:
        """Where the bus is."""
        return self.route.at(self.distance_m)

    @property
    def speed_kmh(self) -> float:
        """Road speed."""
        return self.speed_ms * 3.6

    @property
    def odometer_m(self) -> float:
        """Distance since the bus was built."""
        return self.odometer_start_m + self.distance_m

    @property
    def air_pressure_hpa(self) -> float:
        """By the barometric formula, scale height 8.4 km."""
        return self.sea_level_hpa * math.exp(-self.route.elevation_m(self.distance_m) / 8_400.0)

    @property
    def cruise_enabled(self) -> bool:
        """Whether the driver has cruise control switched on: on the ring road."""
        return self.route.limit_ms(self.distance_m) >= CRUISE_LIMIT_MS

    @property
    def cruise_active(self) -> bool:
        """Whether cruise control has the engine."""
        return self.cruise_enabled and not self.braking and self.speed_kmh > CRUISE_SET_KMH - 6

    @property
    def shaft_sensor_broken(self) -> bool:
        """The tachograph's pulse sensor has a loose contact now and then."""
        return 0 <= self.now_ms % SHAFT_GLITCH_EVERY_MS - SHAFT_GLITCH_AT_MS < SHAFT_GLITCH_MS

    def _step(self) -> None:
        self.now_ms += STEP_MS
        self._move()
        here = self.distance_m
        slope = (self.route.elevation_m(here + 10.0) - self.route.elevation_m(here - 10.0)) / 20.0
        self.engine.step(
            self.now_ms,
            STEP_S,
            speed_ms=self.speed_ms,
            acceleration_ms2=self.acceleration_ms2,
            slope=slope,
            cruise=self.cruise_active,
        )
        self.service.step(self.now_ms, STEP_S, self.speed_ms, self.distance_m)

    def _move(self) -> None:
        target = 0.0
        if self.service.driving:
            to_halt = self.service.halt_m - self.distance_m
            target = min(
                self.route.allowed_ms(self.distance_m + self.speed_ms * 0.5),
                math.sqrt(2.0 * BRAKING_MS2 * max(0.0, to_halt)),
            )
        if self.speed_ms == 0.0 and target < 0.1:
            self.acceleration_ms2 = 0.0
        else:
            strongest = min(ACCELERATION_MAX_MS2, POWER_PER_MASS_W_PER_KG / max(self.speed_ms, 1.0))
            wanted = max(-BRAKING_MAX_MS2, min(strongest, (target - self.speed_ms) / 0.7))
            change = JERK_MAX_MS3 * STEP_S
            self.acceleration_ms2 += max(-change, min(change, wanted - self.acceleration_ms2))
        self.speed_ms = max(0.0, self.speed_ms + self.acceleration_ms2 * STEP_S)
        if target == 0.0 and self.speed_ms < 0.02:
            self.speed_ms = 0.0
        self.distance_m += self.speed_ms * STEP_S
        if self.speed_ms == 0.0:
            self.braking = not self.service.parking_brake
        elif self.acceleration_ms2 < BRAKE_ON_MS2:
            self.braking = True
        elif self.acceleration_ms2 > BRAKE_OFF_MS2:
            self.braking = False
