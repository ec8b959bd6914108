"""UBX messages of u-blox receivers -> what they state, in the terms of NMEA. Total.

Layouts: u-blox M8, M9 and F9 interface descriptions, read by pyubx2 (imported at the first frame:
most lines have none). Nothing is ever written to a receiver: what it does not send is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from importlib import import_module
from math import atan2, cos, degrees, hypot, sin, sqrt
from types import MappingProxyType
from typing import Any

from drivers.gnss_nmea0183.condition import (
    ANTENNA_BY_CODE,
    FUSION_BY_CODE,
    JAMMING_BY_CODE,
    Condition,
    worst,
)
from drivers.gnss_nmea0183.fields import calendar_date
from drivers.gnss_nmea0183.line import Frame
from drivers.gnss_nmea0183.sky import Listing
from drivers.gnss_nmea0183.statements import Statement

DAY_MS, WEEK_MS = 86_400_000, 604_800_000
GPS_EPOCH = date(1980, 1, 6)
_CONSTELLATION = {0: "GP", 1: "SB", 2: "GA", 3: "GB", 4: "GI", 5: "GQ", 6: "GL", 7: "GI"}
_UNKNOWN_ACCURACY_MM = 0xFFFF_FFF0
_KMH_PER_MMS = 0.0036
# WGS 84
_A_M, _F = 6_378_137.0, 1 / 298.257223563

Said = Statement | Listing | Condition


class UbxReader:
    """Reads frames; remembers how far GPS time is ahead of UTC, once the receiver has said it."""

    def __init__(self) -> None:
        self._leap_ms: int | None = None
        self._parse: Any = None

    def read(self, frame: Frame) -> Said | None:
        """What a frame states, None where it is not one of ours or its length is wrong."""
        known = _MESSAGES.get((frame.class_id, frame.message_id))
        if known is None:
            return None
        shortest, per_block, count_at, reader = known
        length = len(frame.payload)
        if length < shortest or (
            per_block and length < shortest + per_block * frame.payload[count_at]
        ):
            return None
        if self._parse is None:
            self._parse = import_module("pyubx2").UBXMessage
        key = bytes((frame.class_id,)), bytes((frame.message_id,))
        return reader(self, self._parse(*key, 0, payload=frame.payload))

    def _utc_of_day(self, tow_ms: int) -> int | None:
        """UTC time of day of a GPS time of week; None until the leap seconds are known."""
        if self._leap_ms is None or tow_ms >= WEEK_MS:
            return None
        return (tow_ms - self._leap_ms) % DAY_MS

    def pvt(self, m: Any) -> Statement:
        """NAV-PVT: the whole fix. A date is one only where date and time are valid."""
        stamp = _utc(m) if m.validTime else None
        time_ms, day = stamp if stamp is not None else (None, None)
        if time_ms is not None and m.fullyResolved and m.iTOW < WEEK_MS:
            ahead_ms = round((m.iTOW - time_ms) % DAY_MS, -3)
            self._leap_ms = ahead_ms if ahead_ms < 120_000 else self._leap_ms
        fix = bool(m.gnssFixOk) and m.fixType in (1, 2, 3, 4, 5) and not m.invalidLlh
        accuracy = m.hAcc / 1000 if m.hAcc < _UNKNOWN_ACCURACY_MM else None
        dimension = {2: 2, 1: 2, 3: 3, 4: 3, 5: 3}[m.fixType] if fix else 1
        placed = fix and abs(m.lat) <= 90 and abs(m.lon) <= 180
        return Statement(
            "U",
            "PVT",
            time_ms=time_ms,
            date=day if m.validDate and fix else None,
            fix=placed,
            latitude=round(m.lat, 7) if placed else None,
            longitude=round(m.lon, 7) if placed else None,
            altitude_m=m.hMSL / 1000 if placed else None,
            speed_kmh=round(m.gSpeed * _KMH_PER_MMS, 3) if placed and m.gSpeed >= 0 else None,
            heading=round(m.headMot % 360, 5) if placed else None,
            satellites=min(m.numSV, 99),
            dimension=dimension,
            rtk=m.carrSoln in (1, 2),
            accuracy_m=accuracy if placed else None,
            reckoned=m.fixType == 1,
            unresolved=not m.fullyResolved,
        )

    def solution(self, m: Any) -> Statement:
        """NAV-SOL, of receivers before the eighth generation: a position in ECEF centimetres."""
        fix = bool(m.gpsfixOK) and m.gpsFix in (1, 2, 3, 4, 5)
        position = _geodetic(m.ecefX / 100, m.ecefY / 100, m.ecefZ / 100) if fix else None
        time_ms = self._utc_of_day(m.iTOW) if m.towSet else None
        return Statement(
            "U",
            "SOL",
            time_ms=time_ms,
            date=self._date(m) if m.wknSet and m.towSet and position else None,
            fix=position is not None,
            latitude=position[0] if position else None,
            longitude=position[1] if position else None,
            satellites=min(m.numSV, 99),
            dimension=(2 if m.gpsFix in (1, 2, 5) else 3) if position else 1,
            accuracy_m=m.pAcc / 100 if position and m.pAcc < _UNKNOWN_ACCURACY_MM else None,
            reckoned=m.gpsFix == 1,
        )

    def _date(self, m: Any) -> date | None:
        if self._leap_ms is None or m.week < 0 or m.iTOW >= WEEK_MS:
            return None
        return GPS_EPOCH + timedelta(weeks=m.week, milliseconds=m.iTOW - self._leap_ms)

    def gps_time(self, m: Any) -> Statement | None:
        """NAV-TIMEGPS: week, time of week and leap seconds."""
        if m.leapSValid and 0 <= m.leapS < 120:
            self._leap_ms = m.leapS * 1000
        if not (m.towValid and m.weekValid):
            return None
        return Statement("U", "TIMEGPS", time_ms=self._utc_of_day(m.iTOW), date=self._date(m))

    def dop(self, m: Any) -> Statement:
        """NAV-DOP."""
        good = 0.01 <= m.hDOP <= 89.99
        time_ms = self._utc_of_day(m.iTOW)
        return Statement("U", "DOP", time_ms=time_ms, hdop=round(m.hDOP, 2) if good else None)

    def satellites(self, m: Any) -> Listing:
        """NAV-SAT: all satellites in view."""
        listed: dict[tuple[str, int], float | None] = {}
        for i in range(1, m.numSvs + 1):
            name = _CONSTELLATION.get(getattr(m, f"gnssId_{i:02d}"), "U")
            cno = getattr(m, f"cno_{i:02d}")
            listed[name, getattr(m, f"svId_{i:02d}")] = float(cno) if 0 < cno < 100 else None
        return Listing("U", True, m.numSvs, listed)

    def channels(self, m: Any) -> Listing:
        """NAV-SVINFO, the list of older receivers; a channel without a satellite has number 255."""
        listed: dict[tuple[str, int], float | None] = {}
        for i in range(1, m.numCh + 1):
            number, cno = getattr(m, f"svid_{i:02d}"), getattr(m, f"cno_{i:02d}")
            if number != 255:
                listed["U", number] = float(cno) if 0 < cno < 100 else None
        return Listing("U", True, len(listed), listed)

    def hardware(self, m: Any) -> Condition:
        """MON-HW: antenna and jamming; the indicator is 0 to 255."""
        return Condition(
            ANTENNA_BY_CODE.get(m.aStatus, "unknown"),
            JAMMING_BY_CODE[m.jammingState],
            round(m.jamInd / 2.55, 1),
        )

    def radio(self, m: Any) -> Condition | None:
        """MON-RF: one block a band; the worst of them counts."""
        blocks = [
            Condition(
                ANTENNA_BY_CODE.get(getattr(m, f"antStatus_{i:02d}"), "unknown"),
                JAMMING_BY_CODE[getattr(m, f"jammingState_{i:02d}")],
                round(getattr(m, f"jamInd_{i:02d}") / 2.55, 1),
            )
            for i in range(1, m.nBlocks + 1)
        ]
        return worst(blocks) if blocks else None

    def fusion(self, m: Any) -> Condition:
        """ESF-STATUS: how wheel ticks and inertial sensors take part."""
        return Condition(fusion=FUSION_BY_CODE.get(m.fusionMode))


# (class, identifier): shortest payload, bytes a block, where the number of blocks stands, reader.
_MESSAGES: Mapping[
    tuple[int, int], tuple[int, int, int, Callable[[UbxReader, Any], Said | None]]
] = MappingProxyType(
    {
        (0x01, 0x07): (84, 0, 0, UbxReader.pvt),
        (0x01, 0x06): (52, 0, 0, UbxReader.solution),
        (0x01, 0x20): (16, 0, 0, UbxReader.gps_time),
        (0x01, 0x04): (18, 0, 0, UbxReader.dop),
        (0x01, 0x35): (8, 12, 5, UbxReader.satellites),
        (0x01, 0x30): (8, 12, 4, UbxReader.channels),
        (0x0A, 0x09): (60, 0, 0, UbxReader.hardware),
        (0x0A, 0x38): (4, 24, 1, UbxReader.radio),
        (0x10, 0x10): (16, 0, 0, UbxReader.fusion),
    }
)


def _utc(m: Any) -> tuple[int, date | None] | None:
    """Time of day in ms and date; the nanoseconds may be negative. Second 60 is a leap second."""
    if m.hour > 23 or m.min > 59 or m.second > 60:
        return None
    time_ms = ((m.hour * 60 + m.min) * 60 + m.second) * 1000 + round(m.nano / 1e6)
    day = calendar_date(m.year, m.month, m.day)
    if time_ms < 0:
        time_ms += DAY_MS
        day = day - timedelta(days=1) if day is not None and day > date.min else None
    return time_ms, day


def _geodetic(x: float, y: float, z: float) -> tuple[float, float] | None:
    """Latitude and longitude of a point in ECEF metres (Bowring's formula, below 1e-9 degrees near
    the ground); None where there is no such place within 100 km of it.
    """
    p, radius = hypot(x, y), sqrt(x * x + y * y + z * z)
    if not 6_250_000 < radius < 6_480_000:
        return None
    b, e2 = _A_M * (1 - _F), _F * (2 - _F)
    theta = atan2(z * _A_M, p * b)
    ep2 = e2 / (1 - e2)
    latitude = atan2(z + ep2 * b * sin(theta) ** 3, p - e2 * _A_M * cos(theta) ** 3)
    return round(degrees(latitude), 7), round(degrees(atan2(y, x)), 7)
