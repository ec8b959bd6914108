"""Masked logs: they decode, and tell neither the place nor anything that leads to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.gnss_nmea0183.capture import decode_file
from drivers.gnss_nmea0183.line import LineReader, Sentence
from drivers.gnss_nmea0183.mask import Masker
from tests.drivers.gnss_nmea0183.frames import frame, mon_hw, nav_sat, pvt, sol

Nmea = Callable[..., bytes]
DRIVE = [(44.0683333, -121.3133333), (44.0685, -121.3131667), (44.0691667, -121.3128333)]
MINUTES = [
    ("4404.10000,N", "12118.80000,W"),
    ("4404.11000,N", "12118.79000,W"),
    ("4404.15000,N", "12118.77000,W"),
]


def drive(nmea: Nmea) -> bytes:
    said = b""
    for i, (lat, lon) in enumerate(MINUTES):
        said += nmea(
            f"GNRMC,12000{i}.00,A,{lat},{lon},10.0,90.0,010127,3.5,W,A",
            f"GNGGA,12000{i}.00,{lat},{lon},1,09,0.8,1100.5,M,-21.0,M,1.0,0123",
            "GPGSV,1,1,02,05,45,180,40,07,30,090,35",
            "PUBX,03,11,23,-,,,45,010,29,-,,,46,013",
            "GPTXT,01,01,02,ANTSTATUS=OK",
            "GPTXT,01,01,02,Depot ANTWERP",
        )
    return said


def decoded(tmp_path: Path, data: bytes) -> list[dict[str, Any]]:
    path = tmp_path / "masked.log"
    path.write_bytes(data)
    return [dict(fix) for fix in decode_file(path)]


def shape(places: list[tuple[float, float]]) -> list[tuple[int, int]]:
    """The steps of a drive in 1e-6 degrees."""
    turns = [((b[1] - a[1] + 180) % 360 - 180, b[0] - a[0]) for a, b in pairwise(places)]
    return [(round(north * 1e6), round(east * 1e6)) for east, north in turns]


@given(st.integers(0, 10_000))
def test_a_drive_keeps_its_shape_and_nothing_else(
    nmea: Nmea, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    masked = Masker(json=False, seed=seed).feed(drive(nmea))
    fixes = decoded(tmp_path_factory.mktemp("mask"), masked)
    places = [(fix["lat"], fix["lon"]) for fix in fixes]
    assert len(places) == 3
    for (north, east), (was_north, was_east) in zip(shape(places), shape(DRIVE), strict=True):
        assert abs(north - was_north) <= 1 and abs(east - was_east) <= 1
    assert [fix["time"] for fix in fixes] == [f"2027-01-01T12:00:0{i}.000Z" for i in range(3)]
    assert all(fix["speed_kmh"] == 18.52 and fix["satellites"] == 9 for fix in fixes)
    for told in (
        b",4404.1",
        b",12118.",
        b"Depot",
        b"PUBX",
        b",0123*",
        b",-21.0",
        b",3.5,W",
        b"180,40",
    ):
        assert told not in masked
    assert b"ANTSTATUS=OK" in masked and b"05,,,40" in masked


def test_places_are_spread_over_the_earth(nmea: Nmea, tmp_path: Path) -> None:
    seen = []
    for _ in range(60):
        fixes = decoded(tmp_path, Masker(json=False).feed(drive(nmea)))
        seen.append((fixes[0]["lat"], fixes[0]["lon"]))
    assert len(set(seen)) == 60
    assert {(lat > 0, lon > 0) for lat, lon in seen} == {
        *((True, True), (True, False)),
        *((False, True), (False, False)),
    }
    # Neither the minutes nor the fraction of them survive.
    assert len({round(lat % 1, 3) for lat, _ in seen}) > 50


def test_frames(nmea: Nmea, tmp_path: Path) -> None:
    raw = b"".join(pvt(i, place) for i, place in enumerate(DRIVE)) + mon_hw(2, 1, 0)
    telling = nav_sat((0, 5, 40)) + sol(1000, (-2.3e6, -3.9e6, 4.4e6)) + frame(2, 0x15, bytes(40))
    masked = Masker(json=False, seed=3).feed(raw + telling)
    fixes = decoded(tmp_path, masked)
    places = [(fix["lat"], fix["lon"]) for fix in fixes]
    assert shape(places) == shape(DRIVE)
    assert abs(places[0][0] - DRIVE[0][0]) > 0.01 and abs(places[0][1] - DRIVE[0][1]) > 0.01
    assert {fix["alt"] for fix in fixes} == {0.0}
    kept = [piece for piece in LineReader().feed(masked, 0) if not isinstance(piece, Sentence)]
    assert [(f.class_id, f.message_id) for f in kept] == [(1, 7)] * 3 + [(10, 9)]


def test_reports_of_gpsd(tmp_path: Path) -> None:
    lines = [
        {"class": "DEVICES", "devices": [{"path": "/dev/x", "serial": "123"}]},
        {"class": "SKY", "hdop": 0.8, "satellites": [{"PRN": 5, "az": 180.0, "el": 45, "ss": 40}]},
        *(
            {"class": "TPV", "mode": 3, "time": f"2027-01-01T12:00:0{i}Z"}
            | {"lat": lat, "lon": lon, "altMSL": 1100.5, "ecefx": -2386071.06, "magvar": 14.4}
            for i, (lat, lon) in enumerate(DRIVE)
        ),
    ]
    raw = b"".join(json.dumps(report).encode() + b"\n" for report in lines)
    masked = Masker(json=True, seed=5).feed(raw)
    fixes = decoded(tmp_path, masked)
    assert shape([(fix["lat"], fix["lon"]) for fix in fixes]) == shape(DRIVE)
    for told in (b"44.06", b"121.3", b"ecefx", b"az", b"altMSL", b"magvar", b"serial", b"/dev"):
        assert told not in masked


def test_what_cannot_be_masked_is_left_out(nmea: Nmea) -> None:
    body = "GNRMC,120000.00,A,{},10.0,90.0,010127,,,A"
    for place in ("4404.1,X,12118.8,W", "44 04.1,N,12118.8,W", "4404.1,N", ",,12118.8,W"):
        assert Masker(json=False).feed(nmea(body.format(place))) == b""
    assert Masker(json=False).feed(b"noise near 44.068, -121.313\r\n") == b""
    lost = nmea("GNRMC,,V,,,,,,,,,,N")
    assert Masker(json=False).feed(lost) == lost


@given(st.lists(st.binary(max_size=200), max_size=10), st.booleans())
def test_any_bytes_can_be_masked(pieces: list[bytes], as_json: bool) -> None:
    masker = Masker(json=as_json)
    for piece in pieces:
        masker.feed(piece)


@given(
    st.sampled_from(["RMC", "GGA", "GNS", "GLL", "GSV", "VTG"]),
    st.lists(st.text("0123456789.NSEWA-", max_size=8), max_size=20),
)
def test_any_fields_can_be_masked(nmea: Nmea, kind: str, fields: list[str]) -> None:
    masked = Masker(json=False).feed(nmea(",".join([f"GP{kind}", *fields])))
    assert masked == b"" or len(LineReader().feed(masked, 0)) == 1
