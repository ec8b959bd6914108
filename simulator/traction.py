"""Motor and traction battery of a battery-electric bus, with recuperation: pure, seeded."""

from __future__ import annotations

import random

from simulator.drivetrain import DRAG_KG_PER_M, GRAVITY_MS2, ROLLING, toward

CAPACITY_KWH = 346.0
CELLS_IN_SERIES = 180
RESISTANCE_OHM = 0.045
EFFICIENCY = 0.88
DISCHARGE_MAX_KW, CHARGE_MAX_KW = 250.0, 150.0
RECUPERATION_FROM_MS = 1.5
"""Below walking pace the brakes do it alone."""
CONVERTER_KW = 1.2


class Traction:
    """Kilowatts and amperes; a positive current charges the traction battery."""

    def __init__(self, rng: random.Random, ambient_c: float) -> None:
        self.stored_kwh = CAPACITY_KWH * rng.uniform(0.55, 0.92)
        self.health_percent = rng.uniform(86.0, 100.0)
        self._spread_v = rng.uniform(0.004, 0.02)
        # Heating below 18 degrees, cooling above 24, and what a bus consumes standing.
        self._auxiliaries_kw = 3.0 + 0.7 * max(0.0, 18.0 - ambient_c, ambient_c - 24.0)
        self.current_a = 0.0
        self.voltage_v = self._open_v()
        self.ready = False

    @property
    def soc_percent(self) -> float:
        """State of charge."""
        return 100.0 * self.stored_kwh / CAPACITY_KWH

    @property
    def discharge_kw(self) -> float:
        """What may be drawn: less near empty."""
        return DISCHARGE_MAX_KW * min(1.0, self.soc_percent / 20.0)

    @property
    def charge_kw(self) -> float:
        """What may be put in: less near full."""
        return CHARGE_MAX_KW * min(1.0, (100.0 - self.soc_percent) / 15.0)

    @property
    def room_kwh(self) -> float:
        """Energy that a full charge would take."""
        return CAPACITY_KWH - self.stored_kwh

    def cell_v(self, *, highest: bool) -> float:
        """Voltage of the best or the weakest cell."""
        mean = self.voltage_v / CELLS_IN_SERIES
        return mean + self._spread_v * (0.5 if highest else -0.5)

    def step(
        self,
        now_ms: int,
        dt_s: float,
        *,
        speed_ms: float,
        acceleration_ms2: float,
        slope: float,
        mass_kg: float,
        braking: bool,
    ) -> None:
        """One time step at the given motion; `slope` is rise over run."""
        self.ready = now_ms >= 3_000
        force = (
            mass_kg * (acceleration_ms2 + GRAVITY_MS2 * (slope + ROLLING))
            + DRAG_KG_PER_M * speed_ms**2
        )
        kw = force * speed_ms / 1_000.0
        if kw > 0.0:
            drawn = min(self.discharge_kw, kw / EFFICIENCY)
        elif speed_ms > RECUPERATION_FROM_MS or not braking:
            drawn = -min(self.charge_kw, -kw * EFFICIENCY)
        else:
            drawn = 0.0
        if self.ready:
            drawn += self._auxiliaries_kw + CONVERTER_KW
        wanted_a = -1_000.0 * drawn / self.voltage_v
        self.current_a = toward(self.current_a, wanted_a, dt_s, 0.05)
        self.voltage_v = self._open_v() + RESISTANCE_OHM * self.current_a
        stored = self.stored_kwh + self.voltage_v * self.current_a * dt_s / 3.6e6
        self.stored_kwh = max(0.0, min(CAPACITY_KWH, stored))

    def _open_v(self) -> float:
        return CELLS_IN_SERIES * (3.2 + 0.009 * self.soc_percent)
