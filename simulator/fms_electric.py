"""Parameter groups of a battery-electric drive, from the traction battery.

Layouts: SAE J1939-71 (VEP4, HVESS groups) and FMS-Standard 4.
"""

from __future__ import annotations

from simulator.addresses import TRACTION_BATTERY
from simulator.spn import NOT_AVAILABLE, Field, Message, Stated
from simulator.traction import Traction
from simulator.world import World

BUS_OF = "Vehicle.Bus.TractionBattery."
BATTERY_OF = "Vehicle.Powertrain.TractionBattery."


def _battery(world: World) -> Traction:
    assert world.traction is not None, "only an electric bus has these messages"
    return world.traction


def _displayed(world: World) -> Stated:
    return _battery(world).soc_percent if _battery(world).ready else NOT_AVAILABLE


ELECTRIC = (
    Message(
        "VEP4", 64695, 6, TRACTION_BATTERY, 1000, 250,
        (Field(BATTERY_OF + "StateOfCharge.Displayed", "1.1", 16, _displayed, 0.0025),),
    ),
    Message(
        "HVES1D1", 61584, 4, TRACTION_BATTERY, 20, 9,
        (
            Field(BUS_OF + "AvailableDischargePower", "1.1", 16,
                  lambda w: _battery(w).discharge_kw, 0.05),
            Field(BUS_OF + "AvailableChargePower", "3.1", 16,
                  lambda w: _battery(w).charge_kw, 0.05),
            Field(BATTERY_OF + "CurrentVoltage", "5.1", 16, lambda w: _battery(w).voltage_v, 0.05),
            Field(BATTERY_OF + "CurrentCurrent", "7.1", 16,
                  lambda w: _battery(w).current_a, 0.05, -1600),
        ),
    ),
    Message(
        "HVES1D2", 61585, 4, TRACTION_BATTERY, 20, 15,
        (
            Field(BATTERY_OF + "StateOfCharge.Current", "1.1", 16,
                  lambda w: _battery(w).soc_percent, 0.0025),
            Field(BUS_OF + "HighestCellVoltage", "3.1", 16,
                  lambda w: _battery(w).cell_v(highest=True), 0.001),
            Field(BUS_OF + "LowestCellVoltage", "5.1", 16,
                  lambda w: _battery(w).cell_v(highest=False), 0.001),
        ),
    ),
    Message(
        "HVES1D7", 61600, 6, TRACTION_BATTERY, 1000, 450,
        (Field(BUS_OF + "ChargeEnergyCapacity", "4.1", 24, lambda w: _battery(w).room_kwh, 0.001),),
    ),
    Message(
        "HIST", 64606, 6, TRACTION_BATTERY, 10_000, 2_630,
        (Field(BATTERY_OF + "StateOfHealth", "1.1", 8, lambda w: _battery(w).health_percent, 0.4),),
    ),
)  # fmt: skip
