"""UBX frames: what they state, and what a frame must be to be read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from itertools import pairwise
from math import cos, radians, sin, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.gnss_nmea0183.condition import Condition
from drivers.gnss_nmea0183.fix import FixDecoder
from drivers.gnss_nmea0183.line import MAX_PAYLOAD, Frame, LineReader, Sentence
from drivers.gnss_nmea0183.sky import Listing
from drivers.gnss_nmea0183.statements import Statement
from drivers.gnss_nmea0183.ubx import UbxReader
from tests.drivers.gnss_nmea0183.frames import (
    esf_status,
    frame,
    mon_hw,
    mon_rf,
    nav_sat,
    pvt,
    sol,
    timegps,
)

Nmea = Callable[..., bytes]
PLACE = (44.0683333, -121.3133333)


def ecef_m(latitude: float, longitude: float, height_m: float) -> tuple[float, float, float]:
    """A place in WGS 84 as earth-centred metres: the textbook's way forward."""
    lat, lon = radians(latitude), radians(longitude)
    e2 = 0.00669437999014
    normal = 6_378_137.0 / sqrt(1 - e2 * sin(lat) ** 2)
    flat = (normal + height_m) * cos(lat)
    return flat * cos(lon), flat * sin(lon), (normal * (1 - e2) + height_m) * sin(lat)


BEND_M = ecef_m(*PLACE, 1110.0)
TOW_MS = 475_218_000  # Friday 12:00:18 GPS


def only(data: bytes) -> Frame:
    (piece,) = LineReader().feed(data, 7)
    assert isinstance(piece, Frame)
    return piece


def test_a_whole_fix() -> None:
    assert UbxReader().read(only(pvt(5, PLACE))) == Statement(
        "U",
        "PVT",
        time_ms=43_205_000,
        date=date(2027, 1, 1),
        fix=True,
        latitude=PLACE[0],
        longitude=PLACE[1],
        altitude_m=1100.5,
        speed_kmh=18.518,
        heading=90.0,
        satellites=11,
        dimension=3,
        accuracy_m=0.9,
    )


@pytest.mark.parametrize(
    ("fix", "flags", "dimension", "reckoned"),
    [
        (0, 1, 1, False),
        (1, 1, 2, True),
        (2, 1, 2, False),
        (3, 1, 3, False),
        (4, 1, 3, False),
        (5, 1, 3, False),
        (6, 1, 1, False),
        (3, 0, 1, False),  # beyond its limits
    ],
)
def test_kinds_of_fixes(fix: int, flags: int, dimension: int, reckoned: bool) -> None:
    said = UbxReader().read(only(pvt(5, PLACE, fix=fix, flags=flags)))
    assert isinstance(said, Statement)
    assert (said.dimension, said.reckoned) == (dimension, reckoned)
    assert said.fix is (dimension > 1)
    assert (said.latitude is None) == (dimension == 1)


@pytest.mark.parametrize(
    ("valid", "time_ms", "stated", "unresolved"),
    [
        (7, 43_205_000, date(2027, 1, 1), False),
        (3, 43_205_000, date(2027, 1, 1), True),  # leap seconds are a guess
        (2, 43_205_000, None, True),
        (1, None, None, True),
        (0, None, None, True),
    ],
)
def test_what_the_clock_is_worth(
    valid: int, time_ms: int | None, stated: date | None, unresolved: bool
) -> None:
    said = UbxReader().read(only(pvt(5, PLACE, valid=valid)))
    assert isinstance(said, Statement)
    assert (said.time_ms, said.date, said.unresolved) == (time_ms, stated, unresolved)


def test_utc_is_not_stated_while_the_leap_seconds_are_a_guess() -> None:
    for valid, proven in ((3, False), (7, True)):
        decoder = FixDecoder()
        decoder.feed(pvt(5, PLACE, valid=valid), 0)
        (fix,) = decoder.quiet()
        assert fix.utc_proven is proven


def test_a_position_in_ecef_and_its_time() -> None:
    reader = UbxReader()
    first = reader.read(only(sol(TOW_MS, BEND_M)))
    assert isinstance(first, Statement)
    assert (first.time_ms, first.date) == (None, None)  # the leap seconds are not known yet
    assert first.latitude == pytest.approx(PLACE[0], abs=2e-7)
    assert first.longitude == pytest.approx(PLACE[1], abs=2e-7)
    assert (first.accuracy_m, first.satellites, first.dimension) == (2.5, 8, 3)
    assert reader.read(only(timegps(TOW_MS, 18))) == Statement(
        "U", "TIMEGPS", time_ms=43_200_000, date=date(2027, 1, 1)
    )
    second = reader.read(only(sol(TOW_MS + 1000, BEND_M)))
    assert isinstance(second, Statement)
    assert (second.time_ms, second.date) == (43_201_000, date(2027, 1, 1))


@given(st.floats(-90, 90), st.floats(-179.9, 179.9), st.floats(-400, 9_000))
def test_every_place_is_found_again(latitude: float, longitude: float, height_m: float) -> None:
    said = UbxReader().read(only(sol(TOW_MS, ecef_m(latitude, longitude, height_m))))
    assert isinstance(said, Statement)
    assert said.latitude == pytest.approx(latitude, abs=3e-7)
    if abs(latitude) < 60:
        assert said.longitude == pytest.approx(longitude, abs=3e-7)


@pytest.mark.parametrize(
    ("ecef", "flags"), [((0.0, 0.0, 0.0), 13), ((9e6, 9e6, 9e6), 13), (BEND_M, 12)]
)
def test_what_is_no_place_on_earth(ecef: tuple[float, float, float], flags: int) -> None:
    said = UbxReader().read(only(sol(TOW_MS, ecef, flags=flags)))
    assert isinstance(said, Statement)
    assert (said.fix, said.latitude, said.dimension) == (False, None, 1)


