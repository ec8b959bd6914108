"""One NMEA 0183 sentence -> what it states, in our units. Pure and total.

Layouts: NMEA 0183 4.11 and the receiver manuals of u-blox, SiRF, MediaTek, Quectel and SkyTraq. An
empty or malformed field states nothing; it never spoils the rest of its sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from math import hypot
from types import MappingProxyType

from drivers.gnss_nmea0183.fields import Fields, calendar_date, talker_and_kind
from drivers.gnss_nmea0183.sky import Satellite, constellation

_DATE_IN_FIELDS = re.compile(r"(\d{1,2}),(\d{1,2}),(\d{4})", re.ASCII)

_VALID = frozenset("AD")  # D: some write "differential" there
_QUALITIES = frozenset("123456789")
_BY_SATELLITE = frozenset("12345")
_PUBX_DIMENSION = {"DR": 2, "G2": 2, "D2": 2, "RK": 3, "G3": 3, "D3": 3}


@dataclass(frozen=True, slots=True)
class Statement:
    """What one sentence states; None (and False for `rtk`) where it says nothing.

    `time_ms`: UTC time of day, up to 86,400,999 in a leap second. `fix`: whether the receiver
    claims a position; `latitude` and `longitude` (degrees, north and east positive) are there only
    where it does, and `doubtful` says that too few satellites stand behind it. `dimension`: 1 no
    fix, 2 or 3 (GSA). `altitude_m` is above mean sea level, `accuracy_m` the receiver's own
    horizontal estimate. `used`: the satellites of GSA. `reckoned`: dead reckoning alone.
    `unresolved`: the receiver says that it does not know the leap seconds yet.
    """

    talker: str
    kind: str
    time_ms: int | None = None
    date: date | None = None
    fix: bool | None = None
    latitude: float | None = None
    longitude: float | None = None
    altitude_m: float | None = None
    speed_kmh: float | None = None
    heading: float | None = None
    satellites: int | None = None
    hdop: float | None = None
    dimension: int | None = None
    rtk: bool = False
    doubtful: bool = False
    accuracy_m: float | None = None
    used: frozenset[Satellite] = frozenset()
    reckoned: bool = False
    unresolved: bool = False


def _rmc(talker: str, f: Fields) -> Statement:
    """time, A/V, position, knots, course, date, variation (2), mode, navigational status.

    Status V states no date: receivers without a fix invent one (SiRF-II, MTK3301). Mode N is no
    fix whatever the status. The navigational status is not looked at: u-blox says V (not valid)
    beside each good position, because it means "this receiver does not judge safety".
    """
    mode = f.text(12)
    valid = f.text(2) in _VALID
    position = f.position(3) if valid and mode != "N" else None
    return Statement(
        talker,
        "RMC",
        time_ms=f.time_ms(1),
        date=f.date(9) if valid else None,
        fix=position is not None,
        latitude=position[0] if position else None,
        longitude=position[1] if position else None,
        speed_kmh=f.speed_kmh(7) if position else None,
        heading=f.heading(8) if position else None,
        rtk=mode in ("R", "F"),
        reckoned=mode == "E",
    )


def _gga(talker: str, f: Fields) -> Statement:
    """time, position, quality, satellites, HDOP, altitude, M, geoid, M, age, station.

    Quality 0 or none is no fix; 4 and 5 are RTK; 6 is dead reckoning, which is a position. Some
    receivers keep quality 1 and an old position while they use no satellite (Hemisphere); talkers
    of a single constellation other than GPS may well use few.
    """
    quality = f.text(6)
    position = f.position(2) if quality in _QUALITIES else None
    satellites = f.count_of(7)
    few = satellites is not None and satellites < 3
    return Statement(
        talker,
        "GGA",
        time_ms=f.time_ms(1),
        fix=position is not None,
        latitude=position[0] if position else None,
        longitude=position[1] if position else None,
        altitude_m=f.number(9) if position else None,
        satellites=satellites,
        hdop=f.hdop(8),
        rtk=quality in ("4", "5"),
        reckoned=quality == "6",
        doubtful=few and quality in _BY_SATELLITE and talker in ("GP", "GN"),
    )


def _gns(talker: str, f: Fields) -> Statement:
    """time, position, one mode letter a constellation, satellites, HDOP, altitude, geoid, ...

    A fix as soon as one constellation gives one.
    """
    modes = f.text(6)
    position = f.position(2) if modes.strip("N") else None
    return Statement(
        talker,
        "GNS",
        time_ms=f.time_ms(1),
        fix=position is not None,
        latitude=position[0] if position else None,
        longitude=position[1] if position else None,
        altitude_m=f.number(9) if position else None,
        satellites=f.count_of(7),
        hdop=f.hdop(8),
        rtk="R" in modes or "F" in modes,
        reckoned="E" in modes and not modes.strip("NE"),
    )


def _gll(talker: str, f: Fields) -> Statement:
    """position, time, A/V, mode (from NMEA 2.3 on)."""
    position = f.position(1) if f.text(6) in _VALID and f.text(7) != "N" else None
    return Statement(
        talker,
        "GLL",
        time_ms=f.time_ms(5),
        fix=position is not None,
        latitude=position[0] if position else None,
        longitude=position[1] if position else None,
        rtk=f.text(7) in ("R", "F"),
        reckoned=f.text(7) == "E",
    )


def _vtg(talker: str, f: Fields) -> Statement:
    """course, T, magnetic course, M, knots, N, km/h, K, mode. Mode N states nothing."""
    valid = f.text(9) != "N"
    return Statement(
        talker,
        "VTG",
        speed_kmh=f.speed_kmh(5) if valid and f.text(6) == "N" else None,
        heading=f.heading(1) if valid and f.text(2) == "T" else None,
    )


def _gsa(talker: str, f: Fields) -> Statement:
    """M/A, dimension, 12 satellites, PDOP, HDOP, VDOP, constellation (from NMEA 4.1 on).

    CH-4701 lists 24 satellites: then the numbers are not where they should be and are left alone.
    """
    dimension = f.text(2)
    usual = f.count in (18, 19)
    numbers = [n for i in range(3, 15) if usual and (n := f.number_of(i))]
    return Statement(
        talker,
        "GSA",
        hdop=f.hdop(16) if usual else None,
        dimension=int(dimension) if dimension in ("1", "2", "3") else None,
        used=frozenset((constellation(talker, f.text(18), n), n) for n in numbers),
    )


def _zda(talker: str, f: Fields) -> Statement:
    """time, day, month, year of four digits, zone (2). The time is UTC whatever the zone says."""
    match = _DATE_IN_FIELDS.fullmatch(f"{f.text(2)},{f.text(3)},{f.text(4)}")
    stated = calendar_date(int(match[3]), int(match[2]), int(match[1])) if match else None
    return Statement(talker, "ZDA", time_ms=f.time_ms(1), date=stated)


def _gst(talker: str, f: Fields) -> Statement:
    """time, RMS of the ranges, error ellipse (3), standard deviations north, east, up in metres."""
    north, east = f.number(6), f.number(7)
    accuracy = None
    if north is not None and east is not None and north >= 0 and east >= 0:
        accuracy = round(hypot(north, east), 3)
    return Statement(talker, "GST", time_ms=f.time_ms(1), accuracy_m=accuracy)


def _pubx_position(f: Fields) -> Statement:
    """u-blox: 00, time, position, height over the ellipsoid, status, accuracies (2), km/h, course,
    ..., HDOP at 15, satellites at 18.
    """
    status = f.text(8)
    position = f.position(3) if status in _PUBX_DIMENSION else None
    accuracy, kmh = f.number(9), f.number(11)
    return Statement(
        "P",
        "PUBX",
        time_ms=f.time_ms(2),
        fix=position is not None,
        latitude=position[0] if position else None,
        longitude=position[1] if position else None,
        speed_kmh=kmh if position and kmh is not None and kmh >= 0 else None,
        heading=f.heading(12) if position else None,
        satellites=f.count_of(18),
        hdop=f.hdop(15),
        dimension=_PUBX_DIMENSION[status] if position else 1,
        accuracy_m=accuracy if position and accuracy is not None and accuracy >= 0 else None,
        reckoned=status == "DR",
    )


def _pubx_clock(f: Fields) -> Statement:
    """u-blox: 04, time, ddmmyy, time of week, week, leap seconds ("16D": the firmware's guess)."""
    return Statement(
        "P", "PUBX04", time_ms=f.time_ms(2), date=f.date(3), unresolved=f.text(6).endswith("D")
    )


_READERS: Mapping[str, Callable[[str, Fields], Statement]] = MappingProxyType(
    {
        "RMC": _rmc,
        "GGA": _gga,
        "GNS": _gns,
        "GLL": _gll,
        "VTG": _vtg,
        "GSA": _gsa,
        "ZDA": _zda,
        "GST": _gst,
    }
)
_PUBX_READERS: Mapping[str, Callable[[Fields], Statement]] = MappingProxyType(
    {"00": _pubx_position, "04": _pubx_clock}
)


def parse(body: str) -> Statement | None:
    """What the sentence `body` (between `$` and `*`) states; None where it is not of our kinds.

    All talkers count: GP, GN, GL, GA, GB, BD, GQ, QZ, GI, IN, Quectel's PQ. Of the proprietary
    sentences only u-blox's PUBX,00 and PUBX,04 are read.
    """
    if body.startswith("PUBX,"):
        own = _PUBX_READERS.get(body[5:7])
        return own(Fields(body)) if own is not None and body[7:8] == "," else None
    talker, kind = talker_and_kind(body)
    reader = _READERS.get(kind)
    return None if reader is None else reader(talker, Fields(body))
