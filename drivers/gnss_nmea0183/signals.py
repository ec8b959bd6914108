"""The signals that a receiver states, and a fix as their values."""

from __future__ import annotations

from agent.sdk import CHANGE, EVERY, Datatype, Group, Scalar, Signal, State, sampled
from drivers.gnss_nmea0183.epoch import Fix

LATITUDE = "Vehicle.CurrentLocation.Latitude"
LONGITUDE = "Vehicle.CurrentLocation.Longitude"
ALTITUDE = "Vehicle.CurrentLocation.Altitude"
HEADING = "Vehicle.CurrentLocation.Heading"
SPEED = "Vehicle.Bus.Gnss.Speed"
SATELLITES = "Vehicle.Bus.Gnss.Satellites"
HDOP = "Vehicle.Bus.Gnss.Hdop"
FIX_TYPE = "Vehicle.CurrentLocation.GNSSReceiver.FixType"
UTC = "Vehicle.Bus.Utc"
SENTENCES_READ = "Vehicle.Bus.Gnss.SentencesRead"
SENTENCES_REJECTED = "Vehicle.Bus.Gnss.SentencesRejected"

FIX = Group(
    "fix",
    (
        Signal(
            LATITUDE,
            Datatype.DOUBLE,
            "degrees",
            "Latitude in WGS 84, north positive, rounded to 1e-7.",
            EVERY,
            -90,
            90,
            10_000_000,
            "NMEA RMC, GGA, GNS, GLL",
        ),
        Signal(
            LONGITUDE,
            Datatype.DOUBLE,
            "degrees",
            "Longitude in WGS 84, east positive, rounded to 1e-7.",
            EVERY,
            -180,
            180,
            10_000_000,
            "NMEA RMC, GGA, GNS, GLL",
        ),
        Signal(
            ALTITUDE,
            Datatype.DOUBLE,
            "m",
            "Antenna altitude above mean sea level.",
            sampled(10, 2),
            source="NMEA GGA, GNS",
        ),
        Signal(
            HEADING,
            Datatype.DOUBLE,
            "degrees",
            "Course over ground, true; many receivers state none while standing.",
            sampled(1, 2),
            0,
            360,
            source="NMEA RMC, VTG",
        ),
        Signal(
            SPEED,
            Datatype.FLOAT,
            "km/h",
            "Speed over ground: knots * 1.852, rounded to 1e-3.",
            sampled(1, 0.5),
            0,
            steps_per_unit=1000,
            source="NMEA RMC, VTG",
        ),
        Signal(
            SATELLITES,
            Datatype.UINT8,
            "",
            "Satellites used; some receivers stop counting at 12.",
            sampled(10),
            0,
            99,
            source="NMEA GGA, GNS",
        ),
        Signal(
            HDOP,
            Datatype.FLOAT,
            "",
            "Horizontal dilution of precision.",
            sampled(10, 0.2),
            0.01,
            89.99,
            source="NMEA GGA, GNS, GSA",
        ),
        Signal(
            FIX_TYPE,
            Datatype.STRING,
            "",
            "NONE, TWO_D, THREE_D; with _GROUND_BASED_AUGMENTATION behind it under RTK.",
            CHANGE,
            source="NMEA GSA, GGA, GNS",
        ),
        Signal(
            UTC,
            Datatype.INT64,
            "ms",
            "UTC of the fix since 1970, once the receiver had a fix on that date.",
            sampled(60),
            source="NMEA RMC, ZDA",
        ),
    ),
)

RECEIVER = Group(
    "receiver",
    (
        Signal(
            SENTENCES_READ,
            Datatype.UINT32,
            "",
            "Sentences with the right checksum since the driver started.",
            sampled(5),
            source="driver",
        ),
        Signal(
            SENTENCES_REJECTED,
            Datatype.UINT32,
            "",
            "Sentences dropped since then: noise, wrong checksum, too long.",
            sampled(5),
            source="driver",
        ),
    ),
)

_FIX_TYPE = {1: "NONE", 2: "TWO_D", 3: "THREE_D"}
_POSITION = (LATITUDE, LONGITUDE, ALTITUDE, HEADING, SPEED)


def fix_type(fix: Fix) -> str:
    """The VSS word. NMEA "differential" does not say whether satellites or a ground station helped,
    so only RTK, which needs a ground station, gets a longer word.
    """
    word = _FIX_TYPE[fix.mode]
    return f"{word}_GROUND_BASED_AUGMENTATION" if fix.rtk and fix.mode > 1 else word


def values_of(fix: Fix) -> tuple[dict[str, Scalar], dict[str, State]]:
    """Values and states of group `fix`. No fix is a state: what it took away is `not_available`."""
    stated = {
        LATITUDE: fix.latitude,
        LONGITUDE: fix.longitude,
        ALTITUDE: fix.altitude_m,
        HEADING: fix.heading,
        SPEED: fix.speed_kmh,
        SATELLITES: fix.satellites,
        HDOP: fix.hdop,
        UTC: fix.utc_ms if fix.utc_proven else None,
    }
    values: dict[str, Scalar] = {path: v for path, v in stated.items() if v is not None}
    if fix.mode_known:
        values[FIX_TYPE] = fix_type(fix)
    states = dict.fromkeys(_POSITION, State.NOT_AVAILABLE) if fix.mode == 1 else {}
    return values, states
