"""One trip of a GTFS feed: chosen by name or by seed, with its stops, times and shape."""

from __future__ import annotations

import random
from dataclasses import dataclass

from simulator.gtfs import DAY_MAX_H, Feed, GtfsError, Row
from simulator.polyline import Point

STOPS_MIN = 2
STOPS_MAX = 1_000
POINTS_MAX = 200_000
CANDIDATES_MAX = 1_000_000
ROUTES_OF_BUSES = ("3", "11")
"""Bus and trolleybus; 700 to 716 are the bus services of the extended types."""


@dataclass
class StopTime:
    """A call: seconds of the service day, None where the feed leaves them to be interpolated."""

    sequence: int
    stop_id: str
    arrive_s: float | None
    depart_s: float | None
    shape_dist: float | None
    name: str = ""
    place: Point = (0.0, 0.0)


@dataclass
class Trip:
    """A trip with its calls in order and the points of its shape (none: straight lines).

    `begins_s`: when it leaves its first stop; a trip by frequency leaves at one of its times.
    """

    route_id: str
    trip_id: str
    service_id: str
    agency_id: str
    title: str
    calls: list[StopTime]
    shape: list[Point]
    shape_dist: list[float | None]
    begins_s: float


def load_trip(feed: Feed, seed: int, route_id: str | None, trip_id: str | None) -> Trip:
    """The trip `trip_id`, else one of `route_id`, else one of any bus. Raises GtfsError."""
    rng = random.Random(f"gtfs {seed}")
    routes = {row.required("route_id"): row for row in feed.rows("routes.txt", "route_id")}
    if route_id is not None and route_id not in routes:
        raise _unknown(feed, "routes.txt", "route_id", "--gtfs-route", route_id, list(routes))
    trips = {
        row.required("trip_id"): row
        for row in feed.rows("trips.txt", "trip_id", "route_id", "service_id")
        if route_id in (None, row.text("route_id"))
    }
    if len(trips) > CANDIDATES_MAX:
        raise GtfsError(f"{feed.path}: has more than {CANDIDATES_MAX} trips; add --gtfs-route ID")
    if trip_id is not None and trip_id not in trips:
        raise _unknown(feed, "trips.txt", "trip_id", "--gtfs-trip", trip_id, list(trips))
    chosen = trip_id or _choose(feed, rng, routes, trips)
    trip = trips[chosen]
    calls = _calls(feed, chosen)
    shape, dist = _shape(feed, trip.text("shape_id"))
    route = routes.get(trip.text("route_id"))
    if route is None:
        raise trip.problem("route_id", "a route_id of routes.txt")
    number = (
        route.text("route_short_name") or route.text("route_long_name") or route.text("route_id")
    )
    first_s = calls[0].depart_s if calls[0].depart_s is not None else calls[0].arrive_s
    assert first_s is not None, "checked by _calls"
    begins_s = _begin(feed, rng, chosen, first_s)
    return Trip(
        route.text("route_id"),
        chosen,
        trip.text("service_id"),
        route.text("agency_id"),
        f"{number} {calls[0].name} - {calls[-1].name}",
        calls,
        shape,
        dist,
        begins_s,
    )


def _unknown(
    feed: Feed, file: str, field: str, option: str, name: str, known: list[str]
) -> GtfsError:
    listed = ", ".join(sorted(known)[:12]) or "none"
    return GtfsError(f"{feed.path}: {file} has no {field} {name!r} ({option}); it has {listed}")


def _choose(feed: Feed, rng: random.Random, routes: dict[str, Row], trips: dict[str, Row]) -> str:
    """A trip with stops; of a bus and with a shape where there are such."""
    stops: dict[str, int] = dict.fromkeys(trips, 0)
    for row in feed.rows("stop_times.txt", "trip_id", "stop_id", "stop_sequence"):
        if row.text("trip_id") in stops:
            stops[row.text("trip_id")] += 1
    usable = sorted(name for name, count in stops.items() if count >= STOPS_MIN)
    if not usable:
        raise GtfsError(
            f"{feed.path}: stop_times.txt: no trip has {STOPS_MIN} stops; choose another feed, "
            "or another --gtfs-route"
        )

    def by_bus(name: str) -> bool:
        route = routes.get(trips[name].text("route_id"))
        kind = route.text("route_type") if route else ""
        return kind in ROUTES_OF_BUSES or (len(kind) == 3 and kind.startswith("7"))

    buses = [name for name in usable if by_bus(name)] or usable
    shaped = [name for name in buses if trips[name].text("shape_id")] or buses
    # Routes first: each has the same chance, however many trips it has.
    route_id = rng.choice(sorted({trips[name].text("route_id") for name in shaped}))
    return rng.choice([name for name in shaped if trips[name].text("route_id") == route_id])


