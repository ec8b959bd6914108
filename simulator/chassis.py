"""Brakes, compressed air, passengers, weights and bellows of the bus: pure, seeded.

The figures are of an ordinary low-floor bus with two axles; nothing depends on their being exact.
"""

from __future__ import annotations

import random

from simulator.drivetrain import toward

EMPTY_KG = 11_600.0
PASSENGER_KG = 68.0
SEATS_AND_STANDING = 80
FRONT_SHARE = 0.36
"""Of the weight; the engine sits behind the rear axle."""
BOARDING_MS = 900
"""One passenger through a door, in or out."""

FULL_BRAKING_MS2 = 1.8
RETARDER_FROM_MS = 3.0
RETARDER_SHARE = 0.6

CUT_IN_KPA, CUT_OUT_KPA = 860.0, 1_010.0
"""The governor starts and stops the compressor there."""
FILLING_KPA_PER_S = 9.0
BRAKING_KPA_PER_PERCENT = 0.35
DOOR_KPA = 7.0
KNEELING_KPA = 18.0

FRONT_KPA_PER_KG = 0.095
REAR_KPA_PER_KG = 0.088
KNEELED = 0.3
"""What is left of the pressure at the kerb side while the bus kneels."""

MODE_NO_REQUEST, MODE_BRAKING_SYSTEM = 0, 10  # SPN 900


class Chassis:
    """Percentages as the pedal or the lever has them; pressures in kPa above ambient."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.passengers = rng.randrange(4, 45)
        self.pedal_percent = 0.0
        self.retarder_percent = 0.0
        self.supply_kpa = rng.uniform(880.0, 1_000.0)
        self.circuits_kpa = [self.supply_kpa - 12.0, self.supply_kpa - 20.0]
        self.parking_kpa = self.supply_kpa - 30.0
        self.compressing = False
        self._kerb = 1.0
        self._kneeling = False
        self._open_doors = 0
        self._boarding_ms = 0

    @property
    def mass_kg(self) -> float:
        """Weight of the bus with those aboard."""
        return EMPTY_KG + PASSENGER_KG * (1 + self.passengers)

    def axle_kg(self, axle: int) -> float:
        """Weight on the front (0) or the rear (1) axle."""
        return self.mass_kg * (FRONT_SHARE if axle == 0 else 1.0 - FRONT_SHARE)

    def bellow_kpa(self, axle: int, *, right: bool) -> float:
        """Pressure in the bellows at one wheel."""
        per_kg = FRONT_KPA_PER_KG if axle == 0 else REAR_KPA_PER_KG
        kerb = self._kerb if right else 1.0
        return 0.5 * self.axle_kg(axle) * per_kg * kerb

    @property
    def lowering(self) -> bool:
        """Whether the kerb side is on its way down."""
        return self._kneeling and self._kerb > KNEELED + 0.05

    @property
    def raising(self) -> bool:
        """Whether the kerb side is on its way up."""
        return not self._kneeling and self._kerb < 0.95

    @property
    def retarder_mode(self) -> int:
        """Who asks for the retarder's torque."""
        return MODE_BRAKING_SYSTEM if self.retarder_percent > 0.0 else MODE_NO_REQUEST

    @property
    def retarder_selection_percent(self) -> float:
        """The stage that the driver has called up with the pedal's first travel."""
        if self.retarder_percent <= 0.0:
            return 0.0
        return 40.0 if self.retarder_percent < 30.0 else 80.0

    def step(
        self,
        now_ms: int,
        dt_s: float,
        *,
        speed_ms: float,
        acceleration_ms2: float,
        braking: bool,
        compressor_drive: float,
        open_doors: int,
        kneeling: bool,
    ) -> None:
        """One time step; `compressor_drive` is 0 at a standing engine and 1 at 1,000 rpm."""
        self._brake(dt_s, speed_ms, acceleration_ms2, braking)
        self._consume(open_doors, kneeling)
        self._compress(dt_s, compressor_drive)
        self._kerb = toward(self._kerb, KNEELED if kneeling else 1.0, dt_s, 0.9)
        self._board(now_ms, open_doors)

    def _brake(self, dt_s: float, speed_ms: float, acceleration_ms2: float, braking: bool) -> None:
        demand = 100.0 * min(1.0, max(0.0, -acceleration_ms2) / FULL_BRAKING_MS2)
        if not braking:
            demand = 0.0
        elif speed_ms == 0.0:
            demand = 28.0  # held at the stop
        share = RETARDER_SHARE if speed_ms > RETARDER_FROM_MS else 0.0
        self.retarder_percent = toward(self.retarder_percent, demand * share, dt_s, 0.25)
        if self.retarder_percent < 0.5:
            self.retarder_percent = 0.0
        before = self.pedal_percent
        self.pedal_percent = toward(before, demand * (1.0 - 0.5 * share), dt_s, 0.2)
        if self.pedal_percent < 0.2:
            self.pedal_percent = 0.0
        used = max(0.0, self.pedal_percent - before) * BRAKING_KPA_PER_PERCENT
        self.circuits_kpa = [kpa - used for kpa in self.circuits_kpa]

    def _consume(self, open_doors: int, kneeling: bool) -> None:
        used = abs(open_doors - self._open_doors) * DOOR_KPA
        if kneeling != self._kneeling and not kneeling:
            used += KNEELING_KPA  # raising takes air, lowering lets it go
        self._open_doors, self._kneeling = open_doors, kneeling
        self.supply_kpa = max(0.0, self.supply_kpa - used)

    def _compress(self, dt_s: float, drive: float) -> None:
        if self.supply_kpa < CUT_IN_KPA:
            self.compressing = drive > 0.0
        elif self.supply_kpa > CUT_OUT_KPA or drive == 0.0:
            self.compressing = False
        if self.compressing:
            self.supply_kpa += FILLING_KPA_PER_S * drive * dt_s
        # What flows into the circuits is missing in the supply; check valves let nothing back.
        for i, kpa in enumerate(self.circuits_kpa):
            flow = max(0.0, self.supply_kpa - 6.0 - kpa) * min(1.0, dt_s / 0.8)
            self.circuits_kpa[i] = max(0.0, kpa + flow)
            self.supply_kpa -= 0.4 * flow
        self.parking_kpa = max(self.parking_kpa, min(850.0, self.supply_kpa - 20.0))

    def _board(self, now_ms: int, open_doors: int) -> None:
        if not open_doors or now_ms - self._boarding_ms < BOARDING_MS:
            return
        self._boarding_ms = now_ms
        full = self.passengers / SEATS_AND_STANDING
        change = -1 if self._rng.random() < full else 1
        self.passengers = max(0, min(SEATS_AND_STANDING, self.passengers + change))
