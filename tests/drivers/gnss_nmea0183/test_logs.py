"""Logs as other people write them: every one of these gives the places in it and no other."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from drivers.gnss_nmea0183.driver import GnssNmea0183
from tests.drivers.gnss_nmea0183.frames import frame, pvt

Nmea = Callable[..., bytes]
PLACES = [(44.0683333, -121.3133333), (44.0685, -121.3131667)]
MINUTES = [("4404.10000,N", "12118.80000,W"), ("4404.11000,N", "12118.79000,W")]


def rmc(i: int, **changes: str) -> str:
    lat, lon = MINUTES[i]
    words = {"talker": "GP", "time": f"12000{i}.00", "date": "010127", "status": "A"} | changes
    talker, time, status = words["talker"], words["time"], words["status"]
    return f"{talker}RMC,{time},{status},{lat},{lon},10.0,90.0,{words['date']},,,A"


def gga(i: int, talker: str = "GP", time: str | None = None, hdop: str = "0.8") -> str:
    lat, lon = MINUTES[i]
    return f"{talker}GGA,{time or f'12000{i}.00'},{lat},{lon},1,09,{hdop},-3.5,M,2.0,M,,"


def decoded(tmp_path: Path, data: bytes) -> list[dict[str, Any]]:
    path = tmp_path / "some.log"
    path.write_bytes(data)
    return [dict(fix) for fix in GnssNmea0183.decode(path)]


def places(fixes: list[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(fix["lat"], fix["lon"]) for fix in fixes if fix["lat"] is not None]


TWO = (rmc(0), gga(0), rmc(1), gga(1))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d,
        lambda d: d.replace(b"\r\n", b"\n"),
        lambda d: d.replace(b"\r\n", b"\r"),
        lambda d: d.replace(b"\r\n", b""),
        lambda d: d.replace(b"\r\n", b"\r\r\n\n"),
        lambda d: b"# a header\n# with $ and {braces}\n" + d + b"# an end",
        lambda d: d.replace(b"$", b"2023-01-01T00:00:00.123Z;$"),
        lambda d: d.replace(b"$", b"[1672531200.123456] <RX> $"),
        lambda d: d.replace(b"$", b"\\s:GPS1,c:1672531200*5E\\$"),  # NMEA 4 tag block
        lambda d: d.replace(b"$", b"\x00\xff\xb5\x62\x01\x07\x0f\x00$"),  # a frame that never ends
        lambda d: d.replace(b"$", b"$GPGSV,3,1$"),  # cut sentences between
        lambda d: b"\xef\xbb\xbf" + d,  # a byte order mark
        lambda d: d.rstrip(b"\r\n"),
        gzip.compress,
        lambda d: d.decode().encode("utf-16"),  # as Windows shells redirect
        lambda d: gzip.compress(d.decode().encode("utf-16-be").join((b"\xfe\xff", b""))),
        lambda d: d.replace(b"\r\n", b'"\r\n').replace(b"$", b'"2023-01-01","$'),
    ],
)
def test_however_it_was_written(
    nmea: Nmea, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    fixes = decoded(tmp_path, change(nmea(*TWO)))
    assert places(fixes) == PLACES
    assert [fix["time"] for fix in fixes] == [f"2027-01-01T12:00:0{i}.000Z" for i in (0, 1)]
    assert all(fix["alt"] == -3.5 and fix["satellites"] == 9 for fix in fixes)


@pytest.mark.parametrize(
    ("bodies", "times"),
    [
        (
            (rmc(0, status="D"), rmc(1, status="D")),
            ["2027-01-01T12:00:00.000Z", "2027-01-01T12:00:01.000Z"],
        ),
        ((rmc(0), rmc(1)), ["2027-01-01T12:00:00.000Z", "2027-01-01T12:00:01.000Z"]),
        ((gga(0), gga(1)), [None, None]),  # a time without a date
        ((gga(0, hdop=""), gga(1, hdop="99.99")), [None, None]),
        (
            (
                "GPGLL,4404.10000,N,12118.80000,W,120000,A",
                "GPGLL,4404.11000,N,12118.79000,W,120001,A",
            ),
            [None, None],
        ),
        (  # no time; one without a word on its validity is no fix
            ("GPGLL,4404.10000,N,12118.80000,W", "GPGLL,4404.11000,N,12118.79000,W,,A"),
            [None, None],
        ),
        (
            (
                "GNGNS,120000.0,4404.10000,N,12118.80000,W,AN,09,0.8,-3.5,2.0,,",
                "GNGNS,120001.0,4404.11000,N,12118.79000,W,RR,09,0.8,-3.5,2.0,,",
            ),
            [None, None],
        ),
        (
            (rmc(0, time="120000.00"), gga(0, time="120000.10"), rmc(1, time="120000.20")),
            ["2027-01-01T12:00:00.000Z", "2027-01-01T12:00:00.100Z", "2027-01-01T12:00:00.200Z"],
        ),
        (tuple(body for body in TWO for _ in range(2)), ["2027-01-01T12:00:00.000Z"] * 2),
    ],
)
def test_whatever_it_says(
    nmea: Nmea, tmp_path: Path, bodies: tuple[str, ...], times: list[str | None]
) -> None:
    fixes = decoded(tmp_path, nmea(*bodies))
    assert set(places(fixes)) <= set(PLACES)
    assert PLACES[1] in places(fixes)
    assert [fix["time"] is None for fix in fixes] == [time is None for time in times]


TALKERS = ("GP", "GN", "GL", "GA", "GB", "BD", "GQ", "QZ", "GI", "IN", "II")


@pytest.mark.parametrize("talker", TALKERS)
def test_whoever_talks(nmea: Nmea, tmp_path: Path, talker: str) -> None:
    bodies = [b for i in (0, 1) for b in (rmc(i, talker=talker), gga(i, talker))]
    assert places(decoded(tmp_path, nmea(*bodies))) == PLACES


@pytest.mark.parametrize(
    "bodies",
    [
        ("GPGGA,000452.981,0000.0000,N,00000.0000,E,0,00,50.0,0.0,M,0.0,M,0.0,0000",),
        (rmc(0, status="V"),),
        ("GPRMC,120000,V,0000.0000,N,00000.0000,E,0.0,0.0,060180,,,N",),
        ("GPGLL,0000.0000,N,00000.0000,E,120000,V,N",),
        ("GNGNS,120000,0000.0000,N,00000.0000,E,NNN,00,99.9,,,,",),
        ("PUBX,00,120000,0000.00000,N,00000.00000,E,0.0,NF,9,9,0,0,0,,99.99,99.99,99.99,0,0,0",),
    ],
)
def test_no_fix_has_no_place(nmea: Nmea, tmp_path: Path, bodies: tuple[str, ...]) -> None:
    fixes = decoded(tmp_path, nmea(*bodies))
    assert [fix["mode"] for fix in fixes] == [1]
    assert places(fixes) == []


def test_both_hemispheres_and_many_digits(nmea: Nmea, tmp_path: Path) -> None:
    fixes = decoded(
        tmp_path,
        nmea(
            "GPGGA,120000,4552.6540312,S,17030.0066899,E,1,09,0.8,1.0,M,,M,,",
            "GPGGA,130000,0000.0000001,N,00000.0000001,W,1,09,0.8,1.0,M,,M,,",
        ),
    )
    assert places(fixes) == [(-45.8775672, 170.5001115), (0.0, 0.0)]


def test_a_log_without_a_single_checksum(nmea: Nmea, tmp_path: Path) -> None:
    bare = nmea(*TWO).replace(b"*", b"\r\n#")
    assert places(decoded(tmp_path, bare)) == PLACES
    # As soon as one sentence has one, those that lack it are damaged.
    assert places(decoded(tmp_path, bare + nmea("GPTXT,01,01,02,x"))) == []
    # A line that is cut is not taken.
    cut = b"".join(line[:40] + b"\r\n" for line in bare.splitlines())
    with pytest.raises(ValueError, match="no NMEA 0183 sentence"):
        decoded(tmp_path, cut)


def test_ubx_alone(tmp_path: Path) -> None:
    sky = frame(1, 0x04, pack("<I7H", 475_218_000, 200, 150, 100, 120, 80, 60, 70))
    fixes = decoded(tmp_path, b"noise" + pvt(0, PLACES[0]) + sky + pvt(1, PLACES[1]))
    assert places(fixes) == PLACES
    assert fixes[0] == {
        "time": "2027-01-01T12:00:00.000Z",
        "lat": PLACES[0][0],
        "lon": PLACES[0][1],
        "alt": 1100.5,
        "speed_kmh": 18.518,
        "heading": 90.0,
        "mode": 3,
        "satellites": 11,
        "hdop": 0.8,
    }


def test_ubx_and_nmea_of_one_epoch_are_one_fix(nmea: Nmea, tmp_path: Path) -> None:
    data = b"".join(pvt(i, PLACES[i]) + nmea(rmc(i), gga(i)) for i in (0, 1))
    assert places(decoded(tmp_path, data)) == PLACES
    data = b"".join(nmea(rmc(i)) + pvt(i, PLACES[i]) + nmea(gga(i)) for i in (0, 1))
    assert places(decoded(tmp_path, data)) == PLACES


@pytest.mark.parametrize(
    ("fix", "flags", "mode"), [(0, 1, 1), (3, 0, 1), (1, 1, 2), (2, 1, 2), (4, 1, 3), (5, 1, 3)]
)
def test_what_ubx_calls_a_fix(tmp_path: Path, fix: int, flags: int, mode: int) -> None:
    (line,) = decoded(tmp_path, pvt(0, PLACES[0], fix=fix, flags=flags))
    assert (line["mode"], line["lat"] is not None) == (mode, mode > 1)


def test_a_sentence_inside_a_frame_is_no_sentence(nmea: Nmea, tmp_path: Path) -> None:
    inside = frame(0x04, 0x02, nmea(rmc(1)))
    assert places(decoded(tmp_path, pvt(0, PLACES[0]) + inside)) == PLACES[:1]


def tpv(second: int, place: tuple[float, float], **more: object) -> dict[str, object]:
    clock = f"2027-01-01T12:00:{second:02d}.000Z"
    return {"class": "TPV", "mode": 3, "time": clock, "lat": place[0], "lon": place[1]} | more


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize(
    "prefix", ["", "Mon Jan  1 12:00:00 2027: ", "2027-01-01T12:00:00Z;", "1704110400.123 "]
)
def test_a_log_of_gpsd(tmp_path: Path, separators: tuple[str, str], prefix: str) -> None:
    reports: list[dict[str, object]] = [
        {"class": "VERSION", "release": "3.25", "proto_major": 3},
        {"class": "DEVICES", "devices": [{"class": "DEVICE", "path": "/dev/ttyUSB0"}]},
        {"class": "SKY", "hdop": 0.8, "uSat": 9, "satellites": [{"PRN": 5, "ss": 40.0}]},
        tpv(0, PLACES[0], speed=5.0, track=90.0, altMSL=-3.5, eph=4.0),
        tpv(0, PLACES[0], speed=5.0, track=90.0, altMSL=-3.5, eph=4.0, epv=7.0),
        {"class": "TPV", "mode": 1, "lat": 1.0, "lon": 2.0},
        tpv(1, PLACES[1]),
    ]
    lines = [prefix + json.dumps(report, separators=separators) for report in reports]
    text = "\n".join(["# recorded with gpspipe -w", *lines, "{broken", "}"])
    fixes = decoded(tmp_path, text.encode())
    assert places(fixes) == PLACES
    assert [fix["mode"] for fix in fixes] == [3, 1, 3]
    assert fixes[0] == {
        "time": "2027-01-01T12:00:00.000Z",
        "lat": PLACES[0][0],
        "lon": PLACES[0][1],
        "alt": -3.5,
        "speed_kmh": 18.0,
        "heading": 90.0,
        "mode": 3,
        "satellites": 9,
        "hdop": 0.8,
    }


def test_a_comment_of_gpsd_does_not_make_a_log_of_gpsd(nmea: Nmea, tmp_path: Path) -> None:
    comment = b'# {"class":"TPV","mode":3,"lat":1.0,"lon":2.0}\n'
    assert places(decoded(tmp_path, comment + nmea(*TWO))) == PLACES


def test_a_jump_is_marked_on_its_line_only(nmea: Nmea, tmp_path: Path) -> None:
    away = rmc(1, time="120002.00").replace("4404", "4904")
    fixes = decoded(tmp_path, nmea(rmc(0), rmc(1), away, rmc(1, time="120003.00")))
    assert [fix.get("plausible") for fix in fixes] == [None, None, False, None]
    assert fixes[2]["lat"] == 49.0685


def gll(i: int) -> str:
    lat, lon = MINUTES[i]
    return f"GPGLL,{lat},{lon},12000{i}.00,A,A"


def test_what_the_end_cuts_off_is_no_fix(nmea: Nmea, tmp_path: Path) -> None:
    whole = (rmc(0), gga(0), gll(0))
    assert places(decoded(tmp_path, nmea(*whole, rmc(1)))) == PLACES[:1]
    assert places(decoded(tmp_path, nmea(*whole, rmc(1), gga(1)))) == PLACES
    assert places(decoded(tmp_path, nmea(rmc(0)))) == PLACES[:1]
