"""From a trip of a GTFS feed to a drive: a route with halts, limits and a timetable, and its start.

A trip whose ends meet is a loop; another one is driven there and back. Limits follow from the
times between stops, and the date from the days of service: clocks of today's devices know no past
years, so an expired calendar gives its weekdays only.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from simulator.gtfs import Feed, GtfsError, Row
from simulator.gtfs_trip import Trip, load_trip
from simulator.journey import Journey
from simulator.polyline import Polyline
from simulator.route import Route
from simulator.service import FIRST_DEPARTURE_MS
from simulator.world import UTC_FIRST, UTC_LAST

LOOP_M = 150.0
"""Ends that lie nearer to each other are one terminus."""
LENGTH_MIN_M, LENGTH_MAX_M = 100.0, 150_000.0
STOP_TO_SHAPE_M = 500.0
FITTED_MAX = 3_000_000
"""Stops times points of a shape: fitting them takes a few seconds then."""
SPREAD_M = 30.0
"""Two stops are at least this far apart on the road."""
ELEVATION_M = "20.0"
"""GTFS knows no heights: the town is flat."""

LIMITS_KMH = (30, 40, 50, 60, 70, 80, 90, 100)
FASTER_THAN_TIMETABLE = 1.5
"""Between stops a bus accelerates, brakes and waits; the limit is above its average by this."""

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def trip_journey(path: Path, seed: int, route_id: str | None, trip_id: str | None) -> Journey:
    """The drive of one trip of the feed at `path`; see `load_trip`. Raises GtfsError."""
    with Feed(path) as feed:
        trip = load_trip(feed, seed, route_id, trip_id)
        zone = _zone(feed, trip)
        day = _day(feed, trip.service_id, seed)
    # GTFS: times count from noon minus 12 hours, which differs from midnight where clocks change.
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone).astimezone(UTC)
    departure = noon - timedelta(hours=12) + timedelta(seconds=trip.begins_s)
    local = departure.astimezone(zone)
    offset = local.utcoffset() or timedelta()
    name = f"{trip.title}, trip {trip.trip_id}, leaves {local:%Y-%m-%d %H:%M} {zone.key}"
    return Journey(
        name,
        route_of(trip, path),
        round(departure.timestamp() * 1_000) - FIRST_DEPARTURE_MS,
        round(offset.total_seconds() / 60),
    )


def route_of(trip: Trip, path: Path) -> Route:
    """The trip as a closed route. Raises GtfsError where it is too short or too long."""
    places = [call.place for call in trip.calls]
    line = Polyline(trip.shape if len(trip.shape) > 1 else places)
    if line.length_m < LENGTH_MIN_M or line.length_m > LENGTH_MAX_M:
        raise GtfsError(
            f"{path}: trip {trip.trip_id!r} is {line.length_m:.0f} m long; expected "
            f"{LENGTH_MIN_M:.0f} m to {LENGTH_MAX_M:.0f} m. Choose another --gtfs-trip"
        )
    stops_m = _spread(_stop_metres(trip, line, path), line.length_m)
    times_s = _times(trip, stops_m)
    there = _rows(trip, line, stops_m, times_s)
    if line.metres(line.points[0], line.points[-1]) <= LOOP_M and len(there) > 3:
        # The last stop is the first one again.
        while len(there) > 3 and there[-1]["kind"] != "stop":
            there.pop()
        return Route(there[:-1])
    return Route(there + _back(there))


def _stop_metres(trip: Trip, line: Polyline, path: Path) -> list[float]:
    """Where along the line each stop is: by shape_dist_traveled where both files tell it."""
    places = [call.place for call in trip.calls]
    if len(trip.shape) <= 1:
        return list(line.at_m)
    told = _by_dist(trip, line)
    if told is not None and all(
        line.metres(line.point(at), place) <= STOP_TO_SHAPE_M
        for at, place in zip(told, places, strict=True)
    ):
        return told
    if len(places) * len(line.points) > FITTED_MAX:
        raise GtfsError(
            f"{path}: trip {trip.trip_id!r} has {len(places)} stops and {len(line.points)} points "
            "without shape_dist_traveled, too many to fit. Choose another --gtfs-trip"
        )
    found = line.in_order(places)
    for call, at in zip(trip.calls, found, strict=True):
        away = line.metres(line.point(at), call.place)
        if away > STOP_TO_SHAPE_M:
            raise GtfsError(
                f"{path}: stops.txt: stop {call.stop_id!r} is {away:.0f} m away from the shape of "
                f"trip {trip.trip_id!r}; expected at most {STOP_TO_SHAPE_M:.0f} m"
            )
    return found


def _by_dist(trip: Trip, line: Polyline) -> list[float] | None:
    """Metres by shape_dist_traveled, whose unit is the feed's own; None where it is not told."""
    dists = [dist for dist in trip.shape_dist if dist is not None]
    rising = all(a <= b for a, b in pairwise(dists))
    if len(dists) < len(trip.shape) or not rising or dists[-1] <= dists[0]:
        return None
    found: list[float] = []
    i = 0
    for call in trip.calls:
        dist = call.shape_dist
        if dist is None:
            return None
        while i < len(dists) - 2 and dists[i + 1] < dist:
            i += 1
        span = dists[i + 1] - dists[i]
        part = max(0.0, min(1.0, (dist - dists[i]) / span)) if span else 0.0
        at = line.at_m[i] + part * (line.at_m[i + 1] - line.at_m[i])
        found.append(max(at, found[-1]) if found else at)
    return found


