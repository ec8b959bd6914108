"""The signals that a receiver states, in the groups in which they are emitted."""

from __future__ import annotations

from agent.sdk import CHANGE, EVERY, Datatype, Group, Signal, sampled

LATITUDE = "Vehicle.CurrentLocation.Latitude"
LONGITUDE = "Vehicle.CurrentLocation.Longitude"
ALTITUDE = "Vehicle.CurrentLocation.Altitude"
HEADING = "Vehicle.CurrentLocation.Heading"
SPEED = "Vehicle.Bus.Gnss.Speed"
SATELLITES = "Vehicle.Bus.Gnss.Satellites"
HDOP = "Vehicle.Bus.Gnss.Hdop"
FIX_TYPE = "Vehicle.CurrentLocation.GNSSReceiver.FixType"
ACCURACY = "Vehicle.Bus.Gnss.HorizontalAccuracy"
PLAUSIBLE = "Vehicle.Bus.Gnss.IsPlausible"
RECKONED = "Vehicle.Bus.Gnss.IsDeadReckoning"
UTC = "Vehicle.Bus.Utc"
UTC_UNCERTAINTY = "Vehicle.Bus.Gnss.UtcUncertainty"
ROLLOVER = "Vehicle.Bus.Gnss.WeekRollover"
IN_VIEW = "Vehicle.Bus.Gnss.SatellitesInView"
STRENGTH = "Vehicle.Bus.Gnss.SignalStrength"
ANTENNA = "Vehicle.Bus.Gnss.AntennaState"
JAMMING = "Vehicle.Bus.Gnss.JammingState"
JAMMING_LEVEL = "Vehicle.Bus.Gnss.JammingLevel"
FUSION = "Vehicle.Bus.Gnss.FusionState"
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
            "NMEA RMC, GGA, GNS, GLL; UBX NAV-PVT, NAV-SOL; gpsd TPV",
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
            "NMEA RMC, GGA, GNS, GLL; UBX NAV-PVT, NAV-SOL; gpsd TPV",
        ),
        Signal(
            ALTITUDE,
            Datatype.DOUBLE,
            "m",
            "Antenna altitude above mean sea level.",
            sampled(10, 2),
            source="NMEA GGA, GNS; UBX NAV-PVT; gpsd TPV",
        ),
        Signal(
            HEADING,
            Datatype.DOUBLE,
            "degrees",
            "Course over ground, true; many receivers state none while standing.",
            sampled(1, 2),
            0,
            360,
            source="NMEA RMC, VTG; UBX NAV-PVT; gpsd TPV",
        ),
        Signal(
            SPEED,
            Datatype.FLOAT,
            "km/h",
            "Speed over ground: knots * 1.852, rounded to 1e-3.",
            sampled(1, 0.5),
            0,
            steps_per_unit=1000,
            source="NMEA RMC, VTG; UBX NAV-PVT; gpsd TPV",
        ),
        Signal(
            SATELLITES,
            Datatype.UINT8,
            "",
            "Satellites used; some receivers stop counting at 12.",
            sampled(10),
            0,
            99,
            source="NMEA GGA, GNS, GSA; UBX NAV-PVT, NAV-SOL; gpsd SKY",
        ),
        Signal(
            HDOP,
            Datatype.FLOAT,
            "",
            "Horizontal dilution of precision.",
            sampled(10, 0.2),
            0.01,
            89.99,
            source="NMEA GGA, GNS, GSA; UBX NAV-DOP; gpsd SKY",
        ),
        Signal(
            FIX_TYPE,
            Datatype.STRING,
            "",
            "NONE, TWO_D, THREE_D; with _GROUND_BASED_AUGMENTATION behind it under RTK.",
            CHANGE,
            source="NMEA GSA, GGA, GNS; UBX NAV-PVT, NAV-SOL; gpsd TPV",
        ),
        Signal(
            ACCURACY,
            Datatype.FLOAT,
            "m",
            "Horizontal accuracy as the receiver estimates it.",
            sampled(10, 1),
            0,
            source="UBX NAV-PVT, NAV-SOL; NMEA GST, PUBX 00; gpsd eph",
        ),
    ),
)

TIME = Group(
    "time",
    (
        Signal(
            UTC,
            Datatype.INT64,
            "ms",
            "UTC since 1970 at the capture time of the record, once a fix stood behind its date.",
            sampled(60),
            source="NMEA RMC, ZDA; UBX NAV-PVT, NAV-TIMEGPS; gpsd TPV",
        ),
    ),
)

QUALITY = Group(
    "quality",
    (
        Signal(
            PLAUSIBLE,
            Datatype.BOOLEAN,
            "",
            "Whether the bus can have come here from the last believed position.",
            CHANGE,
            source="driver",
        ),
        Signal(
            RECKONED,
            Datatype.BOOLEAN,
            "",
            "Whether the position is by dead reckoning alone; VSS has no fix type for that.",
            CHANGE,
            source="NMEA GGA, RMC, GNS; UBX NAV-PVT; gpsd status",
        ),
        Signal(
            UTC_UNCERTAINTY,
            Datatype.UINT32,
            "ms",
            "How much earlier than its capture time that moment may have been.",
            sampled(60, 50),
            source="driver",
        ),
        Signal(
            ROLLOVER,
            Datatype.BOOLEAN,
            "",
            "Whether the receiver's date was wrong by a multiple of 1024 weeks and was corrected.",
            CHANGE,
            source="driver",
        ),
    ),
)

SKY = Group(
    "sky",
    (
        Signal(
            IN_VIEW,
            Datatype.UINT8,
            "",
            "Satellites in view, all constellations.",
            sampled(10, 2),
            source="NMEA GSV; UBX NAV-SAT, NAV-SVINFO; gpsd SKY",
        ),
        Signal(
            STRENGTH,
            Datatype.FLOAT,
            "",  # VSS has no dB-Hz
            "Mean C/N0 of the best four satellites in dB-Hz, a missing one counting as 0.",
            sampled(10, 2),
            0,
            99,
            source="NMEA GSV; UBX NAV-SAT, NAV-SVINFO; gpsd SKY",
        ),
    ),
)

CONDITION = Group(
    "condition",
    (
        Signal(
            ANTENNA,
            Datatype.STRING,
            "",
            "ok, open, short or unknown; the worst of several antennas.",
            CHANGE,
            source="UBX MON-RF, MON-HW; NMEA TXT",
        ),
        Signal(
            JAMMING,
            Datatype.STRING,
            "",
            "ok, warning (fix ok), critical (no fix) or unknown.",
            CHANGE,
            source="UBX MON-RF, MON-HW",
        ),
        Signal(
            JAMMING_LEVEL,
            Datatype.FLOAT,
            "percent",
            "Strength of a narrow-band disturber.",
            sampled(10, 10),
            0,
            100,
            source="UBX MON-RF, MON-HW; gpsd TPV jam",
        ),
        Signal(
            FUSION,
            Datatype.STRING,
            "",
            "Part of wheel ticks and inertial sensors: initializing, fusion, suspended, disabled.",
            CHANGE,
            source="UBX ESF-STATUS",
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
            "Sentences and frames with the right checksum since the driver started.",
            sampled(5),
            source="driver",
        ),
        Signal(
            SENTENCES_REJECTED,
            Datatype.UINT32,
            "",
            "What was dropped since then: noise, wrong checksum, too long.",
            sampled(5),
            source="driver",
        ),
    ),
)
