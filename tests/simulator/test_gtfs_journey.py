"""Routes, stops and times of a drive are those of the feed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.gtfs_journey import trip_journey
from simulator.journey import Journey
from simulator.polyline import Polyline
from simulator.route import METRES_PER_DEGREE
from simulator.service import FIRST_DEPARTURE_MS
from simulator.vehicle import Vehicle
from simulator.world import World
from tests.simulator.feeds import FILES, feed

REAL_FEEDS = Path(__file__).parents[3] / "shared" / "data" / "gtfs"
needs_feeds = pytest.mark.skipif(
    not REAL_FEEDS.is_dir(), reason="not run: no ../shared/data/gtfs; a made feed is driven above"
)
BERLIN = ZoneInfo("Europe/Berlin")


def departure(journey: Journey) -> datetime:
    """When the bus leaves, in the feed's time zone."""
    at_ms = journey.utc_start_ms + FIRST_DEPARTURE_MS
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(BERLIN)


def test_there_and_back_along_the_shape(tmp_path: Path) -> None:
    route = trip_journey(feed(tmp_path), 7, None, "t1").route
    street_m = 0.01 * METRES_PER_DEGREE
    assert route.length_m == pytest.approx(2 * street_m, rel=1e-3)
    want = [
        ("Abbey", 0.0, None),
        # The feed leaves this time out: 222 m of the 667 m between 8:00:20 and 8:05:00.
        ("Bridge", 0.2 * street_m, 93.0),
        ("Castle", 0.6 * street_m, 310.0),
        ("Dock", street_m, 430.0),
        ("Castle (back)", 1.4 * street_m, None),
        ("Bridge (back)", 1.8 * street_m, None),
    ]
    assert [halt.name for halt in route.halts] == [name for name, *_ in want]
    for halt, (_, at_m, depart_s) in zip(route.halts, want, strict=True):
        assert halt.distance_m == pytest.approx(at_m, abs=1.0)
        assert halt.depart_s == depart_s


def test_a_loop_is_closed_at_its_terminus(tmp_path: Path) -> None:
    journey = trip_journey(feed(tmp_path), 7, None, "loop")
    assert [halt.name for halt in journey.route.halts] == ["Abbey", "Dock", "East"]
    assert journey.route.at(0.0) == pytest.approx(journey.route.at(journey.route.length_m))


def test_without_a_shape_the_bus_goes_straight_from_stop_to_stop(tmp_path: Path) -> None:
    route = trip_journey(feed(tmp_path), 7, None, "bare").route
    assert [halt.name for halt in route.halts] == ["Abbey", "East", "Dock", "East (back)"]


@pytest.mark.parametrize(
    ("dists", "bridge_m"),
    [
        # In the feed's own unit, here miles: half-way between the first two points.
        ((0.0, 0.25, 0.25, 1.2), 222.4),
        # Which puts the stops far from the road: then the nearest places count.
        ((0.0, 1.1, 1.15, 1.2), 222.4),
        ((0.0, 0.1, 0.25, 1.2), 88.9),
    ],
)
def test_stops_are_where_the_feed_says_along_the_shape(
    tmp_path: Path, dists: tuple[float, ...], bridge_m: float
) -> None:
    shapes = (
        "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence,shape_dist_traveled\n"
        "S,50.0,8.0,1,0\nS,50.004,8.0,2,0.5\nS,50.01,8.0,3,1.2\n"
    )
    header, *lines = FILES["stop_times.txt"].splitlines()
    of_trip = [line for line in lines if line.startswith("t1")]
    told = [f"{line},{dist}" for line, dist in zip(of_trip, dists, strict=True)]
    text = "\n".join([header + ",shape_dist_traveled", *told]) + "\n"
    path = feed(tmp_path, **{"shapes.txt": shapes, "stop_times.txt": text})
    route = trip_journey(path, 7, None, "t1").route
    assert route.halts[1].distance_m == pytest.approx(bridge_m, abs=1.0)


def test_limits_follow_the_timetable(tmp_path: Path) -> None:
    slow = trip_journey(feed(tmp_path), 7, None, "t1").route
    hasty = FILES["stop_times.txt"].replace("8:05:00,8:05:30", "8:00:50,8:00:55")
    fast = trip_journey(feed(tmp_path, **{"stop_times.txt": hasty}), 7, None, "t1").route
    assert slow.limit_ms(300.0) == pytest.approx(30 / 3.6)
    assert fast.limit_ms(300.0) == pytest.approx(100 / 3.6)


@pytest.mark.parametrize(
    ("trip", "clock", "weekdays"),
    [
        # An expired calendar gives its weekdays; one that is not gives its days.
        ("t1", {"08:00"}, {0, 1, 2, 3, 4}),
        # 25:10 is ten past one on the day after.
        ("loop", {"01:10"}, {6, 0}),
        ("f1", {"06:00", "06:10", "06:20", "06:30", "06:40", "06:50", "23:30", "23:45", "00:00",
                "00:15", "00:30", "00:45"}, {0, 1, 2, 3, 4, 5}),
    ],
)  # fmt: skip
def test_it_leaves_when_the_timetable_says(
    tmp_path: Path, trip: str, clock: set[str], weekdays: set[int]
) -> None:
    path = feed(tmp_path)
    leaves = [departure(trip_journey(path, seed, None, trip)) for seed in range(60)]
    assert {f"{at:%H:%M}" for at in leaves} == clock
    assert {at.weekday() for at in leaves} <= weekdays
    assert all(2027 <= at.year <= 2030 for at in leaves)
    assert len({at.date() for at in leaves}) > 20


