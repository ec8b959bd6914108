"""The lamps of the dash as the FMS-Standard sends them: 60 tell-tales in 4 blocks of 15.

Byte 1 of FMS1 (PGN 64893) holds the block in its low nibble; its high nibble and the nibbles of
bytes 2 to 8, low before high, are the statuses of that block. One block a second.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib.resources import files

from simulator.diagnosis import MIL
from simulator.spn import Encoded
from simulator.world import World

NAMES = tuple(
    row["name"]
    for row in csv.DictReader(
        (files("simulator") / "telltales.csv").read_text(encoding="utf-8").splitlines()
    )
)
"""By number from 1."""
BLOCKS, IN_BLOCK = 4, 15
OFF, RED, YELLOW, INFO = "off", "red", "yellow", "info"
NIBBLES = {OFF: 0b1000, RED: 0b1001, YELLOW: 0b1010, INFO: 0b1011}
NOT_FITTED = 0b1111


def path(name: str) -> str:
    """The signal of a tell-tale."""
    return f"Vehicle.Bus.Telltale.{name}.Status"


def _lit(on: bool, colour: str) -> str:
    return colour if on else OFF


def statuses(world: World) -> Mapping[str, str]:
    """The lamps that this bus has, by name."""
    service, chassis, lights = world.service, world.chassis, world.lights
    lamps, dtcs = world.diagnosis.drive(world.now_ms)
    _, of_brakes = world.diagnosis.brakes(world.now_ms)
    shown = {
        "AirConditioning": _lit(world.engine.ambient_c > 22.0, INFO),
        "HighBeam": _lit(lights.high_beam, INFO),
        "LowBeam": _lit(lights.low_beam, INFO),
        "TurnSignals": _lit(lights.left or lights.right, INFO),
        "HazardWarning": OFF,
        "ParkingBrake": _lit(service.parking_brake, RED),
        "BrakeFailure": OFF,
        "HatchOpen": OFF,
        "Battery": _lit(not world.charging, RED),
        "PositionLights": _lit(lights.running, INFO),
        "AbsFailure": _lit(bool(of_brakes), YELLOW),
        "WornBrakeLinings": OFF,
        "WasherFluid": _lit(world.washer_percent < 35.0, YELLOW),
        "GeneralFailure": _lit(bool(dtcs or of_brakes), YELLOW),
        "SteeringFailure": OFF,
        "HeightControl": OFF,
        "BrakeLights": _lit(world.braking, INFO),
        "StopRequest": _lit(world.stop_requested, YELLOW),
        "BusStopBrake": _lit(service.doors_enabled, INFO),
        "Raising": _lit(chassis.raising, YELLOW),
        "Lowering": _lit(chassis.lowering, YELLOW),
        "Kneeling": _lit(service.kneeling, YELLOW),
        "AuxiliaryAir": OFF,
        "Ebs": OFF,
        "CruiseControl": _lit(world.cruise_active, INFO),
        "Tachograph": _lit(not service.card_read, INFO),
    }
    if world.traction is None:
        shown |= {
            "FuelLevel": _lit(world.engine.fuel_percent < 15.0, YELLOW),
            "CoolantTemperature": _lit(any(dtc.spn == 110 for dtc in dtcs), YELLOW),
            "EngineOil": _lit(not world.engine.running, RED),
            "Engine": _lit(bool(lamps & MIL), YELLOW),
            "Retarder": _lit(chassis.retarder_percent > 0.0, INFO),
            "AdBlueLevel": _lit(world.engine.def_percent < 12.0, YELLOW),
        }
    return shown


def block(world: World) -> Encoded:
    """The block of this second."""
    number = world.now_ms // 1_000 % BLOCKS
    shown = statuses(world)
    names = NAMES[number * IN_BLOCK : (number + 1) * IN_BLOCK]
    nibbles = [NIBBLES[shown[name]] if name in shown else NOT_FITTED for name in names]
    word = number
    for place, nibble in enumerate(nibbles, start=1):
        word |= nibble << 4 * place
    writings = tuple((path(name), shown[name]) for name in names if name in shown)
    return Encoded(word.to_bytes(8, "little"), writings)
