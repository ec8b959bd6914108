"""What of each signal must arrive: the simulator's own table, written beside the agent's.

A contract test compares it with what the agent declares; the oracle judges by this one alone.
"""

from __future__ import annotations

from simulator.expectation import Expectation
from simulator.expectation import change as _change
from simulator.expectation import counter as _counter
from simulator.expectation import every as _every
from simulator.expectation import sampled as _sampled
from simulator.fms_signals import BODY, CHASSIS, ELECTRIC, FUEL, WORKSHOP

GNSS = (
    _every("gnss", "Vehicle.CurrentLocation.Latitude", 1e-7),
    _every("gnss", "Vehicle.CurrentLocation.Longitude", 1e-7),
    _sampled("gnss", "Vehicle.CurrentLocation.Altitude", 10, 2, 0.1),
    _sampled("gnss", "Vehicle.CurrentLocation.Heading", 1, 2, 0.01),
    _sampled("gnss", "Vehicle.Bus.Gnss.Speed", 1, 0.5, 0.001),
    _sampled("gnss", "Vehicle.Bus.Gnss.Satellites", 10, 0, 1),
    _sampled("gnss", "Vehicle.Bus.Gnss.Hdop", 10, 0.2, 0.01),
    *_change("gnss", "Vehicle.CurrentLocation.GNSSReceiver.FixType"),
    Expectation("gnss", "Vehicle.Bus.Gnss.HorizontalAccuracy", "sampled", 10, 1, on_wire=False),
    Expectation("gnss", "Vehicle.Bus.Gnss.IsPlausible", "change", on_wire=False),
    Expectation("gnss", "Vehicle.Bus.Gnss.IsDeadReckoning", "change", on_wire=False),
    _sampled("gnss", "Vehicle.Bus.Utc", 60, 0, 1),
    Expectation("gnss", "Vehicle.Bus.Gnss.UtcUncertainty", "sampled", 60, 50, on_wire=False),
    Expectation("gnss", "Vehicle.Bus.Gnss.WeekRollover", "change", on_wire=False),
    Expectation("gnss", "Vehicle.Bus.Gnss.SatellitesInView", "sampled", 10, 2, on_wire=False),
    Expectation("gnss", "Vehicle.Bus.Gnss.SignalStrength", "sampled", 10, 2, on_wire=False),
    Expectation("gnss", "Vehicle.Bus.Gnss.AntennaState", "change", on_wire=False),
    Expectation("gnss", "Vehicle.Bus.Gnss.JammingState", "change", on_wire=False),
    Expectation("gnss", "Vehicle.Bus.Gnss.JammingLevel", "sampled", 10, 10, on_wire=False),
    Expectation("gnss", "Vehicle.Bus.Gnss.FusionState", "change", on_wire=False),
    _counter("gnss", "Vehicle.Bus.Gnss.SentencesRead"),
    _counter("gnss", "Vehicle.Bus.Gnss.SentencesRejected"),
)