@pytest.mark.parametrize(
    ("data", "want"),
    [
        (mon_hw(2, 1, 51), Condition("ok", "ok", 20.0)),
        (mon_hw(4, 2, 255), Condition("open", "warning", 100.0)),
        (mon_hw(3, 3, 0), Condition("short", "critical", 0.0)),
        (mon_hw(1, 0, 0), Condition("unknown", "unknown", 0.0)),
        (mon_hw(9, 0, 0), Condition("unknown", "unknown", 0.0)),
        (mon_rf((2, 1, 0), (4, 1, 51)), Condition("open", "ok", 20.0)),  # the worst counts
        (mon_rf((2, 3, 102), (2, 0, 51)), Condition("ok", "critical", 40.0)),
        (mon_rf(), None),
        (esf_status(1), Condition(fusion="fusion")),
        (esf_status(3), Condition(fusion="disabled")),
        (
            nav_sat((0, 5, 40), (2, 5, 0), (6, 3, 35)),
            Listing("U", True, 3, {("GP", 5): 40.0, ("GA", 5): None, ("GL", 3): 35.0}),
        ),
    ],
)
def test_the_receiver_itself(data: bytes, want: object) -> None:
    assert UbxReader().read(only(data)) == want


@pytest.mark.parametrize("data", [pvt(5, PLACE), sol(TOW_MS, BEND_M), mon_hw(2, 1, 0)])
def test_a_payload_that_is_too_short_states_nothing(data: bytes) -> None:
    whole = only(data)
    for length in range(len(whole.payload) - 8 if whole.message_id == 7 else len(whole.payload)):
        cut = frame(whole.class_id, whole.message_id, whole.payload[:length])
        assert UbxReader().read(only(cut)) is None


def test_a_list_that_counts_more_than_it_holds_states_nothing() -> None:
    whole = only(nav_sat((0, 5, 40))).payload
    assert UbxReader().read(only(frame(1, 0x35, whole[:5] + b"\xff" + whole[6:]))) is None
    whole = only(mon_rf((2, 1, 0))).payload
    assert UbxReader().read(only(frame(10, 0x38, whole[:1] + b"\x02" + whole[2:]))) is None


@given(
    st.sampled_from([(1, 7), (1, 6), (1, 0x20), (1, 4), (1, 0x35), (1, 0x30), (10, 9), (10, 0x38)]),
    st.binary(max_size=400),
)
def test_any_payload_gives_a_statement_or_nothing(key: tuple[int, int], payload: bytes) -> None:
    decoder = FixDecoder()
    for fix in [*decoder.feed(frame(*key, payload), 0), *decoder.quiet()]:
        assert fix.latitude is None or abs(fix.latitude) <= 90
        assert fix.longitude is None or abs(fix.longitude) <= 180


def pieces(*chunks: bytes) -> list[object]:
    reader = LineReader()
    found = [piece for chunk in chunks for piece in reader.feed(chunk, 0)]
    return [p.body if isinstance(p, Sentence) else p.payload for p in (*found, *reader.quiet())]


def test_framing(nmea: Nmea) -> None:
    data, line = frame(1, 2, b"$GPRMC\xb5\x62"), nmea("GPTXT,x")
    assert pieces(data + line + data) == [b"$GPRMC\xb5\x62", "GPTXT,x", b"$GPRMC\xb5\x62"]
    assert pieces(data[:-1] + b"\x00" + line) == ["GPTXT,x"]  # a wrong sum
    assert pieces(b"\xb5" + data + b"\xb5") == [b"$GPRMC\xb5\x62"]
    assert pieces(b"\xb5\x62\x01\x07\xff\xff" + line) == ["GPTXT,x"]  # longer than any
    assert pieces(frame(1, 2, nmea("GPTXT,inside"))) == [nmea("GPTXT,inside")]
    # A frame that never ends hides what comes after it only as long as the line is busy.
    assert pieces(b"\xb5\x62\x01\x07\x00\x10" + line) == ["GPTXT,x"]


@given(
    st.lists(
        st.one_of(
            st.just(pvt(5, PLACE)),
            st.just(b"$GPTXT,x*59\r\n"),
            st.binary(max_size=20),
            st.sampled_from([b"\xb5", b"\xb5\x62", b"$", b"\xb5\x62\x01\x07\x02\x00"]),
        ),
        max_size=8,
    ).map(b"".join),
    st.lists(st.integers(0, 900), max_size=12),
)
def test_any_split_gives_the_same(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert pieces(*(data[a:b] for a, b in pairwise(edges))) == pieces(data)


def test_what_is_held_back_is_bounded() -> None:
    reader = LineReader()
    for _ in range(100):
        reader.feed(b"\xb5\x62\x01\x07\x00\x10" + bytes(500), 0)
        assert len(reader._held) <= MAX_PAYLOAD + 8


@pytest.mark.parametrize(("protocol", "want"), [("auto", 1), ("nmea", 1), ("ubx", 1)])
def test_one_epoch_of_both_protocols_is_one_fix(nmea: Nmea, protocol: str, want: int) -> None:
    body = "GNRMC,120005.00,A,4404.10000,N,12118.80000,W,10.00,90.0,010127,,,A,V"
    decoder = FixDecoder(protocol)  # type: ignore[arg-type]
    fixes = decoder.feed(pvt(5, PLACE) + nmea(body) + mon_hw(4, 2, 255), 0) + decoder.quiet()
    assert len(fixes) == want
    assert (fixes[0].altitude_m is None) == (protocol == "nmea")
    assert decoder.condition_news == (protocol != "nmea")
