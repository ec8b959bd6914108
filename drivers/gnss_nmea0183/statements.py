"""One NMEA 0183 sentence -> what it states, in our units. Pure and total.

Layouts: NMEA 0183 4.11 and the receiver manuals of u-blox, SiRF, MediaTek, Quectel and SkyTraq. An
empty or malformed field states nothing; it never spoils the rest of its sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

KMH_PER_KNOT = 1.852

_NUMBER = re.compile(r"[+-]?(?:\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})", re.ASCII)
_COUNT = re.compile(r"\d{1,2}", re.ASCII)
_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)(?:\.(\d{0,12}))?", re.ASCII)
_DATE = re.compile(r"(\d\d)(\d\d)(\d\d(?:\d\d)?)", re.ASCII)
_DATE_IN_FIELDS = re.compile(r"(\d{1,2}),(\d{1,2}),(\d{4})", re.ASCII)
_ANGLE = re.compile(r"(\d{1,3}?)(\d\d(?:\.\d{0,12})?)", re.ASCII)
_FIRST_YEAR_OF_TWO_DIGITS = 80  # GPS time begins in 1980

# BT-451 sends 99.99, Jackson Labs 99.00, SkyTraq 0.00 for "unknown".
_DOP_MIN, _DOP_MAX = 0.01, 89.99

_QUALITIES = frozenset("123456789")
_BY_SATELLITE = frozenset("12345")


@dataclass(frozen=True, slots=True)
class Statement:
    """What one sentence states; None (and False for `rtk`) where it says nothing.

    `time_ms`: UTC time of day, up to 86,400,999 in a leap second. `fix`: whether the receiver
    claims a position; `latitude` and `longitude` (degrees, north and east positive) are there only
    where it does, and `doubtful` says that too few satellites stand behind it. `dimension`: 1 no
    fix, 2 or 3 (GSA). `altitude_m` is above mean sea level.
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


class _Fields:
    """The fields of a sentence by number, field 0 being its address; beyond the end is empty."""

    def __init__(self, body: str) -> None:
        self._fields = body.split(",")
        self.count = len(self._fields)

    def text(self, index: int) -> str:
        return self._fields[index] if index < self.count else ""

    def number(self, index: int) -> float | None:
        text = self.text(index)
        return float(text) if _NUMBER.fullmatch(text) else None

    def count_of(self, index: int) -> int | None:
        text = self.text(index)
        return int(text) if _COUNT.fullmatch(text) else None

    def time_ms(self, index: int) -> int | None:
        """`hhmmss.sss`; second 60 only where leap seconds are inserted, at 23:59."""
        match = _TIME.fullmatch(self.text(index))
        if match is None:
            return None
        hour, minute, second = int(match[1]), int(match[2]), int(match[3])
        leap = second == 60 and (hour, minute) == (23, 59)
        if hour > 23 or minute > 59 or (second > 59 and not leap):
            return None
        fraction_ms = int(((match[4] or "") + "000")[:3])
        return ((hour * 60 + minute) * 60 + second) * 1000 + fraction_ms

    def date(self, index: int) -> date | None:
        """`ddmmyy` (1980 to 2079) or `ddmmyyyy`."""
        match = _DATE.fullmatch(self.text(index))
        if match is None:
            return None
        year = int(match[3])
        if len(match[3]) == 2:
            year += 1900 if year >= _FIRST_YEAR_OF_TWO_DIGITS else 2000
        return _date(year, int(match[2]), int(match[1]))

    def position(self, index: int) -> tuple[float, float] | None:
        """`ddmm.mmmm,N,dddmm.mmmm,E` from field `index` on, as degrees rounded to 1e-7."""
        latitude = self._angle(index, "N", "S", 90)
        longitude = self._angle(index + 2, "E", "W", 180)
        return None if latitude is None or longitude is None else (latitude, longitude)

    def _angle(self, index: int, positive: str, negative: str, limit: int) -> float | None:
        match = _ANGLE.fullmatch(self.text(index))
        side = self.text(index + 1)
        if match is None or side not in (positive, negative):
            return None
        minutes = float(match[2])
        degrees = round(int(match[1]) + minutes / 60, 7)
        if minutes >= 60 or degrees > limit:
            return None
        return degrees if side == positive else -degrees

    def hdop(self, index: int) -> float | None:
        value = self.number(index)
        return value if value is not None and _DOP_MIN <= value <= _DOP_MAX else None

    def speed_kmh(self, index: int) -> float | None:
        knots = self.number(index)
        return None if knots is None or knots < 0 else round(knots * KMH_PER_KNOT, 3)

    def heading(self, index: int) -> float | None:
        value = self.number(index)
        return value if value is not None and 0 <= value <= 360 else None


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _rmc(talker: str, f: _Fields) -> Statement:
    """time, A/V, position, knots, course, date, variation (2), mode, navigational status.

    Status V states no date: receivers without a fix invent one (SiRF-II, MTK3301). Mode N is no
    fix whatever the status. The navigational status is not looked at: u-blox says V (not valid)
    beside each good position, because it means "this receiver does not judge safety".
    """
    mode = f.text(12)
    position = f.position(3) if f.text(2) == "A" and mode != "N" else None
    return Statement(
        talker,
        "RMC",
        time_ms=f.time_ms(1),
        date=f.date(9) if f.text(2) == "A" else None,
        fix=position is not None,
        latitude=position[0] if position else None,
        longitude=position[1] if position else None,
        speed_kmh=f.speed_kmh(7) if position else None,
        heading=f.heading(8) if position else None,
        rtk=mode in ("R", "F"),
    )


