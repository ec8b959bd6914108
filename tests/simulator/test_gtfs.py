"""Feeds are read in a stream and within bounds; what is wrong with one is said by file and line."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import gtfs
from simulator.gtfs import Feed, GtfsError
from simulator.gtfs_journey import trip_journey
from tests.simulator.feeds import FILES, feed


def refused(path: Path, **choice: str | None) -> str:
    """What is said of a feed that cannot be used."""
    with pytest.raises(GtfsError) as caught:
        trip_journey(path, 7, choice.get("route"), choice.get("trip"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("stop_times.txt", "t1,8:00:00", "t1,8:60:00", "stop_times.txt line 2, arrival_time: exp"),
        ("stop_times.txt", "t1,8:00:00", "t1,x", "expected a time H:MM:SS, got 'x'"),
        ("stop_times.txt", "t1,8:07:00,8:07:30", "t1,7:07:00,8:07:30", "line 5, arrival_time: exp"),
        ("stop_times.txt", "8:07:00,8:07:30,D", ",,D", "at the first and last stop"),
        ("stop_times.txt", ",D,40", ",Z,40", "stop_id: expected a stop_id of stops.txt, got 'Z'"),
        ("stop_times.txt", ",B,20", ",B,10", "a number that this trip has only once, got '10'"),
        ("stop_times.txt", ",B,20", ",B,1e3", "a whole number from 0 to 1000000000"),
        ("stop_times.txt", "stop_sequence", "sequence", "line 1: expected a column stop_sequence"),
        ("stops.txt", "B,Bridge,50.002", "B,Bridge,95.1", "line 3, stop_lat: expected a number"),
        ("stops.txt", "B,Bridge,50.002", "B,Bridge,nan", "stop_lat: expected a number from -85"),
        ("stops.txt", "B,Bridge,50.002", "B,Bridge,51.002", "m away from the shape"),
        ("shapes.txt", "S,50.0,8.0", "S,50.0,", "shapes.txt line 2, shape_pt_lon: expected"),
        ("agency.txt", "Europe/Berlin", "Berlin", "agency_timezone: expected a time zone such as"),
        ("calendar.txt", "20180101", "2018-1-1", "start_date: expected a date YYYYMMDD"),
        ("frequencies.txt", "f1,6:00:00", "f1,", "frequencies.txt line 2, start_time: expected"),
        ("frequencies.txt", ",600", ",0", "headway_secs: expected a whole number from 1"),
        (
            "trips.txt",
            "t1,",
            "t9,",
            "trips.txt has no trip_id 't1' (--gtfs-trip); it has bare, f1, ",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    assert old in FILES[file]
    path = feed(tmp_path, **{file: FILES[file].replace(old, new, 1)})
    trip = "f1" if file == "frequencies.txt" else "t1"
    text = refused(path, trip=trip)
    assert said in text and str(path) in text


def test_a_file_that_is_absent_is_named(tmp_path: Path) -> None:
    path = feed(tmp_path, **{"stops.txt": None})
    assert "has no stops.txt; it holds agency.txt, " in refused(path, trip="t1")


def test_a_route_that_is_absent_is_named(tmp_path: Path) -> None:
    assert "no route_id 'x' (--gtfs-route); it has r1" in refused(feed(tmp_path), route="x")


def test_what_is_no_zip(tmp_path: Path) -> None:
    path = tmp_path / "feed.zip"
    assert "no such file" in refused(path)
    path.write_bytes(b"PK no")
    assert "expected a ZIP file with a feed" in refused(path)
    whole = feed(tmp_path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "expected a ZIP file with a feed" in refused(path)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = feed(tmp_path, **{"stops.txt": None})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("stops.txt", FILES["stops.txt"].encode("utf-16"))
    assert "stops.txt: expected UTF-8" in refused(path, trip="t1")


def test_a_byte_order_mark_blank_lines_quotes_and_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in FILES.items():
            stops = text.replace("Bridge", '"Bridge, ""old"""') + "\r\n\r\n"
            archive.writestr(f"feed/{name}", "\ufeff" + stops.replace("\n", "\r\n"))
    assert 'Bridge, "old"' in [h.name for h in trip_journey(path, 7, None, "t1").route.halts]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("one endless line", r"stops\.txt line 2: longer than 65536 bytes"),
        ("endless lines", r"stops\.txt: unpacks to more than 4 MB"),
        ("an endless quote", r"stops\.txt line \d+: expected CSV"),
    ],
)
def test_an_archive_that_unpacks_to_more_than_it_should(
    tmp_path: Path, what: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gtfs, "FILE_MAX_BYTES", 4 << 20)
    line = {
        "one endless line": b"x" * 4096,
        "endless lines": b"X,Y,50.0,8.0\n" * 300,
        "an endless quote": b"x" * 80 + b"\n",
    }[what]
    path = feed(tmp_path, **{"stops.txt": None})
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("stops.txt", "w") as member,
    ):
        member.write(b"stop_id,stop_name,stop_lat,stop_lon\n")
        member.write(b'"' if what == "an endless quote" else b"")
        for _ in range(5_000):
            member.write(line)
    assert path.stat().st_size < 200_000
    with Feed(path) as opened, pytest.raises(GtfsError, match=said):
        tracemalloc.start()
        try:
            for _ in opened.rows("stops.txt", "stop_id"):
                pass
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 2_000_000


def test_an_archive_of_too_many_files(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(gtfs.MEMBERS_MAX + 1):
            archive.writestr(f"{n}.txt", "")
    assert "holds 1001 files" in refused(path)


def test_a_line_end_in_a_name_does_not_break_the_text(tmp_path: Path) -> None:
    path = feed(tmp_path, **{"agency.txt": '"agency\nid\x1b",b\nA,B\n'})
    with pytest.raises(GtfsError) as caught:
        trip_journey(path, 7, None, None)
    assert "expected a column agency_timezone, got agency id , b" in str(caught.value)
    assert str(caught.value).isprintable()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(FILES)),
    st.one_of(
        st.binary(max_size=200),
        st.text(alphabet='0123456789:,.-"\nabt1fS', max_size=200).map(str.encode),
    ),
    st.integers(0, 400),
)
def test_any_bytes_are_a_feed_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, file: str, junk: bytes, at: int
) -> None:
    text = FILES[file].encode()
    path = feed(tmp_path_factory.mktemp("gtfs"), **{file: None})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(file, text[:at] + junk + text[at + 3 :])
    try:
        journey = trip_journey(path, 7, None, None)
    except GtfsError as error:
        assert str(path) in str(error) and "\n" not in str(error).strip()
    else:
        assert len(journey.route.halts) >= 2
