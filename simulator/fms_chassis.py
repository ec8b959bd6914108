"""Parameter groups of what every bus has on wheels: speed, brakes, air, weights, 24 V.

Layouts: SAE J1939-71 and FMS-Standard 4; rates: FMS.
"""

from __future__ import annotations

import math

from simulator.addresses import BODY, BRAKES, CLUSTER, ENGINE, SUSPENSION
from simulator.spn import NOT_AVAILABLE, Encoded, Field, Message, Stated, encode
from simulator.world import CRUISE_SET_KMH, World

BUS = "Vehicle.Bus."
FUEL_OF = "Vehicle.Powertrain.FuelSystem."
CRUISE_OF = "Vehicle.ADAS.CruiseControl."
AIR_OF = BUS + "Pneumatics."
BATTERY_OF = "Vehicle.LowVoltageBattery."
BELLOW_OF = BUS + "Suspension."

DEGREES = 180.0 / math.pi
AXLES = 2


def _axle_weight(world: World) -> Encoded:
    """One axle a message; SPN 928 in byte 1 says which, from 0 at the front."""
    axle = world.now_ms // 1_000 % AXLES
    location = Field(None, "1.1", 8, lambda w: axle << 4)
    weight = Field(
        f"{BUS}Chassis.Axle.Row{axle + 1}.Weight", "2.1", 16, lambda w: w.chassis.axle_kg(axle), 0.5
    )
    return encode((location, weight), world)


def _fuel_level(world: World) -> Stated:
    return NOT_AVAILABLE if world.traction else world.engine.fuel_percent


def _second_level(world: World) -> Stated:
    return NOT_AVAILABLE if world.traction else world.second_tank_percent


CHASSIS = (
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
        "EBC1", 61441, 6, BRAKES, 100, 63,
        (
            Field("Vehicle.ADAS.ABS.IsEngaged", "1.5", 2, lambda w: w.abs_engaged),
            Field(BUS + "Chassis.EbsBrakeSwitch", "1.7", 2, lambda w: w.braking),
            Field("Vehicle.Chassis.Brake.PedalPosition", "2.1", 8,
                  lambda w: w.chassis.pedal_percent, 0.4),
        ),
    ),
    Message(
        "VDC2", 61449, 6, BRAKES, 100, 93,
        (
            Field("Vehicle.Chassis.SteeringWheel.Angle", "1.1", 16, lambda w: w.steering_rad,
                  1 / 1024, -31.374, factor=DEGREES),
            Field("Vehicle.AngularVelocity.Yaw", "4.1", 16, lambda w: w.yaw_rad_per_s,
                  1 / 8192, -3.92, factor=DEGREES),
            Field("Vehicle.Acceleration.Lateral", "6.1", 16, lambda w: w.sideways_ms2,
                  1 / 2048, -15.687),
            Field("Vehicle.Acceleration.Longitudinal", "8.1", 8, lambda w: w.acceleration_ms2,
                  0.1, -12.5),
        ),
    ),
    Message(
        "AIR1", 65198, 6, BRAKES, 1000, 410,
        (
            Field(AIR_OF + "Supply", "1.1", 8, lambda w: w.chassis.supply_kpa, 8),
            Field(AIR_OF + "ParkingPressure", "2.1", 8, lambda w: w.chassis.parking_kpa, 8),
            Field(AIR_OF + "BrakeCircuit1", "3.1", 8, lambda w: w.chassis.circuits_kpa[0], 8),
            Field(AIR_OF + "BrakeCircuit2", "4.1", 8, lambda w: w.chassis.circuits_kpa[1], 8),
            Field(AIR_OF + "CompressorActive", "7.1", 2, lambda w: w.chassis.compressing),
        ),
    ),
    Message("VW", 65258, 6, SUSPENSION, 1000, 290, compose=_axle_weight),
    Message(
        "CVW", 65136, 6, SUSPENSION, 10_000, 3_310,
        (
            Field("Vehicle.CurrentOverallWeight", "1.1", 16, lambda w: w.chassis.mass_kg, 10),
            Field(BUS + "Weight.GrossCombination", "3.1", 16, lambda w: w.chassis.mass_kg, 10),
        ),
    ),
    Message(
        "ASC4", 65112, 6, SUSPENSION, 1000, 710,
        (
            Field(BELLOW_OF + "FrontLeftPressure", "1.1", 16,
                  lambda w: w.chassis.bellow_kpa(0, right=False), 0.1),
            Field(BELLOW_OF + "FrontRightPressure", "3.1", 16,
                  lambda w: w.chassis.bellow_kpa(0, right=True), 0.1),
            Field(BELLOW_OF + "RearLeftPressure", "5.1", 16,
                  lambda w: w.chassis.bellow_kpa(1, right=False), 0.1),
            Field(BELLOW_OF + "RearRightPressure", "7.1", 16,
                  lambda w: w.chassis.bellow_kpa(1, right=True), 0.1),
        ),
    ),
    Message(
        "VD", 65248, 6, CLUSTER, 100, 87,
        (
            Field(BUS + "Distance.Trip", "1.1", 32, lambda w: w.distance_m / 1_000.0, 0.125),
            # 0.125 km a bit on the bus; the signal is in m.
            Field("Vehicle.TraveledDistance", "5.1", 32, lambda w: w.odometer_m, 125,
                  fallback=True),
        ),
    ),
    Message(
        "DD1", 65276, 6, CLUSTER, 1000, 110,
        (
            Field("Vehicle.Body.Windshield.Front.WasherFluid.Level", "1.1", 8,
                  lambda w: w.washer_percent, 0.4),
            Field(FUEL_OF + "RelativeLevel", "2.1", 8, _fuel_level, 0.4),
            Field(BUS + "Cabin.CargoAmbientTemperature", "5.1", 16,
                  lambda w: w.engine.hold_c, 1 / 32, -273),
            Field(BUS + "Fuel.Level2", "7.1", 8, _second_level, 0.4),
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
    Message(
        "VEP1", 65271, 6, BODY, 1000, 830,
        (
            Field(BATTERY_OF + "CurrentCurrent", "1.1", 8,
                  lambda w: w.electrics.battery_a, 1, -125),
            Field(BUS + "Electrical.ChargingVoltage", "3.1", 16,
                  lambda w: w.electrics.charging_v, 0.05),
            Field(BATTERY_OF + "CurrentVoltage", "5.1", 16,
                  lambda w: w.electrics.battery_v, 0.05),
            Field(BUS + "Electrical.KeyswitchVoltage", "7.1", 16,
                  lambda w: w.electrics.battery_v - 0.1, 0.05),
        ),
    ),
)  # fmt: skip