FMS = (
    # EEC1
    _sampled("fms", "Vehicle.Bus.Engine.TorqueMode", 1, 0, 1),
    _sampled("fms", "Vehicle.Bus.Engine.DemandTorquePercent", 1, 5, 1),
    _sampled("fms", "Vehicle.Bus.Engine.TorquePercent", 1, 5, 1),
    _sampled("fms", "Vehicle.Powertrain.CombustionEngine.Speed", 1, 25, 0.125),
    *_change("fms", "Vehicle.Bus.Engine.StarterMode", step=1),
    # EEC2
    *_change("fms", "Vehicle.Bus.Chassis.KickdownActive"),
    _sampled("fms", "Vehicle.Chassis.Accelerator.PedalPosition", 1, 4, 0.4),
    _sampled("fms", "Vehicle.Bus.Engine.LoadPercent", 1, 5, 1),
    # CCVS1
    *_change("fms", "Vehicle.Chassis.ParkingBrake.IsEngaged"),
    _sampled("fms", "Vehicle.Speed", 1, 0.5, 1 / 256),
    *_change(
        "fms",
        "Vehicle.ADAS.CruiseControl.IsActive",
        "Vehicle.ADAS.CruiseControl.IsEnabled",
        "Vehicle.Bus.Chassis.BrakeSwitch",
        "Vehicle.Bus.Powertrain.ClutchSwitch",
    ),
    *_change("fms", "Vehicle.ADAS.CruiseControl.SpeedSet", "Vehicle.Bus.Pto.State", step=1),
    # LFE1
    _sampled("fms", "Vehicle.Bus.Fuel.RateLitrePerHour", 5, 1, 0.05),
    _sampled("fms", "Vehicle.Powertrain.FuelSystem.InstantFuelEconomy", 10, 0.5, 1 / 512),
    _sampled("fms", "Vehicle.Powertrain.FuelSystem.CumulativeFuelEconomy", 60, 0.05, 1 / 512),
    # DD1
    _sampled("fms", "Vehicle.Body.Windshield.Front.WasherFluid.Level", 60, 1, 0.4),
    _sampled("fms", "Vehicle.Powertrain.FuelSystem.RelativeLevel", 10, 0.4, 0.4),
    _sampled("fms", "Vehicle.Bus.Cabin.CargoAmbientTemperature", 60, 0.5, 1 / 32),
    _sampled("fms", "Vehicle.Bus.Fuel.Level2", 10, 0.4, 0.4),
    # HOURS, VDHR
    _sampled("fms", "Vehicle.Powertrain.CombustionEngine.EngineHours", 10, 0, 0.05),
    _sampled("fms", "Vehicle.TraveledDistance", 5, 0, 5),
    _sampled("fms", "Vehicle.TripMeterReading", 5, 0, 5),
    # ET1
    _sampled("fms", "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature", 10, 1, 1),
    _sampled("fms", "Vehicle.Bus.Fuel.Temperature", 60, 1, 1),
    _sampled("fms", "Vehicle.Powertrain.CombustionEngine.EngineOil.Temperature", 10, 1, 1 / 32),
    # AMB
    _sampled("fms", "Vehicle.Exterior.AirPressure", 60, 5, 5),
    _sampled("fms", "Vehicle.Cabin.HVAC.AmbientAirTemperature", 60, 0.5, 1 / 32),
    _sampled("fms", "Vehicle.Exterior.AirTemperature", 60, 0.5, 1 / 32),
    # TCO1
    *_change(
        "fms",
        "Vehicle.Tachograph.Driver1.WorkingState",
        "Vehicle.Tachograph.Driver2.WorkingState",
        "Vehicle.Tachograph.Driver1.TimeState",
        "Vehicle.Tachograph.Driver2.TimeState",
        "Vehicle.Tachograph.Performance",
        "Vehicle.Tachograph.Direction",
        step=1,
    ),
    *_change(
        "fms",
        "Vehicle.IsMoving",
        "Vehicle.Tachograph.Driver1.CardPresent",
        "Vehicle.Tachograph.Driver2.CardPresent",
        "Vehicle.Tachograph.Overspeed",
        "Vehicle.Tachograph.SystemEvent",
        "Vehicle.Tachograph.HandlingInfo",
    ),
    _sampled("fms", "Vehicle.Tachograph.OutputShaftSpeed", 1, 25, 0.125),
    _sampled("fms", "Vehicle.Tachograph.Speed", 1, 0.5, 1 / 256),
    # DC1
    *_change("fms", "Vehicle.Bus.Doors.Position", step=1),
    *_change("fms", "Vehicle.Bus.Ramp.IsOutside", "Vehicle.Bus.Doors.AnyEnabled"),
    # VI
    *_change("fms", "Vehicle.VehicleIdentification.VIN"),
    _counter("fms", "Vehicle.Bus.Can.FramesRead"),
    _counter("fms", "Vehicle.Bus.Can.FramesRejected"),
    _counter("fms", "Vehicle.Bus.Can.FramesLost"),
    _counter("fms", "Vehicle.Bus.Can.ErrorFrames"),
    Expectation("fms", "Vehicle.Bus.Can.State", "change", on_wire=False),
    Expectation("fms", "Vehicle.Bus.Can.ListenOnly", "change", on_wire=False),
    Expectation("fms", "Vehicle.Bus.Can.FramesPerSecond", "sampled", 10, 50, 1, on_wire=False),
    Expectation("fms", "Vehicle.Bus.Can.Load", "sampled", 10, 5, 0, on_wire=False),
    _counter("fms", "Vehicle.Bus.Can.BusOffs"),
    _counter("fms", "Vehicle.Bus.Can.AddressConflicts"),
    # DM1
    Expectation("fms", "Vehicle.Bus.Dtc", "every", on_wire=False),
    Expectation("fms", "Vehicle.Bus.DtcDetail.Sa", "every", step=1, on_wire=False),
    Expectation("fms", "Vehicle.Bus.DtcDetail.Spn", "every", step=1, on_wire=False),
    Expectation("fms", "Vehicle.Bus.DtcDetail.Fmi", "every", step=1, on_wire=False),
    Expectation("fms", "Vehicle.Bus.DtcDetail.Oc", "every", step=1, on_wire=False),
    Expectation("fms", "Vehicle.Bus.DtcDetail.Cm", "every", step=1, on_wire=False),
    Expectation("fms", "Vehicle.Diagnostics.DTCCount", "change", step=1, on_wire=False),
    Expectation("fms", "Vehicle.Bus.DtcLamp.Protect", "change", on_wire=False),
    Expectation("fms", "Vehicle.Bus.DtcLamp.Amber", "change", on_wire=False),
    Expectation("fms", "Vehicle.Bus.DtcLamp.Red", "change", on_wire=False),
    Expectation("fms", "Vehicle.Bus.DtcLamp.Mil", "change", on_wire=False),
)

EXPECTATIONS = GNSS + FMS + FUEL + CHASSIS + BODY + WORKSHOP
"""What `brain signals` lists as long as no configuration adds to it."""

BY_SIGNAL = {(one.source, one.path): one for one in EXPECTATIONS + ELECTRIC}
"""By (source, path)."""
