"""What must arrive of fuel, chassis, body, workshop and an electric drive."""

from __future__ import annotations

from simulator.expectation import Expectation, change, sampled
from simulator.telltales import NAMES, path

TOLERANCE_DEGREES = 1e-4
"""Radians on the bus, degrees in the signal: far below the bus's own step of 0.007 degrees/s."""
STEERING_STEP, YAW_STEP = 0.056, 0.007
"""1/1024 rad and 1/8192 rad/s in degrees."""


def _change(*paths: str, step: float = 0.0) -> tuple[Expectation, ...]:
    return change("fms", *paths, step=step)


def _sampled(path: str, interval_s: float, deadband: float, step: float) -> Expectation:
    return sampled("fms", path, interval_s, deadband, step)


FUEL = (
    # HRLFC, with LFC1 as what is left of it
    _sampled("Vehicle.Bus.Fuel.TripUsed", 10, 0.5, 0.001),
    _sampled("Vehicle.Bus.Fuel.TotalUsed", 10, 0.5, 0.001),
    # AT1T1I1
    _sampled("Vehicle.Powertrain.CombustionEngine.DieselExhaustFluid.Level", 10, 0.4, 0.4),
    _sampled("Vehicle.Bus.Def.Temperature", 60, 1, 1),
)

CHASSIS = (
    # EEC2
    *_change("Vehicle.Bus.Chassis.AcceleratorLowIdle"),
    # ETC2
    *_change(
        "Vehicle.Powertrain.Transmission.SelectedGear",
        "Vehicle.Powertrain.Transmission.CurrentGear",
        step=1,
    ),
    # ERC1
    *_change("Vehicle.Bus.Retarder.TorqueMode", step=1),
    _sampled("Vehicle.Bus.Retarder.TorquePercent", 1, 5, 1),
    _sampled("Vehicle.Bus.Retarder.Selection", 1, 4, 0.4),
    # EBC1
    *_change("Vehicle.ADAS.ABS.IsEngaged", "Vehicle.Bus.Chassis.EbsBrakeSwitch"),
    _sampled("Vehicle.Chassis.Brake.PedalPosition", 1, 4, 0.4),
    # VDC2
    sampled("fms", "Vehicle.Chassis.SteeringWheel.Angle", 1, 5, STEERING_STEP, TOLERANCE_DEGREES),
    sampled("fms", "Vehicle.AngularVelocity.Yaw", 1, 2, YAW_STEP, TOLERANCE_DEGREES),
    _sampled("Vehicle.Acceleration.Lateral", 1, 0.5, 1 / 2048),
    _sampled("Vehicle.Acceleration.Longitudinal", 1, 0.5, 0.1),
    # AIR1
    _sampled("Vehicle.Bus.Pneumatics.Supply", 10, 16, 8),
    _sampled("Vehicle.Bus.Pneumatics.ParkingPressure", 10, 16, 8),
    _sampled("Vehicle.Bus.Pneumatics.BrakeCircuit1", 10, 16, 8),
    _sampled("Vehicle.Bus.Pneumatics.BrakeCircuit2", 10, 16, 8),
    *_change("Vehicle.Bus.Pneumatics.CompressorActive"),
    # VW, CVW, ASC4
    *(_sampled(f"Vehicle.Bus.Chassis.Axle.Row{n}.Weight", 10, 50, 0.5) for n in range(1, 9)),
    _sampled("Vehicle.CurrentOverallWeight", 10, 50, 10),
    _sampled("Vehicle.Bus.Weight.GrossCombination", 10, 50, 10),
    _sampled("Vehicle.Bus.Suspension.FrontLeftPressure", 10, 10, 0.1),
    _sampled("Vehicle.Bus.Suspension.FrontRightPressure", 10, 10, 0.1),
    _sampled("Vehicle.Bus.Suspension.RearLeftPressure", 10, 10, 0.1),
    _sampled("Vehicle.Bus.Suspension.RearRightPressure", 10, 10, 0.1),
    # VD
    _sampled("Vehicle.Bus.Distance.Trip", 5, 0, 0.125),
    # VEP1, AS
    _sampled("Vehicle.LowVoltageBattery.CurrentCurrent", 10, 5, 1),
    _sampled("Vehicle.LowVoltageBattery.CurrentVoltage", 10, 0.5, 0.05),
    _sampled("Vehicle.Bus.Electrical.ChargingVoltage", 10, 0.5, 0.05),
    _sampled("Vehicle.Bus.Electrical.KeyswitchVoltage", 10, 0.5, 0.05),
    _sampled("Vehicle.Bus.Electrical.AlternatorSpeed", 10, 100, 0.5),
    *_change(
        "Vehicle.Bus.Electrical.Alternator1Charging", "Vehicle.Bus.Electrical.Alternator2Charging"
    ),
)

