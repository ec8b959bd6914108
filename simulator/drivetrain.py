"""Engine, gearbox, fuel and heat of a city bus with a six-speed automatic: pure, seeded.

The figures are of an ordinary 9 litre Diesel; nothing depends on their being exact.
"""

from __future__ import annotations

import math
import random

GRAVITY_MS2 = 9.81
ROLLING = 0.008
DRAG_KG_PER_M = 0.5 * 1.2 * 0.65 * 8.0
TORQUE_MAX_NM = 1_250.0
EFFICIENCY = 0.88

IDLE_RPM = 600.0
CRANK_RPM = 190.0
CRANK_FROM_MS = 3_000
CRANK_TO_MS = 4_200
RPM_PER_MS = (250.0, 150.0, 98.0, 70.0, 52.0, 41.0)
"""Engine speed per m/s of road speed, gear by gear."""
UPSHIFT_RPM = 1_550.0
DOWNSHIFT_RPM = 820.0

TANK_L = 300.0
DEF_TANK_L = 32.0
DEF_PER_FUEL = 0.04
"""Litres of AdBlue a litre of Diesel, as a Euro VI engine doses it."""
SHIFT_MS = 400
"""How long the gearbox is between two gears."""
LITRES_PER_KWH = 0.251
IDLE_LITRES_PER_H = 2.3

STARTER_IDLE, STARTER_ENGAGED, STARTER_FINISHED = 0, 2, 3  # SPN 1675
TORQUE_BY_IDLE_GOVERNOR, TORQUE_BY_PEDAL, TORQUE_BY_CRUISE = 0, 1, 2  # SPN 899


def toward(value: float, target: float, dt_s: float, tau_s: float) -> float:
    """`value` after `dt_s` of relaxing towards `target` with time constant `tau_s`."""
    return value + (target - value) * min(1.0, dt_s / tau_s)


