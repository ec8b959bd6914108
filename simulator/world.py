"""The world: one bus on one route, a pure function of its seed and of time.

Time goes in steps of 10 ms, however callers slice it, so the same seed gives the same trajectory.
World second 0 is the moment at which the run begins; UTC then comes from the seed.
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime

from simulator.chassis import Chassis
from simulator.diagnosis import Diagnosis
from simulator.drivetrain import CRANK_FROM_MS, CRANK_TO_MS, Drivetrain
from simulator.electrics import Electrics, Lights, lights
from simulator.journey import Journey
from simulator.route import BRAKING_MS2, Place, Route
from simulator.service import Service
from simulator.traction import Traction

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

LOCAL_OFFSET_MIN = -180
"""Of the town that ships."""
STOP_REQUEST_M = 160.0
WHEELBASE_M, STEERING_RATIO = 5.9, 20.0
SIDEWAYS_MAX_MS2 = 3.0
"""Beyond it the wheels would slip: what a turn on the spot comes to on a polyline."""

VIN_ALPHABET = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"  # no I, O, Q: ISO 3779

_ROUTE: list[Route] = []


def shipped_route() -> Route:
    """The route that ships, built once: its speed envelope takes a tenth of a second."""
    if not _ROUTE:
        _ROUTE.append(Route.load())
    return _ROUTE[0]


class World:
    """The bus at `now_ms`. Speeds in m/s, distances in m, unless a name says otherwise."""

    def __init__(
        self,
        seed: int,
        journey: Journey | None = None,
        *,
        electric: bool = False,
        utc_start_ms: int | None = None,
    ) -> None:
        """`utc_start_ms`: UTC of world second 0 in whole seconds, None: the seed's, a journey's."""
        rng = random.Random(f"world {seed}")
        span_s = int((UTC_LAST - UTC_FIRST).total_seconds())
        self.utc_start_ms = (int(UTC_FIRST.timestamp()) + rng.randrange(span_s)) * 1000
        self.local_offset_min = LOCAL_OFFSET_MIN
        if journey is not None:
            self.utc_start_ms = journey.utc_start_ms
            self.local_offset_min = journey.local_offset_min
        if utc_start_ms is not None:
            self.utc_start_ms = utc_start_ms // 1000 * 1000
        self.route = journey.route if journey is not None else shipped_route()
        self.vin = "ZZ9" + "".join(rng.choice(VIN_ALPHABET) for _ in range(14))
        self.odometer_start_m = rng.randrange(40_000_000, 620_000_000)
        self.sea_level_hpa = rng.uniform(993.0, 1_032.0)
        self.washer_percent = rng.uniform(30.0, 100.0)
        self.second_tank_percent = rng.uniform(20.0, 90.0)
        self.driver_id = f"ZZ{rng.randrange(10**14):014d}"
        self.service_km = tuple(5 * rng.randrange(60, 9_000) for _ in range(2))
        self.service_weeks = tuple(rng.randrange(2, 60) for _ in range(2))
        self.service_h = tuple(rng.randrange(40, 1_500) for _ in range(2))
        self.now_ms = 0
        self.speed_ms = 0.0
        self.acceleration_ms2 = 0.0
        self.distance_m = 0.0
        self.braking = False
        self.engine = Drivetrain(random.Random(f"drivetrain {seed}"))
        self.service = Service(random.Random(f"service {seed}"), self.route)
        self.chassis = Chassis(random.Random(f"chassis {seed}"))
        self.electrics = Electrics(random.Random(f"electrics {seed}"))
        self.diagnosis = Diagnosis(random.Random(f"diagnosis {seed}"))
        self.traction: Traction | None = None
        if electric:
            drawn = random.Random(f"traction {seed}")
            self.traction = Traction(drawn, self.engine.ambient_c)

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

    @property
    def abs_engaged(self) -> bool:
        """The wheels lock for a moment now and then, on leaves or rails."""
        return self.braking and self.speed_kmh > 15.0 and self.now_ms // 400 % 97 == 5

    @property
    def curvature_per_m(self) -> float:
        """1/radius of the bend, positive to the left; no sharper than the tyres would hold."""
        bend = self.route.curvature_per_m(self.distance_m)
        sharpest = min(0.1, SIDEWAYS_MAX_MS2 / max(self.speed_ms**2, 1e-6))
        return max(-sharpest, min(sharpest, bend))

    @property
    def steering_rad(self) -> float:
        """Angle of the steering wheel, positive to the left."""
        return math.atan(WHEELBASE_M * self.curvature_per_m) * STEERING_RATIO

    @property
    def yaw_rad_per_s(self) -> float:
        """How fast the bus turns, positive to the left."""
        return self.curvature_per_m * self.speed_ms

    @property
    def sideways_ms2(self) -> float:
        """Acceleration across the bus, positive to the left."""
        return self.yaw_rad_per_s * self.speed_ms

    @property
    def stop_requested(self) -> bool:
        """Whether somebody aboard has pressed the button for the next stop."""
        to_halt = self.service.halt_m - self.distance_m
        return self.service.next_kind == "stop" and 0.0 < to_halt < STOP_REQUEST_M

    @property
    def lights(self) -> Lights:
        """What is lit."""
        to_halt_m = self.service.halt_m - self.distance_m
        return lights(
            utc_ms=self.utc_ms,
            local_offset_min=self.local_offset_min,
            speed_ms=self.speed_ms,
            to_halt_m=to_halt_m if self.service.next_kind == "stop" else math.inf,
            pulled_out_ms=self.service.pulled_out_ms,
            now_ms=self.now_ms,
        )

    @property
    def charging(self) -> bool:
        """Whether alternators or the converter feed the 24 V side."""
        return self.traction.ready if self.traction else self.engine.running

    def _step(self) -> None:
        self.now_ms += STEP_MS
        self._move()
        here = self.distance_m
        slope = (self.route.elevation_m(here + 10.0) - self.route.elevation_m(here - 10.0)) / 20.0
        if self.traction is None:
            self.engine.step(
                self.now_ms,
                STEP_S,
                speed_ms=self.speed_ms,
                acceleration_ms2=self.acceleration_ms2,
                slope=slope,
                cruise=self.cruise_active,
                mass_kg=self.chassis.mass_kg,
            )
        else:
            self.traction.step(
                self.now_ms,
                STEP_S,
                speed_ms=self.speed_ms,
                acceleration_ms2=self.acceleration_ms2,
                slope=slope,
                mass_kg=self.chassis.mass_kg,
                braking=self.braking,
            )
            self.engine.heat(STEP_S)
        self.service.step(self.now_ms, STEP_S, self.speed_ms, self.distance_m)
        self.chassis.step(
            self.now_ms,
            STEP_S,
            speed_ms=self.speed_ms,
            acceleration_ms2=self.acceleration_ms2,
            braking=self.braking,
            compressor_drive=float(self.charging) if self.traction else self.engine.rpm / 1_000.0,
            open_doors=sum(self.service.doors_open),
            kneeling=self.service.kneeling,
        )
        self.electrics.step(
            STEP_S,
            charging=self.charging,
            cranking=self.traction is None and CRANK_FROM_MS <= self.now_ms < CRANK_TO_MS,
        )

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
