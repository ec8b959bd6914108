"""Whether a bus can have got from where it was believed to be to where it is said to be. Pure."""

from __future__ import annotations

from math import cos, hypot, radians

from drivers.gnss_nmea0183.epoch import Fix

FASTEST_M_S = 55.0
"""198 km/h: more than any coach or car-carrying train."""

ERROR_M = 50.0
ERROR_M_PER_HDOP = 15.0
_HDOP_UNKNOWN = 5.0
"""What two good fixes may differ by where nothing moved: a fixed part, and one by HDOP."""

SETTLE_MS = 30_000
SETTLE_FIXES = 10
"""A new place is believed when so many fixes agree with one another for so long: a ferry, a tow
truck, a first fix that was wrong."""

_METRES_PER_DEGREE = 111_195.0


class _Place:
    __slots__ = ("at_ms", "error_m", "latitude", "longitude", "utc_ms")

    def __init__(self, fix: Fix, latitude: float, longitude: float) -> None:
        self.at_ms, self.utc_ms = fix.at, fix.utc_ms
        self.latitude, self.longitude = latitude, longitude
        hdop = fix.hdop if fix.hdop is not None else _HDOP_UNKNOWN
        self.error_m = max(ERROR_M_PER_HDOP * hdop, fix.accuracy_m or 0.0)

    def elapsed_ms(self, since: _Place) -> int | None:
        """The longer of what both clocks say: a clock that jumps must not condemn a good fix.

        None where neither says anything, as in a log without dates.
        """
        span_ms = self.at_ms - since.at_ms
        if self.utc_ms is not None and since.utc_ms is not None:
            return max(span_ms, self.utc_ms - since.utc_ms)
        return span_ms or None

    def reachable(self, since: _Place) -> bool:
        east = (self.longitude - since.longitude + 180) % 360 - 180
        east_m = east * cos(radians(self.latitude)) * _METRES_PER_DEGREE
        north_m = (self.latitude - since.latitude) * _METRES_PER_DEGREE
        elapsed_ms = self.elapsed_ms(since)
        if elapsed_ms is None:
            return True
        seconds = max(1.0, elapsed_ms / 1000)
        allowed_m = ERROR_M + self.error_m + since.error_m + FASTEST_M_S * seconds
        return hypot(east_m, north_m) <= allowed_m


class JumpGuard:
    """Marks impossible jumps; hides nothing.

    A fix is plausible when the bus can have come there from the last believed one. What cannot be
    is a candidate; when later fixes agree with it long enough, the candidate is believed.
    """

    def __init__(self) -> None:
        self._believed: _Place | None = None
        self._candidate: tuple[_Place, _Place, int] | None = None
        """Where the other track began, its newest fix, how many it has."""

    def step(self, fix: Fix) -> bool | None:
        """Whether `fix` is plausible; None where it has no position, which says nothing."""
        if fix.latitude is None or fix.longitude is None:
            return None
        place = _Place(fix, fix.latitude, fix.longitude)
        if self._believed is None or place.reachable(self._believed):
            self._believed, self._candidate = place, None
            return True
        if self._candidate is None or not place.reachable(self._candidate[1]):
            self._candidate = (place, place, 1)
            return False
        first, _, count = self._candidate
        self._candidate = (first, place, count + 1)
        if count + 1 < SETTLE_FIXES or (place.elapsed_ms(first) or 0) < SETTLE_MS:
            return False
        self._believed, self._candidate = place, None
        return True
