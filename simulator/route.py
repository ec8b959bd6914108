"""The route: a closed city loop with its stops, traffic lights, heights and speed limits.

`route.csv` holds points in driving order (WGS 84 degrees, metres above sea, km/h); a point is a
plain shape point, a stop or a light. The town does not exist.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

METRES_PER_DEGREE = 111_195.0
"""Along a meridian, on a sphere of 6,371 km; a few kilometres of town need no ellipsoid."""

BRAKING_MS2 = 0.8
"""How early the driver brakes for bends, limits and halts, m/s2."""

SIDEWAYS_MS2 = 1.2
"""What standing passengers bear in a bend, m/s2."""

HEADING_BASE_M = 6.0
"""Heading is that of the chord this far behind and ahead: a bus is longer than a bend is sharp."""


@dataclass(frozen=True, slots=True)
class Halt:
    """A place to stand at: `kind` is "stop" or "light", `distance_m` counts from the start.

    `depart_s`: seconds after the first departure before which the bus does not leave on its first
    lap; None where no timetable binds it.
    """

    kind: str
    name: str
    distance_m: float
    depart_s: float | None = None


class Place(NamedTuple):
    """A spot on the route: WGS 84 degrees, metres above sea, degrees clockwise from north."""

    lat_deg: float
    lon_deg: float
    elevation_m: float
    heading_deg: float


class Route:
    """A closed loop; distances are metres from its first point and may exceed `length_m`."""

    def __init__(self, rows: list[dict[str, str]]) -> None:
        self._lat = [float(row["lat_deg"]) for row in rows]
        self._lon = [float(row["lon_deg"]) for row in rows]
        self._elevation = [float(row["elevation_m"]) for row in rows]
        limits_kmh = [float(row["limit_kmh"]) for row in rows]
        for column in (self._lat, self._lon, self._elevation):
            column.append(column[0])
        self._metres_per_lon = METRES_PER_DEGREE * math.cos(math.radians(self._lat[0]))
        self._start = [0.0]
        for i in range(len(rows)):
            north = (self._lat[i + 1] - self._lat[i]) * METRES_PER_DEGREE
            east = (self._lon[i + 1] - self._lon[i]) * self._metres_per_lon
            self._start.append(self._start[-1] + math.hypot(north, east))
        self.length_m = self._start[-1]
        self.halts = tuple(
            Halt(row["kind"], row["name"], at, _seconds(row.get("depart_s")))
            for row, at in zip(rows, self._start, strict=False)
            if row["kind"] != "shape"
        )
        self.top_speed_ms = max(limits_kmh) / 3.6
        self._limit_ms = [limit / 3.6 for limit in limits_kmh]
        self._allowed_ms = self._envelope()

    @classmethod
    def load(cls) -> Route:
        """The loop that ships with the simulator."""
        text = (files("simulator") / "route.csv").read_text(encoding="utf-8")
        return cls(list(csv.DictReader(text.splitlines())))

    def _segment(self, distance_m: float) -> tuple[int, float]:
        """Index of the point before `distance_m`, and how far on to the next (0..1)."""
        along = distance_m % self.length_m
        i = min(bisect_right(self._start, along) - 1, len(self._start) - 2)
        span = self._start[i + 1] - self._start[i]
        return i, (along - self._start[i]) / span if span else 0.0

    def _position(self, distance_m: float) -> tuple[float, float, float]:
        i, part = self._segment(distance_m)
        return (
            self._lat[i] + part * (self._lat[i + 1] - self._lat[i]),
            self._lon[i] + part * (self._lon[i + 1] - self._lon[i]),
            self._elevation[i] + part * (self._elevation[i + 1] - self._elevation[i]),
        )

    def at(self, distance_m: float) -> Place:
        """Where the bus is after `distance_m`."""
        lat, lon, elevation = self._position(distance_m)
        return Place(lat, lon, elevation, self._heading_deg(distance_m))

    def elevation_m(self, distance_m: float) -> float:
        """Metres above sea after `distance_m`."""
        return self._position(distance_m)[2]

    def _heading_deg(self, distance_m: float) -> float:
        behind = self._position(distance_m - HEADING_BASE_M)
        ahead = self._position(distance_m + HEADING_BASE_M)
        north = (ahead[0] - behind[0]) * METRES_PER_DEGREE
        east = (ahead[1] - behind[1]) * self._metres_per_lon
        return math.degrees(math.atan2(east, north)) % 360.0

    def curvature_per_m(self, distance_m: float) -> float:
        """1/radius of the bend at `distance_m`, positive to the left."""
        turn = self._heading_deg(distance_m + 6.0) - self._heading_deg(distance_m - 6.0)
        return -math.radians((turn + 180.0) % 360.0 - 180.0) / 12.0

    def limit_ms(self, distance_m: float) -> float:
        """The speed limit at `distance_m`, m/s."""
        return self._limit_ms[self._segment(distance_m)[0]]

    def allowed_ms(self, distance_m: float) -> float:
        """The speed a driver keeps to at `distance_m`: limit, bends, and braking for both, m/s."""
        return self._allowed_ms[int(distance_m % self.length_m) % len(self._allowed_ms)]

    def _envelope(self) -> list[float]:
        """`allowed_ms` metre by metre, so that slowing down starts early enough."""
        metres = int(self.length_m)
        allowed = []
        for metre in range(metres):
            bend = abs(self.curvature_per_m(metre))
            speed = self.limit_ms(metre)
            if bend > 1e-4:
                speed = min(speed, max(4.0, math.sqrt(SIDEWAYS_MS2 / bend)))
            allowed.append(speed)
        # Twice round backwards: the loop has no end at which braking could be forgotten.
        for metre in range(2 * metres - 1, -1, -1):
            after = allowed[(metre + 1) % metres]
            allowed[metre % metres] = min(
                allowed[metre % metres], math.sqrt(after * after + 2 * BRAKING_MS2)
            )
        return allowed

    def halt_after(self, index: int) -> tuple[int, Halt]:
        """The next halt behind number `index`, cyclically, with its own number."""
        following = (index + 1) % len(self.halts)
        return following, self.halts[following]


def _seconds(text: str | None) -> float | None:
    return float(text) if text else None
