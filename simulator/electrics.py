"""The 24 V side of the bus: battery, alternators and lights. Pure."""

from __future__ import annotations

import random
from typing import NamedTuple

from simulator.drivetrain import toward

ALTERNATOR_RATIO = 3.1
CHARGING_V = 28.2
RESTING_V = 25.1
CRANKING_V = 19.6

NIGHT_FROM_H, NIGHT_TO_H = 19, 7
"""By local time; nobody's sun is computed."""
SIGNAL_BEFORE_STOP_M = 70.0
SIGNAL_PULLING_OUT_MS = 4_000
HIGH_BEAM_FROM_MS = 14.5


class Lights(NamedTuple):
    """What is lit; the indicators while they blink, not flash by flash."""

    running: bool
    low_beam: bool
    high_beam: bool
    left: bool
    right: bool


class Electrics:
    """Volts and amperes; a positive current charges the battery."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.battery_v = RESTING_V - rng.uniform(0.0, 0.5)
        self.battery_a = 0.0
        self.charging_v = self.battery_v
        self._deficit = rng.uniform(0.4, 1.0)

    def step(self, dt_s: float, *, charging: bool, cranking: bool) -> None:
        """One time step; `charging`: the alternators, or the converter, feed the 24 V side."""
        if cranking:
            volts, amperes = CRANKING_V, -125.0
        elif charging:
            volts, amperes = CHARGING_V, 8.0 + 50.0 * self._deficit
            self._deficit = max(0.0, self._deficit - dt_s / 900.0)
        else:
            volts, amperes = RESTING_V - 0.6, -22.0
        self.battery_v = toward(self.battery_v, volts, dt_s, 0.4)
        self.battery_a = toward(self.battery_a, amperes, dt_s, 0.3)
        self.charging_v = toward(self.charging_v, volts + 0.15 if charging else volts, dt_s, 0.3)


def lights(
    *,
    utc_ms: int,
    local_offset_min: int,
    speed_ms: float,
    to_halt_m: float,
    pulled_out_ms: int,
    now_ms: int,
) -> Lights:
    """What the driver has switched on. `pulled_out_ms`: when the bus last began to drive."""
    hour = (utc_ms // 60_000 + local_offset_min) // 60 % 24
    night = hour >= NIGHT_FROM_H or hour < NIGHT_TO_H
    leaving = 0 <= now_ms - pulled_out_ms < SIGNAL_PULLING_OUT_MS
    nearing = speed_ms > 0.0 and 0.0 <= to_halt_m < SIGNAL_BEFORE_STOP_M and not leaving
    return Lights(
        running=True,
        low_beam=night,
        high_beam=night and speed_ms > HIGH_BEAM_FROM_MS,
        left=leaving,
        right=nearing,
    )
