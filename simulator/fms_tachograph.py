"""Parameter groups of the tachograph: TCO1, odometer, time and date, driver identification.

Layouts: SAE J1939-71 and FMS-Standard 4; rates: FMS.
"""

from __future__ import annotations

from datetime import UTC, datetime

from simulator.addresses import TACHOGRAPH
from simulator.spn import ERROR, NOT_AVAILABLE, Encoded, Field, Message, Stated
from simulator.world import World

TACHOGRAPH_SCALE = 0.996
"""The tachograph is calibrated with its own constant and never quite agrees with the dash."""
SHAFT_RPM_PER_MS = 41.0

BUS = "Vehicle.Bus."
TACHO_OF = "Vehicle.Tachograph."
CLOCK = BUS + "Clock.Vehicle"
LOCAL_OFFSET = BUS + "Clock.LocalOffset"


def _shaft_rpm(world: World) -> Stated:
    return ERROR if world.shaft_sensor_broken else world.speed_ms * SHAFT_RPM_PER_MS


def _time_state(world: World) -> Stated:
    return world.service.time_state if world.service.card_read else NOT_AVAILABLE


def _handling(world: World) -> Stated:
    """Something is being handled at the tachograph: the card is in and not yet read."""
    return world.service.card_present and not world.service.card_read


def time_and_date(utc_ms: int, local_offset_min: int | None) -> bytes:
    """TD: seconds and days in quarters, year from 1985, local offsets from -125 (None: ones)."""
    at = datetime.fromtimestamp(utc_ms // 1_000, UTC)
    quarters = at.second * 4 + utc_ms % 1_000 // 250
    minutes, hours = 0xFF, 0xFF
    if local_offset_min is not None:
        sign = -1 if local_offset_min < 0 else 1
        hour, minute = divmod(abs(local_offset_min), 60)
        minutes, hours = sign * minute + 125, sign * hour + 125
    # The day counts quarters from 1: raw 1 to 4 is the first of the month.
    day = at.day * 4 - 3 + at.hour // 6
    return bytes((quarters, at.minute, at.hour, at.month, day, at.year - 1985, minutes, hours))


def _time_and_date(world: World) -> Encoded:
    utc_ms = world.utc_ms // 250 * 250
    payload = time_and_date(utc_ms, world.local_offset_min)
    return Encoded(payload, ((CLOCK, utc_ms), (LOCAL_OFFSET, world.local_offset_min)))


def _drivers(world: World) -> Encoded:
    """DI: the card in slot 1, nobody in slot 2; fictitious numbers."""
    identifier = world.driver_id if world.service.card_read else ""
    payload = f"{identifier}**".encode("ascii").ljust(8, b"\xff")
    writings = ((TACHO_OF + "Driver1.Identifier", identifier),) if identifier else ()
    return Encoded(payload, writings)


OF_TACHOGRAPH = (
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
        "VDHR", 65217, 6, TACHOGRAPH, 1000, 350,
        (
            Field("Vehicle.TraveledDistance", "1.1", 32, lambda w: w.odometer_m, 5),
            Field("Vehicle.TripMeterReading", "5.1", 32, lambda w: w.distance_m, 5),
        ),
    ),
    Message("TD", 65254, 6, TACHOGRAPH, 1000, 530, compose=_time_and_date),
    Message("DI", 65131, 6, TACHOGRAPH, 10_000, 8_200, compose=_drivers),
)  # fmt: skip