def _gga(talker: str, f: _Fields) -> Statement:
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
        doubtful=few and quality in _BY_SATELLITE and talker in ("GP", "GN"),
    )


def _gns(talker: str, f: _Fields) -> Statement:
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
    )


def _gll(talker: str, f: _Fields) -> Statement:
    """position, time, A/V, mode (from NMEA 2.3 on)."""
    position = f.position(1) if f.text(6) == "A" and f.text(7) != "N" else None
    return Statement(
        talker,
        "GLL",
        time_ms=f.time_ms(5),
        fix=position is not None,
        latitude=position[0] if position else None,
        longitude=position[1] if position else None,
        rtk=f.text(7) in ("R", "F"),
    )


def _vtg(talker: str, f: _Fields) -> Statement:
    """course, T, magnetic course, M, knots, N, km/h, K, mode. Mode N states nothing."""
    valid = f.text(9) != "N"
    return Statement(
        talker,
        "VTG",
        speed_kmh=f.speed_kmh(5) if valid and f.text(6) == "N" else None,
        heading=f.heading(1) if valid and f.text(2) == "T" else None,
    )


def _gsa(talker: str, f: _Fields) -> Statement:
    """M/A, dimension, 12 satellites, PDOP, HDOP, VDOP, constellation (from NMEA 4.1 on).

    CH-4701 lists 24 satellites: then the numbers are not where they should be and are left alone.
    """
    dimension = f.text(2)
    return Statement(
        talker,
        "GSA",
        hdop=f.hdop(16) if f.count in (18, 19) else None,
        dimension=int(dimension) if dimension in ("1", "2", "3") else None,
    )


def _zda(talker: str, f: _Fields) -> Statement:
    """time, day, month, year of four digits, zone (2)."""
    match = _DATE_IN_FIELDS.fullmatch(f"{f.text(2)},{f.text(3)},{f.text(4)}")
    stated = _date(int(match[3]), int(match[2]), int(match[1])) if match else None
    return Statement(talker, "ZDA", time_ms=f.time_ms(1), date=stated)


_READERS: Mapping[str, Callable[[str, _Fields], Statement]] = MappingProxyType(
    {"RMC": _rmc, "GGA": _gga, "GNS": _gns, "GLL": _gll, "VTG": _vtg, "GSA": _gsa, "ZDA": _zda}
)


def parse(body: str) -> Statement | None:
    """What the sentence `body` (between `$` and `*`) states; None where it is not of our kinds.

    All talkers count: GP, GN, GL, GA, GB, BD, GQ, QZ, GI, IN, Quectel's PQ.
    """
    address, comma, _ = body.partition(",")
    reader = _READERS.get(address[2:])
    if reader is None or not comma or len(address) != 5:
        return None
    return reader(address[:2], _Fields(body))
