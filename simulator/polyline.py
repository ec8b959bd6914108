"""Lines on the ground: lengths, and where along them a place is. Pure; WGS 84 degrees."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise

from simulator.route import METRES_PER_DEGREE

Point = tuple[float, float]
"""Latitude and longitude in degrees."""


class Polyline:
    """At least two points in driving order, on a plane around the first one."""

    def __init__(self, points: list[Point]) -> None:
        self.points = points
        self._per_lon = METRES_PER_DEGREE * math.cos(math.radians(points[0][0]))
        self.at_m = [0.0]
        for one, other in pairwise(points):
            self.at_m.append(self.at_m[-1] + self.metres(one, other))

    @property
    def length_m(self) -> float:
        """From the first point to the last."""
        return self.at_m[-1]

    def metres(self, one: Point, other: Point) -> float:
        """The distance of two places."""
        north = (other[0] - one[0]) * METRES_PER_DEGREE
        east = (other[1] - one[1]) * self._per_lon
        return math.hypot(north, east)

    def point(self, along_m: float) -> Point:
        """The place at `along_m`."""
        i = max(0, min(bisect_right(self.at_m, along_m) - 1, len(self.points) - 2))
        span = self.at_m[i + 1] - self.at_m[i]
        part = max(0.0, min(1.0, (along_m - self.at_m[i]) / span)) if span else 0.0
        (lat, lon), (to_lat, to_lon) = self.points[i], self.points[i + 1]
        return lat + part * (to_lat - lat), lon + part * (to_lon - lon)

    def in_order(self, places: list[Point]) -> list[float]:
        """Where along the line each of `places` is: nearest on the whole, and never going back.

        On a loop, or where a line passes a place twice, each place for itself would be wrong; this
        takes the way of least squares over all of them.
        """
        best: list[tuple[float, float]] = []  # cost and metres, by segment, of the places so far
        ways: list[list[int]] = []
        spots: list[list[tuple[float, float]]] = []
        for place in places:
            spot = [self._nearest(i, place) for i in range(len(self.points) - 1)]
            costs, way = _extend(best, spot)
            best = [(cost, at) for cost, (_, at) in zip(costs, spot, strict=True)]
            spots.append(spot)
            ways.append(way)
        i = min(range(len(best)), key=lambda k: best[k][0])
        found = [0.0] * len(places)
        for n in range(len(places) - 1, -1, -1):
            found[n] = spots[n][i][1]
            i = ways[n][i]
        # Two places on one segment may be in the wrong order.
        for n in range(1, len(found)):
            found[n] = max(found[n], found[n - 1])
        return found

    def _nearest(self, i: int, place: Point) -> tuple[float, float]:
        """Squared distance of `place` to segment `i`, and where along the line that is."""
        one, other = self.points[i], self.points[i + 1]
        x, y = (other[1] - one[1]) * self._per_lon, (other[0] - one[0]) * METRES_PER_DEGREE
        px, py = (place[1] - one[1]) * self._per_lon, (place[0] - one[0]) * METRES_PER_DEGREE
        square = x * x + y * y
        part = max(0.0, min(1.0, (px * x + py * y) / square)) if square else 0.0
        away = (px - part * x) ** 2 + (py - part * y) ** 2
        return away, self.at_m[i] + part * (self.at_m[i + 1] - self.at_m[i])


def _extend(
    best: list[tuple[float, float]], spot: list[tuple[float, float]]
) -> tuple[list[float], list[int]]:
    """Least cost of being at each segment, and the segment of the place before on that way."""
    if not best:
        return [cost for cost, _ in spot], [0] * len(spot)
    costs, way = [], []
    least = 0  # of the segments before
    for i, (cost, at) in enumerate(spot):
        before, before_at = best[i]
        back_m = max(0.0, before_at - at)
        before += back_m * back_m
        if i > 0 and best[i - 1][0] < best[least][0]:
            least = i - 1
        if i > 0 and best[least][0] < before:
            costs.append(best[least][0] + cost)
            way.append(least)
        else:
            costs.append(before + cost)
            way.append(i)
    return costs, way
