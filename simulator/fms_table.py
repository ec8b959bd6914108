"""What the FMS connector carries: every parameter group of the simulated bus with its layout.

Layouts: SAE J1939-71 and FMS-Standard 4; rates: FMS. `Vehicle.*` names as the agent reports them,
taken from the published signal list, not from the drivers.
"""

from __future__ import annotations

from simulator.spn import ERROR, NOT_AVAILABLE, Field, Message, Stated
from simulator.world import CRUISE_SET_KMH, World

ENGINE, CLUSTER, BODY, TACHOGRAPH = 0x00, 0x17, 0x21, 0xEE
"""Source addresses."""

TACHOGRAPH_SCALE = 0.996
"""The tachograph is calibrated with its own constant and never quite agrees with the dash."""
SHAFT_RPM_PER_MS = 41.0

FUEL_ECONOMY_FROM_LPH = 0.1
FUEL_ECONOMY_MAX_KM_PER_L = 120.0


def _economy(world: World) -> Stated:
    if world.engine.fuel_rate_lph < FUEL_ECONOMY_FROM_LPH:
        return NOT_AVAILABLE  # nothing to divide by: engine off or overrun
    return min(FUEL_ECONOMY_MAX_KM_PER_L, world.speed_kmh / world.engine.fuel_rate_lph)


def _shaft_rpm(world: World) -> Stated:
    return ERROR if world.shaft_sensor_broken else world.speed_ms * SHAFT_RPM_PER_MS


def _time_state(world: World) -> Stated:
    return world.service.time_state if world.service.card_read else NOT_AVAILABLE


def _handling(world: World) -> Stated:
    """Something is being handled at the tachograph: the card is in and not yet read."""
    return world.service.card_present and not world.service.card_read


BUS = "Vehicle.Bus."
ENGINE_OF = "Vehicle.Powertrain.CombustionEngine."
FUEL_OF = "Vehicle.Powertrain.FuelSystem."
CRUISE_OF = "Vehicle.ADAS.CruiseControl."
TACHO_OF = "Vehicle.Tachograph."