def _calls(feed: Feed, trip_id: str) -> list[StopTime]:
    found: dict[int, tuple[Row, StopTime]] = {}
    needed = ("trip_id", "stop_id", "stop_sequence", "arrival_time", "departure_time")
    for row in feed.rows("stop_times.txt", *needed):
        if row.text("trip_id") != trip_id:
            continue
        arrive_s, depart_s = row.time_s("arrival_time"), row.time_s("departure_time")
        dist = None
        if row.text("shape_dist_traveled"):
            dist = row.number("shape_dist_traveled", 0, 1e9)
        sequence = row.whole("stop_sequence", 0, 10**9)
        if sequence in found:
            raise row.problem("stop_sequence", "a number that this trip has only once")
        call = StopTime(sequence, row.required("stop_id"), arrive_s, depart_s, dist)
        found[sequence] = row, call
        if len(found) > STOPS_MAX:
            raise row.problem("stop_sequence", f"at most {STOPS_MAX} stops in a trip")
    if len(found) < STOPS_MIN:
        raise GtfsError(
            f"{feed.path}: stop_times.txt: trip {trip_id!r} has {len(found)} stops; "
            f"expected at least {STOPS_MIN}; choose another --gtfs-trip"
        )
    ordered = [found[sequence] for sequence in sorted(found)]
    _check_times(ordered)
    _place(feed, ordered)
    return [call for _, call in ordered]


def _check_times(ordered: list[tuple[Row, StopTime]]) -> None:
    """First and last call are timed, and time does not run back. Raises GtfsError."""
    last_s = -1.0
    for i, (row, call) in enumerate(ordered):
        if i in (0, len(ordered) - 1) and call.arrive_s is None and call.depart_s is None:
            raise row.problem("departure_time", "a time, at the first and last stop of a trip")
        for field, at_s in (("arrival_time", call.arrive_s), ("departure_time", call.depart_s)):
            if at_s is None:
                continue
            if at_s < last_s:
                raise row.problem(field, "a time not before the one of the stop before")
            last_s = at_s


def _place(feed: Feed, ordered: list[tuple[Row, StopTime]]) -> None:
    wanted = {call.stop_id for _, call in ordered}
    stops = {
        row.text("stop_id"): row
        for row in feed.rows("stops.txt", "stop_id", "stop_lat", "stop_lon")
        if row.text("stop_id") in wanted
    }
    for row, call in ordered:
        stop = stops.get(call.stop_id)
        if stop is None:
            raise row.problem("stop_id", "a stop_id of stops.txt")
        call.place = (stop.number("stop_lat", -85, 85), stop.number("stop_lon", -180, 180))
        call.name = stop.text("stop_name") or call.stop_id


def _shape(feed: Feed, shape_id: str) -> tuple[list[Point], list[float | None]]:
    """The points in order with their shape_dist_traveled; nothing where the trip has no shape."""
    if not shape_id or not feed.has("shapes.txt"):
        return [], []
    points: list[tuple[int, Point, float | None]] = []
    needed = ("shape_id", "shape_pt_lat", "shape_pt_lon", "shape_pt_sequence")
    for row in feed.rows("shapes.txt", *needed):
        if row.text("shape_id") != shape_id:
            continue
        place = (row.number("shape_pt_lat", -85, 85), row.number("shape_pt_lon", -180, 180))
        dist = None
        if row.text("shape_dist_traveled"):
            dist = row.number("shape_dist_traveled", 0, 1e9)
        points.append((row.whole("shape_pt_sequence", 0, 10**9), place, dist))
        if len(points) > POINTS_MAX:
            raise row.problem("shape_pt_sequence", f"at most {POINTS_MAX} points in a shape")
    points.sort(key=lambda point: point[0])
    return [place for _, place, _ in points], [dist for _, _, dist in points]


def _begin(feed: Feed, rng: random.Random, trip_id: str, first_s: float) -> float:
    """When the trip leaves: as its times say, or at one of the times of its frequency."""
    if not feed.has("frequencies.txt"):
        return first_s
    begins: list[float] = []
    for row in feed.rows("frequencies.txt", "trip_id", "start_time", "end_time", "headway_secs"):
        if row.text("trip_id") != trip_id:
            continue
        start_s, end_s = row.time_s("start_time"), row.time_s("end_time")
        if start_s is None:
            raise row.problem("start_time", "a time H:MM:SS")
        if end_s is None or end_s <= start_s:
            raise row.problem("end_time", "a time after start_time")
        headway_s = row.whole("headway_secs", 1, DAY_MAX_H * 3_600)
        runs = -(-(end_s - start_s) // headway_s)
        begins.append(start_s + headway_s * rng.randrange(runs))
    return rng.choice(begins) if begins else first_s