BODY = (
    # DC2, PTODE, LD
    *_change(
        *(
            f"Vehicle.Bus.Door{k}.{name}"
            for k in range(1, 11)
            for name in ("IsLocked", "IsOpen", "IsEnabled")
        ),
        "Vehicle.Bus.Pto.AnyEngaged",
        "Vehicle.Body.Lights.Running.IsOn",
        "Vehicle.Body.Lights.Beam.Low.IsOn",
        "Vehicle.Body.Lights.Beam.High.IsOn",
        "Vehicle.Body.Lights.DirectionIndicator.Right.IsSignaling",
        "Vehicle.Body.Lights.DirectionIndicator.Left.IsSignaling",
    ),
    # FMS1
    *_change(*(path(name) for name in NAMES)),
)

WORKSHOP = (
    # TD
    _sampled("Vehicle.Bus.Clock.Vehicle", 60, 0, 250),
    *_change("Vehicle.Bus.Clock.LocalOffset", step=1),
    # SERV
    *_change(*(f"Vehicle.Bus.Service.Component{n}.Distance" for n in range(16)), step=5),
    *_change("Vehicle.Service.DistanceToService", step=5),
    *_change("Vehicle.Service.TimeToService", step=604_800),
    *_change("Vehicle.Bus.Service.HoursToService", step=1),
    # FMS, DI
    *_change(
        "Vehicle.Bus.Fms.DiagnosticsSupported",
        "Vehicle.Bus.Fms.RequestsSupported",
        "Vehicle.Bus.Fms.Version",
    ),
    *(
        Expectation("fms", f"Vehicle.Tachograph.Driver{n}.Identifier", "change", pseudonym=True)
        for n in (1, 2)
    ),
)

ELECTRIC = (
    # VEP4, HVES1D1, HVES1D2, HVES1D7, HIST
    _sampled("Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed", 10, 0.5, 0.0025),
    _sampled("Vehicle.Bus.TractionBattery.AvailableDischargePower", 1, 5, 0.05),
    _sampled("Vehicle.Bus.TractionBattery.AvailableChargePower", 1, 5, 0.05),
    _sampled("Vehicle.Powertrain.TractionBattery.CurrentVoltage", 1, 2, 0.05),
    _sampled("Vehicle.Powertrain.TractionBattery.CurrentCurrent", 1, 5, 0.05),
    _sampled("Vehicle.Powertrain.TractionBattery.StateOfCharge.Current", 10, 0.5, 0.0025),
    _sampled("Vehicle.Bus.TractionBattery.HighestCellVoltage", 10, 0.01, 0.001),
    _sampled("Vehicle.Bus.TractionBattery.LowestCellVoltage", 10, 0.01, 0.001),
    _sampled("Vehicle.Bus.TractionBattery.ChargeEnergyCapacity", 60, 0.1, 0.001),
    _sampled("Vehicle.Powertrain.TractionBattery.StateOfHealth", 60, 0.4, 0.4),
)
"""Declared where the driver's configuration says `electric = true`."""
