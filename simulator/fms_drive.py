"""Parameter groups of the drive of a Diesel bus: engine, fuel, exhaust, gearbox, retarder.

Layouts: SAE J1939-71 and FMS-Standard 4; rates: FMS. `Vehicle.*` names as the agent reports them,
taken from the published signal list, not from the drivers.
"""

from __future__ import annotations

from simulator.addresses import ENGINE, RETARDER, TRANSMISSION
from simulator.spn import NOT_AVAILABLE, Field, Message, Raw, Stated
from simulator.world import World

FUEL_ECONOMY_FROM_LPH = 0.1
FUEL_ECONOMY_MAX_KM_PER_L = 120.0

PARK = Raw(0xFB)
"""SPN 523: beyond the valid range, and yet a gear."""

BUS = "Vehicle.Bus."
ENGINE_OF = "Vehicle.Powertrain.CombustionEngine."
FUEL_OF = "Vehicle.Powertrain.FuelSystem."
GEARBOX_OF = "Vehicle.Powertrain.Transmission."


def _economy(world: World) -> Stated:
    if world.engine.fuel_rate_lph < FUEL_ECONOMY_FROM_LPH:
        return NOT_AVAILABLE  # nothing to divide by: engine off or overrun
    return min(FUEL_ECONOMY_MAX_KM_PER_L, world.speed_kmh / world.engine.fuel_rate_lph)


def _selected_gear(world: World) -> Stated:
    return 0 if world.service.parking_brake else world.engine.gear + 1


def _current_gear(world: World) -> Stated:
    if world.service.parking_brake:
        return PARK
    return 0 if not world.service.driving else world.engine.engaged_gear + 1


def _used_l(world: World) -> Stated:
    return world.engine.used_before_l + world.engine.burnt_l


DRIVE = (
    Message(
        "EEC1", 61444, 3, ENGINE, 20, 3,
        (
            Field(BUS + "Engine.TorqueMode", "1.1", 4, lambda w: w.engine.torque_mode),
            Field(BUS + "Engine.DemandTorquePercent", "2.1", 8,
                  lambda w: w.engine.demand_percent, 1, -125),
            Field(BUS + "Engine.TorquePercent", "3.1", 8,
                  lambda w: w.engine.torque_percent, 1, -125),
            Field(ENGINE_OF + "Speed", "4.1", 16, lambda w: w.engine.rpm, 0.125),
            Field(BUS + "Engine.StarterMode", "7.1", 4, lambda w: w.engine.starter_mode),
        ),
    ),
    Message(
        "EEC2", 61443, 3, ENGINE, 50, 7,
        (
            Field(BUS + "Chassis.AcceleratorLowIdle", "1.1", 2,
                  lambda w: w.engine.pedal_percent == 0.0),
            Field(BUS + "Chassis.KickdownActive", "1.3", 2,
                  lambda w: w.engine.pedal_percent > 97.0),
            Field("Vehicle.Chassis.Accelerator.PedalPosition", "2.1", 8,
                  lambda w: w.engine.pedal_percent, 0.4),
            Field(BUS + "Engine.LoadPercent", "3.1", 8, lambda w: w.engine.load_percent),
        ),
    ),
    Message(
        "LFE1", 65266, 6, ENGINE, 100, 33,
        (
            Field(BUS + "Fuel.RateLitrePerHour", "1.1", 16,
                  lambda w: w.engine.fuel_rate_lph, 0.05),
            Field(FUEL_OF + "InstantFuelEconomy", "3.1", 16, _economy, 1 / 512),
            Field(FUEL_OF + "CumulativeFuelEconomy", "5.1", 16,
                  lambda w: w.engine.average_km_per_l, 1 / 512),
        ),
    ),
    Message(
        "HRLFC", 64777, 6, ENGINE, 1000, 170,
        (
            Field(BUS + "Fuel.TripUsed", "1.1", 32, lambda w: w.engine.burnt_l, 0.001),
            Field(BUS + "Fuel.TotalUsed", "5.1", 32, _used_l, 0.001),
        ),
    ),
    Message(
        "LFC1", 65257, 6, ENGINE, 1000, 650,
        (
            Field(BUS + "Fuel.TripUsed", "1.1", 32, lambda w: w.engine.burnt_l, 0.5,
                  fallback=True),
            Field(BUS + "Fuel.TotalUsed", "5.1", 32, _used_l, 0.5, fallback=True),
        ),
    ),
    Message(
        "HOURS", 65253, 6, ENGINE, 1000, 230,
        (Field(ENGINE_OF + "EngineHours", "1.1", 32, lambda w: w.engine.hours, 0.05),),
    ),
    Message(
        "ET1", 65262, 6, ENGINE, 1000, 470,
        (
            Field(ENGINE_OF + "EngineCoolant.Temperature", "1.1", 8,
                  lambda w: w.engine.coolant_c, 1, -40),
            Field(BUS + "Fuel.Temperature", "2.1", 8, lambda w: w.engine.fuel_c, 1, -40),
            Field(ENGINE_OF + "EngineOil.Temperature", "3.1", 16,
                  lambda w: w.engine.oil_c, 1 / 32, -273),
        ),
    ),
    Message(
        "AT1T1I1", 65110, 6, ENGINE, 1000, 770,
        (
            Field(ENGINE_OF + "DieselExhaustFluid.Level", "1.1", 8,
                  lambda w: w.engine.def_percent, 0.4),
            Field(BUS + "Def.Temperature", "2.1", 8, lambda w: w.engine.def_c, 1, -40),
        ),
    ),
    Message(
        "AS", 65237, 6, ENGINE, 1000, 890,
        (
            Field(BUS + "Electrical.AlternatorSpeed", "1.1", 16,
                  lambda w: w.engine.rpm * 3.1, 0.5),
            Field(BUS + "Electrical.Alternator1Charging", "3.1", 2, lambda w: w.charging),
            Field(BUS + "Electrical.Alternator2Charging", "3.3", 2, lambda w: w.charging),
        ),
    ),
    Message(
        "ETC2", 61445, 6, TRANSMISSION, 100, 73,
        (
            Field(GEARBOX_OF + "SelectedGear", "1.1", 8, _selected_gear, 1, -125),
            Field(GEARBOX_OF + "CurrentGear", "4.1", 8, _current_gear, 1, -125),
        ),
    ),
    Message(
        "ERC1", 61440, 6, RETARDER, 100, 43,
        (
            Field(BUS + "Retarder.TorqueMode", "1.1", 4, lambda w: w.chassis.retarder_mode),
            Field(BUS + "Retarder.TorquePercent", "2.1", 8,
                  lambda w: -w.chassis.retarder_percent, 1, -125),
            Field(BUS + "Retarder.Selection", "7.1", 8,
                  lambda w: w.chassis.retarder_selection_percent, 0.4),
        ),
    ),
)  # fmt: skip