def _spread(stops_m: list[float], length_m: float) -> list[float]:
    """The same places in order, no two on one spot."""
    gap_m = min(SPREAD_M, length_m / (2 * len(stops_m)))
    spread = list(stops_m)
    for i in range(1, len(spread)):
        spread[i] = max(spread[i], spread[i - 1] + gap_m)
    excess = spread[-1] - length_m
    for i in range(len(spread) - 1, -1, -1):
        highest = length_m - gap_m * (len(spread) - 1 - i)
        spread[i] = min(spread[i], highest) if excess > 0 else spread[i]
    return spread


def _times(trip: Trip, stops_m: list[float]) -> list[tuple[float, float]]:
    """Arrival and departure of each call, seconds after the first departure.

    What the feed leaves out is interpolated by distance between the timed calls around it.
    """
    calls = trip.calls
    timed = [i for i, call in enumerate(calls) if (call.arrive_s, call.depart_s) != (None, None)]
    known: dict[int, tuple[float, float]] = {}
    for i in timed:
        arrive, depart = calls[i].arrive_s, calls[i].depart_s
        first = arrive if arrive is not None else depart
        last = depart if depart is not None else arrive
        assert first is not None and last is not None
        known[i] = first, last
    for before, after in pairwise(timed):
        span_m = stops_m[after] - stops_m[before]
        span_s = known[after][0] - known[before][1]
        for i in range(before + 1, after):
            part = (stops_m[i] - stops_m[before]) / span_m if span_m else 0.0
            known[i] = (known[before][1] + part * span_s,) * 2
    zero_s = known[0][1]
    return [(known[i][0] - zero_s, known[i][1] - zero_s) for i in range(len(calls))]


def _rows(
    trip: Trip, line: Polyline, stops_m: list[float], times_s: list[tuple[float, float]]
) -> list[dict[str, str]]:
    """The rows of a route from the first stop to the last: its stops, and the shape between."""
    marks: list[tuple[float, int]] = [(at, n) for n, at in enumerate(stops_m)]
    marks += [(at, -1) for at in line.at_m if stops_m[0] < at < stops_m[-1] and at not in stops_m]
    rows = []
    passed = 0
    for at, n in sorted(marks):
        passed = n if n >= 0 else passed
        leg = min(passed, len(stops_m) - 2)
        seconds = times_s[leg + 1][0] - times_s[leg][1]
        lat, lon = line.point(at)
        rows.append(
            {
                "lat_deg": f"{lat:.7f}",
                "lon_deg": f"{lon:.7f}",
                "elevation_m": ELEVATION_M,
                "limit_kmh": str(_limit_kmh(stops_m[leg + 1] - stops_m[leg], seconds)),
                "kind": "stop" if n >= 0 else "shape",
                "name": trip.calls[n].name if n >= 0 else "",
                "depart_s": f"{times_s[n][1]:.0f}" if n > 0 else "",
            }
        )
    return rows


def _limit_kmh(metres: float, seconds: float) -> int:
    if seconds <= 0.0:
        return 50
    wanted = 3.6 * metres / seconds * FASTER_THAN_TIMETABLE
    return next((limit for limit in LIMITS_KMH if limit >= wanted), LIMITS_KMH[-1])


def _back(there: list[dict[str, str]]) -> list[dict[str, str]]:
    """The way back over the same points, between the last stop and the first."""
    back = [dict(row, depart_s="") for row in reversed(there[1:-1])]
    for row, ahead in zip(back, reversed(there[:-2]), strict=True):
        row["limit_kmh"] = ahead["limit_kmh"]
        row["name"] = f"{row['name']} (back)" if row["name"] else ""
    return back


def _zone(feed: Feed, trip: Trip) -> ZoneInfo:
    agencies = list(feed.rows("agency.txt", "agency_timezone"))
    mine = [row for row in agencies if row.text("agency_id") == trip.agency_id] or agencies
    if not mine:
        raise GtfsError(f"{feed.path}: agency.txt: expected an agency, got none")
    try:
        return ZoneInfo(mine[0].required("agency_timezone"))
    except (KeyError, ValueError, OSError):
        raise mine[0].problem("agency_timezone", "a time zone such as Europe/Berlin") from None


def _day(feed: Feed, service_id: str, seed: int) -> date:
    """A day of service, from 2027 on; of an expired calendar only the weekdays count."""
    days = [UTC_FIRST.date() + timedelta(days=n) for n in range((UTC_LAST - UTC_FIRST).days)]
    weekdays: set[int] = set()
    first, last = days[0], days[-1]
    if feed.has("calendar.txt"):
        for row in feed.rows("calendar.txt", "service_id", "start_date", "end_date", *_WEEKDAYS):
            if row.text("service_id") == service_id:
                weekdays = {n for n, name in enumerate(_WEEKDAYS) if row.text(name) == "1"}
                first, last = _date(row, "start_date"), _date(row, "end_date")
    added: set[date] = set()
    removed: set[date] = set()
    if feed.has("calendar_dates.txt"):
        for row in feed.rows("calendar_dates.txt", "service_id", "date", "exception_type"):
            if row.text("service_id") == service_id:
                (added if row.text("exception_type") == "1" else removed).add(_date(row, "date"))
    served = {day for day in days if first <= day <= last and day.weekday() in weekdays}
    usable = (served | (added & set(days))) - removed
    if not usable:
        by_date = {day.weekday() for day in added}
        usable = {day for day in days if day.weekday() in (weekdays or by_date or {0})}
    return random.Random(f"gtfs day {seed}").choice(sorted(usable))


def _date(row: Row, field: str) -> date:
    try:
        return datetime.strptime(row.text(field), "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise row.problem(field, "a date YYYYMMDD") from None