def test_a_single_day_of_service(tmp_path: Path) -> None:
    journey = trip_journey(feed(tmp_path), 3, None, "bare")
    assert f"{departure(journey):%Y-%m-%d %H:%M}" == "2028-02-29 08:00"
    assert journey.local_offset_min == 60


@pytest.mark.parametrize(
    ("day", "leaves_utc"),
    # 2:30 by the timetable on the days on which clocks change: noon minus 12 hours plus 2:30.
    [("20280326", "2028-03-26T00:30"), ("20281029", "2028-10-29T01:30")],
)
def test_the_service_day_counts_from_noon(tmp_path: Path, day: str, leaves_utc: str) -> None:
    times = FILES["stop_times.txt"].replace("bare,8:00:00,8:00:00", "bare,2:30:00,2:30:00")
    dates = f"service_id,date,exception_type\nx,{day},1\n"
    path = feed(tmp_path, **{"stop_times.txt": times, "calendar_dates.txt": dates})
    at = departure(trip_journey(path, 1, None, "bare")).astimezone(UTC)
    assert f"{at:%Y-%m-%dT%H:%M}" == leaves_utc


def test_the_seed_chooses_a_trip_of_a_bus_with_a_shape(tmp_path: Path) -> None:
    path = feed(tmp_path)
    chosen = {trip_journey(path, seed, None, None).name.split("trip ")[1] for seed in range(40)}
    assert {name.split(",")[0] for name in chosen} == {"t1", "loop", "f1"}
    assert trip_journey(path, 5, None, None).name == trip_journey(path, 5, None, None).name
    tram = trip_journey(path, 5, "r2", None)
    assert "trip tram" in tram.name


def test_the_bus_keeps_to_the_timetable(tmp_path: Path) -> None:
    """It stands at a stop until the minute, when it is early."""
    journey = trip_journey(feed(tmp_path), 7, None, "t1")
    world = World(7, journey)
    left: dict[str, float] = {}
    halts = journey.route.halts
    for ms in range(0, 500_000, 100):
        before = world.distance_m
        world.advance_to(ms)
        for halt in halts:
            if before <= halt.distance_m + 2.0 < world.distance_m:
                left.setdefault(halt.name, ms / 1000 - FIRST_DEPARTURE_MS / 1000)
    assert 310 <= left["Castle"] <= 330
    assert 430 <= left["Dock"] <= 450


def test_all_devices_speak_of_the_same_drive(tmp_path: Path) -> None:
    journey = trip_journey(feed(tmp_path), 7, None, "t1")
    vehicle = Vehicle(7, journey=journey)
    said: dict[str, object] = {}
    for emission in vehicle.advance(60, frozenset()):
        said |= dict(emission.writings)
    assert float(str(said["Vehicle.CurrentLocation.Latitude"])) == pytest.approx(50.0, abs=0.01)
    assert said["Vehicle.Bus.Clock.LocalOffset"] == journey.local_offset_min
    clock_ms = int(str(said["Vehicle.Bus.Clock.Vehicle"]))
    assert abs(clock_ms - journey.utc_start_ms - 60_000) < 1_000


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_stops_along_a_line_keep_their_order(data: st.DataObject) -> None:
    """Also where the line passes the same places again: twice round a square."""
    square = [(50.0, 8.0), (50.01, 8.0), (50.01, 8.01), (50.0, 8.01)]
    line = Polyline([*square, *square, square[0]])
    metres = sorted(data.draw(st.lists(st.floats(0, line.length_m), min_size=2, max_size=12)))
    places = [line.point(at) for at in metres]
    found = line.in_order(places)
    assert found == sorted(found)
    for at, place in zip(found, places, strict=True):
        assert line.metres(line.point(at), place) < 1e-3


@pytest.mark.skipif(
    not REAL_FEEDS.is_dir(), reason="not run: no ../shared/data/gtfs; a made feed is driven"
)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["rio_grande_citybus", "sample-gtfs-feed"])
def test_real_feeds_make_a_drive(name: str, seed: int) -> None:
    journey = trip_journey(REAL_FEEDS / f"{name}.zip", seed, None, None)
    world = World(seed, journey)
    world.advance_to(180_000)
    assert world.distance_m > 300
    assert len(journey.route.halts) >= 4


@pytest.mark.skipif(
    not REAL_FEEDS.is_dir(), reason="not run: no ../shared/data/gtfs; a made feed is driven"
)
def test_the_lines_of_a_real_town_are_loops() -> None:
    for trip, stops in (("a_weekdays", 108), ("d_everyday", 14)):
        journey = trip_journey(REAL_FEEDS / "rio_grande_citybus.zip", 7, None, trip)
        halts = journey.route.halts
        assert len(halts) == stops
        assert not any(halt.name.endswith("(back)") for halt in halts)
        assert [h.distance_m for h in halts] == sorted(h.distance_m for h in halts)
