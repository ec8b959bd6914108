"""Parameter groups of body, dash and workshop: doors, lights, tell-tales, service, identity, DM1.

Layouts: SAE J1939-71, -73 and FMS-Standard 4; rates: FMS.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator import telltales
from simulator.addresses import BODY, BRAKES, CLUSTER, DOORS, ENGINE
from simulator.diagnosis import dm1
from simulator.emission import Writing
from simulator.service import DOORS as DOORS_FITTED
from simulator.spn import Encoded, Field, Message, Stated, encode
from simulator.world import World

BUS = "Vehicle.Bus."
LIGHTS_OF = "Vehicle.Body.Lights."
VIN = "Vehicle.VehicleIdentification.VIN"
COMPONENTS = (1, 4)
"""Identifications (SPN 911) of the two components with a service interval."""
S_PER_WEEK = 604_800
BITS_A_DOOR, ROOM_FOR_DOORS = 6, 10


def _door_fields() -> tuple[Field, ...]:
    """DC2: six bits a door, packed from byte 1, bit 1; the doors that are not fitted are ones."""

    def lock(_: int) -> Callable[[World], Stated]:
        return lambda w: not w.service.doors_enabled

    def is_open(door: int) -> Callable[[World], Stated]:
        return lambda w: w.service.doors_open[door]

    def enabled(_: int) -> Callable[[World], Stated]:
        return lambda w: w.service.doors_enabled

    fields = []
    for door in range(DOORS_FITTED):
        for place, (name, read) in enumerate(
            (("IsLocked", lock), ("IsOpen", is_open), ("IsEnabled", enabled))
        ):
            bit = BITS_A_DOOR * door + 2 * place
            at = f"{bit // 8 + 1}.{bit % 8 + 1}"
            fields.append(Field(f"{BUS}Door{door + 1}.{name}", at, 2, read(door)))
    return tuple(fields)


def _service(world: World) -> Encoded:
    """SERV: one component a message, by turns. The nearest service of all heard is a signal too."""
    turn = world.now_ms // 1_000 % len(COMPONENTS)
    left_km = [km - world.distance_m / 1_000.0 for km in world.service_km]
    component = Field(None, "1.1", 8, lambda w: COMPONENTS[turn])
    distance = Field(
        f"{BUS}Service.Component{COMPONENTS[turn]}.Distance",
        *("2.1", 16, lambda w: left_km[turn], 5, -160_635),
    )
    weeks = Field(None, "5.1", 8, lambda w: w.service_weeks[turn], 1, -125)
    hours = Field(None, "7.1", 16, lambda w: w.service_h[turn], 1, -32_127)
    made = encode((component, distance, weeks, hours), world)
    writings, alternatives = list(made.writings), list[Writing]()
    for path, of_all, value in (
        ("Vehicle.Service.DistanceToService", left_km, made.writings[0][1]),
        ("Vehicle.Service.TimeToService", world.service_weeks, world.service_weeks[turn]),
        (BUS + "Service.HoursToService", world.service_h, world.service_h[turn]),
    ):
        nearest = of_all[turn] == min(of_all)
        worth = value * S_PER_WEEK if path.endswith("TimeToService") else value
        (writings if nearest else alternatives).append((path, worth))
    return Encoded(made.payload, tuple(writings), tuple(alternatives))


def _identity(world: World) -> Encoded:
    """FMS: diagnostics supported, requests not, version 04.00 as four digits."""
    fields = (
        Field(BUS + "Fms.DiagnosticsSupported", "1.1", 2, lambda w: True),
        Field(BUS + "Fms.RequestsSupported", "1.3", 2, lambda w: False),
    )
    made = encode(fields, world)
    payload = made.payload[:1] + b"0400" + made.payload[5:]
    return Encoded(payload, (*made.writings, (BUS + "Fms.Version", "04.00")))


def _vin(world: World) -> Encoded:
    return Encoded(world.vin.encode("ascii") + b"*", ((VIN, world.vin),))


def _of_drive(world: World) -> Encoded:
    lamps, dtcs = world.diagnosis.drive(world.now_ms)
    return Encoded(dm1(lamps, dtcs), dtcs=dtcs)


def _of_brakes(world: World) -> Encoded:
    lamps, dtcs = world.diagnosis.brakes(world.now_ms)
    return Encoded(dm1(lamps, dtcs), dtcs=dtcs)


BODY_AND_DASH = (
    Message(
        "DC1", 65102, 6, DOORS, 100, 57,
        (
            Field(BUS + "Doors.Position", "1.1", 4, lambda w: w.service.doors),
            Field(BUS + "Ramp.IsOutside", "1.5", 2, lambda w: w.service.ramp_out),
            Field(BUS + "Doors.AnyEnabled", "1.7", 2, lambda w: w.service.doors_enabled),
        ),
    ),
    Message("DC2", 64933, 6, DOORS, 100, 67, _door_fields()),
    Message(
        "PTODE", 64932, 6, BODY, 100, 83,
        (Field(BUS + "Pto.AnyEngaged", "7.1", 2, lambda w: False),),
    ),
    Message(
        "LD", 65088, 6, BODY, 0, 97,
        (
            Field(LIGHTS_OF + "Running.IsOn", "1.1", 2, lambda w: w.lights.running),
            Field(LIGHTS_OF + "Beam.Low.IsOn", "1.5", 2, lambda w: w.lights.low_beam),
            Field(LIGHTS_OF + "Beam.High.IsOn", "1.7", 2, lambda w: w.lights.high_beam),
            Field(LIGHTS_OF + "DirectionIndicator.Right.IsSignaling", "2.5", 2,
                  lambda w: w.lights.right),
            Field(LIGHTS_OF + "DirectionIndicator.Left.IsSignaling", "2.7", 2,
                  lambda w: w.lights.left),
        ),
    ),
    Message("FMS1", 64893, 7, CLUSTER, 1000, 50, compose=telltales.block),
    Message("SERV", 65216, 6, CLUSTER, 1000, 950, compose=_service),
    Message("FMS", 64977, 7, BODY, 10_000, 5_010, compose=_identity),
    Message("VI", 65260, 6, ENGINE, 10_000, 1_500, compose=_vin),
    Message("DM1", 65226, 6, ENGINE, 1000, 750, compose=_of_drive),
    Message("DM1", 65226, 6, BRAKES, 1000, 380, compose=_of_brakes),
)  # fmt: skip