class Drivetrain:
    """State in the units of the names; percentages are of the engine's greatest torque."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.ambient_c = rng.uniform(-4.0, 29.0)
        self.rpm = 0.0
        self.gear = 0
        self.starter_mode = STARTER_IDLE
        self.torque_mode = TORQUE_BY_IDLE_GOVERNOR
        self.demand_percent = 0.0
        self.torque_percent = 0.0
        self.load_percent = 0.0
        self.pedal_percent = 0.0
        self.fuel_rate_lph = 0.0
        self.fuel_l = TANK_L * rng.uniform(0.55, 0.95)
        self.burnt_l = 0.0
        self.def_l = DEF_TANK_L * rng.uniform(0.3, 0.95)
        self.engaged_gear = 0
        self._shift_at_ms = 0
        self.hours = rng.uniform(4_000.0, 30_000.0)
        self.coolant_c = self.ambient_c + rng.uniform(0.0, 35.0)
        self.oil_c = self.coolant_c - rng.uniform(0.0, 4.0)
        self.fuel_c = self.ambient_c + 2.0
        self.cabin_c = self.ambient_c + 3.0
        self.hold_c = self.ambient_c + 1.0
        self._jitter_rpm = 0.0
        # The average goes back to the last reset, a few days ago.
        self._average_km = rng.uniform(400.0, 900.0)
        self._average_l = self._average_km / rng.uniform(2.1, 2.9)
        self.used_before_l = self.hours * rng.uniform(7.0, 9.0)
        self.def_c = self.ambient_c + 1.0

    @property
    def running(self) -> bool:
        """Whether the engine turns by itself."""
        return self.starter_mode == STARTER_FINISHED

    @property
    def fuel_percent(self) -> float:
        """Filling of the tank."""
        return 100.0 * self.fuel_l / TANK_L

    @property
    def def_percent(self) -> float:
        """Filling of the AdBlue tank."""
        return 100.0 * self.def_l / DEF_TANK_L

    @property
    def average_km_per_l(self) -> float:
        """Distance over fuel since the last reset."""
        return self._average_km / self._average_l

    def step(
        self,
        now_ms: int,
        dt_s: float,
        *,
        speed_ms: float,
        acceleration_ms2: float,
        slope: float,
        cruise: bool,
        mass_kg: float,
    ) -> None:
        """One time step at the given motion; `slope` is rise over run."""
        self._crank(now_ms)
        force = (
            mass_kg * (acceleration_ms2 + GRAVITY_MS2 * (slope + ROLLING))
            + DRAG_KG_PER_M * speed_ms**2
        )
        pulling = self.running and speed_ms > 0.0 and force > 0.0
        self._turn(dt_s, speed_ms, pulling)
        if self.gear == self.engaged_gear:
            self._shift_at_ms = now_ms
        elif now_ms - self._shift_at_ms >= SHIFT_MS:
            self.engaged_gear = self.gear
        drive_nm = 0.0
        if pulling:
            drive_nm = min(
                TORQUE_MAX_NM, force * speed_ms * 30.0 / (math.pi * self.rpm * EFFICIENCY)
            )
        self._pull(dt_s, drive_nm, cruise)
        self._burn(dt_s, speed_ms, force)
        self._warm(dt_s)

    def _crank(self, now_ms: int) -> None:
        if now_ms < CRANK_FROM_MS:
            return
        if now_ms < CRANK_TO_MS:
            self.starter_mode = STARTER_ENGAGED
        elif self.starter_mode != STARTER_FINISHED:
            self.starter_mode = STARTER_FINISHED
            self.rpm = 850.0  # it flares up before the governor takes hold

    def _turn(self, dt_s: float, speed_ms: float, pulling: bool) -> None:
        if not self.running:
            target = CRANK_RPM if self.starter_mode == STARTER_ENGAGED else 0.0
            self.rpm = toward(self.rpm, target, dt_s, 0.1)
            return
        wheel_rpm = speed_ms * RPM_PER_MS[self.gear]
        if wheel_rpm > UPSHIFT_RPM and self.gear < len(RPM_PER_MS) - 1:
            self.gear += 1
        elif wheel_rpm < DOWNSHIFT_RPM and self.gear > 0:
            self.gear -= 1
        # The converter slips while the bus pulls away.
        slip = 250.0 * max(0.0, 1.0 - speed_ms / 3.0) if pulling else 0.0
        target = max(IDLE_RPM, speed_ms * RPM_PER_MS[self.gear]) + slip
        self._jitter_rpm = toward(self._jitter_rpm, self._rng.gauss(0.0, 25.0), dt_s, 0.5)
        self.rpm = toward(self.rpm, target + self._jitter_rpm, dt_s, 0.25)

    def _pull(self, dt_s: float, drive_nm: float, cruise: bool) -> None:
        losses = 7.0 if self.running else 0.0
        demand = min(100.0, 100.0 * drive_nm / TORQUE_MAX_NM + losses)
        self.demand_percent = toward(self.demand_percent, demand, dt_s, 0.08)
        self.torque_percent = toward(self.torque_percent, demand, dt_s, 0.3)
        available = 0.55 + 0.45 * min(1.0, self.rpm / 1_100.0)
        self.load_percent = min(100.0, self.torque_percent / available)
        foot = 0.0 if drive_nm <= 0.0 or cruise else 8.0 + 92.0 * drive_nm / TORQUE_MAX_NM
        self.pedal_percent = toward(self.pedal_percent, foot, dt_s, 0.15)
        if self.pedal_percent < 0.5:
            self.pedal_percent = 0.0
        if drive_nm <= 0.0:
            self.torque_mode = TORQUE_BY_IDLE_GOVERNOR
        else:
            self.torque_mode = TORQUE_BY_CRUISE if cruise else TORQUE_BY_PEDAL

    def _burn(self, dt_s: float, speed_ms: float, force: float) -> None:
        if not self.running:
            self.fuel_rate_lph = 0.0
        elif force < 0.0 and self.rpm > 950.0:
            self.fuel_rate_lph = 0.0  # overrun: the pump cuts off
        else:
            kilowatts = self.torque_percent / 100.0 * TORQUE_MAX_NM * self.rpm / 9_549.0
            self.fuel_rate_lph = (
                IDLE_LITRES_PER_H * self.rpm / IDLE_RPM * 0.5 + kilowatts * LITRES_PER_KWH
            )
        burnt = self.fuel_rate_lph * dt_s / 3_600.0
        self.fuel_l = max(0.0, self.fuel_l - burnt)
        self.burnt_l += burnt
        self.def_l = max(0.0, self.def_l - burnt * DEF_PER_FUEL)
        self._average_l += burnt
        self._average_km += speed_ms * dt_s / 1_000.0

    def _warm(self, dt_s: float) -> None:
        if not self.running:
            return
        self.hours += dt_s / 3_600.0
        self.coolant_c = toward(self.coolant_c, 84.0 + self.load_percent * 0.05, dt_s, 420.0)
        self.oil_c = toward(self.oil_c, 92.0 + self.load_percent * 0.1, dt_s, 700.0)
        self.fuel_c = toward(self.fuel_c, self.ambient_c + 14.0, dt_s, 2_400.0)
        self.def_c = toward(self.def_c, self.ambient_c + 9.0, dt_s, 1_800.0)
        self.heat(dt_s)

    def heat(self, dt_s: float) -> None:
        """Let saloon and hold go towards what the heating is set to."""
        self.cabin_c = toward(self.cabin_c, 21.0, dt_s, 600.0)
        self.hold_c = toward(self.hold_c, self.ambient_c + 4.0, dt_s, 3_000.0)
