"""The fields of one NMEA 0183 sentence, read one by one in our units. Pure and total."""

from __future__ import annotations

import re
from datetime import date

KMH_PER_KNOT = 1.852

_NUMBER = re.compile(r"[+-]?(?:\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})", re.ASCII)
_COUNT = re.compile(r"\d{1,2}", re.ASCII)
_NUMERAL = re.compile(r"\d{1,3}", re.ASCII)
_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)(?:\.(\d{0,12}))?", re.ASCII)
_DATE = re.compile(r"(\d\d)(\d\d)(\d\d(?:\d\d)?)", re.ASCII)
_ANGLE = re.compile(r"(\d{1,3}?)(\d\d(?:\.\d{0,12})?)", re.ASCII)
_FIRST_YEAR_OF_TWO_DIGITS = 80  # GPS time begins in 1980

# BT-451 sends 99.99, Jackson Labs 99.00, SkyTraq 0.00 for "unknown".
_DOP_MIN, _DOP_MAX = 0.01, 89.99


def talker_and_kind(body: str) -> tuple[str, str]:
    """`GP` and `RMC` of `GPRMC,...`; both "" where the address is not one of the standard.

    P begins a maker's own sentence: Garmin's PGRMC is no RMC. Only Quectel's PQ is a talker.
    """
    address, comma, _ = body.partition(",")
    if not comma or len(address) != 5 or (address[0] == "P" and address[1] != "Q"):
        return "", ""
    return address[:2], address[2:]


class Fields:
    """The fields of a sentence by number, field 0 being its address; beyond the end is empty."""

    def __init__(self, body: str) -> None:
        self._fields = body.split(",")
        self.count = len(self._fields)

    def text(self, index: int) -> str:
        """The characters, "" where there are none."""
        return self._fields[index] if index < self.count else ""

    def number(self, index: int) -> float | None:
        """A decimal number, finite."""
        text = self.text(index)
        return float(text) if _NUMBER.fullmatch(text) else None

    def count_of(self, index: int) -> int | None:
        """A number of things: one or two digits."""
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
        return calendar_date(year, int(match[2]), int(match[1]))

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

    def number_of(self, index: int) -> int | None:
        """A satellite's number: up to three digits."""
        text = self.text(index)
        return int(text) if _NUMERAL.fullmatch(text) else None

    def hdop(self, index: int) -> float | None:
        """Dilution of precision, None where a receiver writes a number that means "unknown"."""
        value = self.number(index)
        return value if value is not None and _DOP_MIN <= value <= _DOP_MAX else None

    def speed_kmh(self, index: int) -> float | None:
        """Knots as km/h."""
        knots = self.number(index)
        return None if knots is None or knots < 0 else round(knots * KMH_PER_KNOT, 3)

    def heading(self, index: int) -> float | None:
        """Degrees 0 to 360."""
        value = self.number(index)
        return value if value is not None and 0 <= value <= 360 else None


def calendar_date(year: int, month: int, day: int) -> date | None:
    """The date, None where the calendar has none such."""
    try:
        return date(year, month, day)
    except ValueError:
        return None