MESSAGES = (
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
            Field(None, "1.1", 2, lambda w: w.engine.pedal_percent == 0.0),
            Field(BUS + "Chassis.KickdownActive", "1.3", 2,
                  lambda w: w.engine.pedal_percent > 97.0),
            Field("Vehicle.Chassis.Accelerator.PedalPosition", "2.1", 8,
                  lambda w: w.engine.pedal_percent, 0.4),
            Field(BUS + "Engine.LoadPercent", "3.1", 8, lambda w: w.engine.load_percent),
        ),
    ),
    Message(
        "CCVS1", 65265, 6, ENGINE, 100, 13,
        (
            Field("Vehicle.Chassis.ParkingBrake.IsEngaged", "1.3", 2,
                  lambda w: w.service.parking_brake),
            Field("Vehicle.Speed", "2.1", 16, lambda w: w.speed_kmh, 1 / 256),
            Field(CRUISE_OF + "IsActive", "4.1", 2, lambda w: w.cruise_active),
            Field(CRUISE_OF + "IsEnabled", "4.3", 2, lambda w: w.cruise_enabled),
            Field(BUS + "Chassis.BrakeSwitch", "4.5", 2, lambda w: w.braking),
            Field(BUS + "Powertrain.ClutchSwitch", "4.7", 2, lambda w: False),
            Field(CRUISE_OF + "SpeedSet", "6.1", 8,
                  lambda w: CRUISE_SET_KMH if w.cruise_enabled else NOT_AVAILABLE),
            Field(BUS + "Pto.State", "7.1", 5, lambda w: 0),
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
        "TCO1", 65132, 3, TACHOGRAPH, 50, 21,
        (
            Field(TACHO_OF + "Driver1.WorkingState", "1.1", 3,
                  lambda w: w.service.working_state),
            Field(TACHO_OF + "Driver2.WorkingState", "1.4", 3, lambda w: 0),
            Field("Vehicle.IsMoving", "1.7", 2, lambda w: w.speed_ms > 0.0),
            Field(TACHO_OF + "Driver1.TimeState", "2.1", 4, _time_state),
            Field(TACHO_OF + "Driver1.CardPresent", "2.5", 2,
                  lambda w: w.service.card_present),
            Field(TACHO_OF + "Overspeed", "2.7", 2,
                  lambda w: w.speed_ms > w.route.top_speed_ms + 1.0),
            Field(TACHO_OF + "Driver2.TimeState", "3.1", 4, lambda w: NOT_AVAILABLE),
            Field(TACHO_OF + "Driver2.CardPresent", "3.5", 2, lambda w: False),
            Field(TACHO_OF + "SystemEvent", "4.1", 2, lambda w: w.service.system_event),
            Field(TACHO_OF + "HandlingInfo", "4.3", 2, _handling),
            Field(TACHO_OF + "Performance", "4.5", 2, lambda w: 0, code=True),
            Field(TACHO_OF + "Direction", "4.7", 2, lambda w: 0, code=True),
            Field(TACHO_OF + "OutputShaftSpeed", "5.1", 16, _shaft_rpm, 0.125),
            Field(TACHO_OF + "Speed", "7.1", 16,
                  lambda w: w.speed_kmh * TACHOGRAPH_SCALE, 1 / 256),
        ),
    ),
    Message(
        "DC1", 65102, 6, BODY, 100, 57,
        (
            Field(BUS + "Doors.Position", "1.1", 4, lambda w: w.service.doors),
            Field(BUS + "Ramp.IsOutside", "1.5", 2, lambda w: w.service.ramp_out),
            Field(BUS + "Doors.AnyEnabled", "1.7", 2, lambda w: w.service.doors_enabled),
        ),
    ),
    Message(
        "DD1", 65276, 6, CLUSTER, 1000, 110,
        (
            Field("Vehicle.Body.Windshield.Front.WasherFluid.Level", "1.1", 8,
                  lambda w: w.washer_percent, 0.4),
            Field(FUEL_OF + "RelativeLevel", "2.1", 8, lambda w: w.engine.fuel_percent, 0.4),
            Field(BUS + "Cabin.CargoAmbientTemperature", "5.1", 16,
                  lambda w: w.engine.hold_c, 1 / 32, -273),
            Field(BUS + "Fuel.Level2", "7.1", 8, lambda w: w.second_tank_percent, 0.4),
        ),
    ),
    Message(
        "HOURS", 65253, 6, ENGINE, 1000, 230,
        (Field(ENGINE_OF + "EngineHours", "1.1", 32, lambda w: w.engine.hours, 0.05),),
    ),
    Message(
        "VDHR", 65217, 6, TACHOGRAPH, 1000, 350,
        (
            Field("Vehicle.TraveledDistance", "1.1", 32, lambda w: w.odometer_m, 5),
            Field("Vehicle.TripMeterReading", "5.1", 32, lambda w: w.distance_m, 5),
        ),
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
        "AMB", 65269, 6, CLUSTER, 1000, 590,
        (
            # 0.5 kPa a bit on the bus; the signal is in hPa.
            Field("Vehicle.Exterior.AirPressure", "1.1", 8, lambda w: w.air_pressure_hpa, 5),
            Field("Vehicle.Cabin.HVAC.AmbientAirTemperature", "2.1", 16,
                  lambda w: w.engine.cabin_c, 1 / 32, -273),
            Field("Vehicle.Exterior.AirTemperature", "4.1", 16,
                  lambda w: w.engine.ambient_c, 1 / 32, -273),
        ),
    ),
)  # fmt: skip
"""Phases are staggered so that a second is filled evenly."""

VIN = "Vehicle.VehicleIdentification.VIN"
VI_PGN = 65260
VI_SENDER = ENGINE
