"""One sentence at a time: fields, units, what is empty, what is wrong."""

from __future__ import annotations

import math
from dataclasses import fields
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.gnss_nmea0183.statements import Statement, parse

DAY_MS = 86_400_000


def said(body: str) -> dict[str, object]:
    """What `body` states, without what it leaves open."""
    statement = parse(body)
    assert statement is not None
    empty = {f.name: f.default for f in fields(Statement)}
    names = [f.name for f in fields(Statement) if f.name not in ("talker", "kind")]
    return {
        name: getattr(statement, name) for name in names if getattr(statement, name) != empty[name]
    }


@pytest.mark.parametrize(
    ("body", "want"),
    [
        (
            "GPRMC,030719.000,A,3747.0873,S,17518.8938,E,0.69,181.39,311214,,,A",
            {
                "time_ms": 11_239_000,
                "date": date(2014, 12, 31),
                "fix": True,
                "latitude": -37.7847883,
                "longitude": 175.3148967,
                "speed_kmh": 1.278,
                "heading": 181.39,
            },
        ),
        # No mode letter (before NMEA 2.3), no course while standing.
        (
            "GPRMC,142216,A,3348.452,N,11821.143,W,000.0,,081002,013.8,E",
            {
                "time_ms": 51_736_000,
                "date": date(2002, 10, 8),
                "fix": True,
                "latitude": 33.8075333,
                "longitude": -118.3523833,
                "speed_kmh": 0.0,
            },
        ),
        # V: no position, no date, whatever the fields hold.
        (
            "GPRMC,175740,V,5125.8697,N,00524.2288,E,2.5365,244.610,200610,,",
            {"time_ms": 64_660_000, "fix": False},
        ),
        ("GPRMC,,V,,,,,,,,,,N", {"fix": False}),
        # A, but the mode says no fix.
        (
            "GNRMC,120000.00,A,4404.1,N,12118.8,W,1.0,2.0,010124,,,N,V",
            {"time_ms": 43_200_000, "date": date(2024, 1, 1), "fix": False},
        ),
        # RTK; the navigational status V of u-blox is no objection.
        (
            "GNRMC,120000.00,A,0000.0000,N,00000.0000,E,,,010124,,,R,V",
            {
                "time_ms": 43_200_000,
                "date": date(2024, 1, 1),
                "fix": True,
                "latitude": 0.0,
                "longitude": 0.0,
                "rtk": True,
            },
        ),
        (
            "GPGGA,030719.000,3747.0873,S,17518.8938,E,1,08,1.1,59.9,M,23.7,M,,0000",
            {
                "time_ms": 11_239_000,
                "fix": True,
                "latitude": -37.7847883,
                "longitude": 175.3148967,
                "altitude_m": 59.9,
                "satellites": 8,
                "hdop": 1.1,
            },
        ),
        (
            "GPGGA,000452.981,0000.0000,N,00000.0000,E,0,00,50.0,0.0,M,0.0,M,0.0,0000",
            {"time_ms": 292_981, "fix": False, "satellites": 0, "hdop": 50.0},
        ),
        ("GPGGA,,,,,,0,,,,M,,M,,", {"fix": False}),
        (
            "GPGGA,191418.00,,,,,0,00,99.99,,,,,,",
            {"time_ms": 69_258_000, "fix": False, "satellites": 0},
        ),
        # An old position that no satellite stands behind.
        (
            "GPGGA,194050.00,4221.8237733,N,07101.9411707,W,1,00,3.3,10.835,M,-33.320,M,,",
            {
                "time_ms": 70_850_000,
                "fix": True,
                "latitude": 42.3637296,
                "longitude": -71.0323528,
                "altitude_m": 10.835,
                "satellites": 0,
                "hdop": 3.3,
                "doubtful": True,
            },
        ),
        # Dead reckoning needs none.
        (
            "GNGGA,120000.00,4221.8,N,07101.9,W,6,00,,10.8,M,,M,,",
            {
                "time_ms": 43_200_000,
                "fix": True,
                "latitude": 42.3633333,
                "longitude": -71.0316667,
                "altitude_m": 10.8,
                "satellites": 0,
                "reckoned": True,
            },
        ),
        (
            "GNGNS,053232.438,3114.8789,N,12135.2442,E,ANNA,07,1.2,153.8,8.3,,0000",
            {
                "time_ms": 19_952_438,
                "fix": True,
                "latitude": 31.2479817,
                "longitude": 121.5874033,
                "altitude_m": 153.8,
                "satellites": 7,
                "hdop": 1.2,
            },
        ),
        ("GNGNS,191434.96,,,,,NNN,,,,,,", {"time_ms": 69_274_960, "fix": False}),
        (
            "GPGLL,3908.8199,N,00023.0832,W,120824.758,A",
            {"time_ms": 43_704_758, "fix": True, "latitude": 39.1469983, "longitude": -0.38472},
        ),
        ("GPGLL,36000.0000,N,72000.0000,E,000452.981,V", {"time_ms": 292_981, "fix": False}),
        ("GPGLL,3908.8,N,00023.0,W,120824,A,N", {"time_ms": 43_704_000, "fix": False}),
        ("GPVTG,87.21,T,,M,0.12,N,0.2,K", {"speed_kmh": 0.222, "heading": 87.21}),
        ("GPVTG,,T,,M,0.031,N,0.058,K,A", {"speed_kmh": 0.057}),
        ("GPVTG,87.21,T,,M,0.12,N,0.2,K,N", {}),
        ("GPVTG,,,,,,,,,N", {}),
        (
            "GPGSA,A,3,17,28,,,,,,,,,,,1.8,1.1,1.5",
            {"dimension": 3, "hdop": 1.1, "used": frozenset({("GP", 17), ("GP", 28)})},
        ),
        (  # NMEA 4.1: the constellation is stated
            "GNGSA,A,3,05,68,,,,,,,,,,,1.05,0.69,0.79,3",
            {"dimension": 3, "hdop": 0.69, "used": frozenset({("GA", 5), ("GA", 68)})},
        ),
        (  # before that the number says it
            "GNGSA,A,3,05,68,,,,,,,,,,,1.05,0.69,0.79",
            {"dimension": 3, "hdop": 0.69, "used": frozenset({("GP", 5), ("GL", 68)})},
        ),
        ("BDGSA,A,2,05,,,,,,,,,,,,,,", {"dimension": 2, "used": frozenset({("GB", 5)})}),
        (  # 24 satellites (CH-4701): the numbers are not where they should be
            "GPGSA,A,3" + ",17" * 24 + ",1.8,1.1,1.5",
            {"dimension": 3},
        ),
        (
            "GPGST,112257.00,0.387,5.0,3.8,1.791,3.0,4.0,9.7",
            {"time_ms": 40_977_000, "accuracy_m": 5.0},
        ),
        ("GPGST,112257.00,,,,,,,", {"time_ms": 40_977_000}),
        (
            "PUBX,00,081350.00,4717.113210,N,00833.915187,E,546.589,G3,2.1,2.0,0.007,77.52,"
            "0.007,,0.92,1.19,0.77,9,0,0",
            {
                "time_ms": 29_630_000,
                "fix": True,
                "latitude": 47.2852202,
                "longitude": 8.5652531,
                "speed_kmh": 0.007,
                "heading": 77.52,
                "satellites": 9,
                "hdop": 0.92,
                "dimension": 3,
                "accuracy_m": 2.1,
            },
        ),
        (
            "PUBX,00,081350.00,4717.113210,N,00833.915187,E,546.589,NF,2.1,2.0,0.0,77.5,0.0,,"
            "9.92,1.19,0.77,0,0,0",
            {"time_ms": 29_630_000, "fix": False, "satellites": 0, "hdop": 9.92, "dimension": 1},
        ),
        (
            "PUBX,04,073731.00,091202,113851.00,1196,15D,1930035,-2660.664,43,",
            {"time_ms": 27_451_000, "date": date(2002, 12, 9), "unresolved": True},
        ),
        (
            "PUBX,04,073731.00,091202,113851.00,1196,15,1930035,-2660.664,43,",
            {"time_ms": 27_451_000, "date": date(2002, 12, 9)},
        ),
        (  # the time is UTC whatever the zone says
            "GPZDA,153347.000,23,04,2010,-05,00",
            {"time_ms": 56_027_000, "date": date(2010, 4, 23)},
        ),
        ("GPGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99", {"dimension": 1}),
        ("GPGSA,A,1,,,,", {"dimension": 1}),  # i.Trek M3
        ("GPGSA,A,E,,,,,,,,,,,,,1.8,1.1,1.5", {"hdop": 1.1}),  # Antaris, dead reckoning
        ("GPZDA,153347.000,23,04,2010,,", {"time_ms": 56_027_000, "date": date(2010, 4, 23)}),
        ("GPZDA,,,,,00,00", {}),
        ("GPZDA,153347.000,31,02,2010,,", {"time_ms": 56_027_000}),
    ],
)
def test_sentence(body: str, want: dict[str, object]) -> None:
    assert said(body) == want


@pytest.mark.parametrize("talker", ["GP", "GN", "GL", "GA", "GB", "BD", "GQ", "QZ", "GI", "PQ"])
def test_all_talkers(talker: str) -> None:
    statement = parse(f"{talker}GSA,A,2,,,,,,,,,,,,,,,")
    assert statement is not None
    assert (statement.talker, statement.kind, statement.dimension) == (talker, "GSA", 2)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "GPGSV,3,1,12",
        "GPTXT,01,01,02,x",
        "PMTK001,604,1",
        "PGRMC,A,218.8,100",
        "PMGSA,A,3",
        "PUBX",
        "PUBX,03,11",
        "PSTMTG,1,2",
        "RMC,1",
        "GPRMC",
        "XGPRMC,1",
    ],
)
def test_other_sentences_state_nothing(body: str) -> None:
    assert parse(body) is None


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("000000", 0),
        ("235959.999", DAY_MS - 1),
        ("235960", DAY_MS),  # a leap second
        ("235960.999", DAY_MS + 999),
        ("115960", None),  # never inserted there
        ("240000", None),
        ("126000", None),
        ("120061", None),
        ("1200", None),
        ("12000a", None),
        ("120000.", 43_200_000),
        ("120000.5", 43_200_500),
        ("120000.99999", 43_200_999),
        ("-10000", None),
        ("", None),
    ],
)
def test_time_of_day(text: str, want: int | None) -> None:
    statement = parse(f"GPGLL,,,,,{text},A")
    assert statement is not None
    assert statement.time_ms == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("311214", date(2014, 12, 31)),
        ("010180", date(1980, 1, 1)),
        ("311279", date(2079, 12, 31)),
        ("31122014", date(2014, 12, 31)),
        ("290224", date(2024, 2, 29)),
        ("290223", None),
        ("000000", None),
        ("01012", None),
        ("", None),
    ],
)
def test_date(text: str, want: date | None) -> None:
    statement = parse(f"GPRMC,120000,A,0000.0,N,00000.0,E,,,{text},,")
    assert statement is not None
    assert statement.date == want


@pytest.mark.parametrize(
    ("latitude", "longitude", "want"),
    [
        ("9000.0000,S", "18000.0000,W", (-90.0, -180.0)),
        ("9000.0001,S", "18000.0000,W", None),
        ("5960.0000,N", "00000.0000,E", None),  # 60 minutes
        ("4404.1271062,N", "12118.8438377,W", (44.0687851, -121.3140640)),
        ("4404,N", "12118,W", (44.0666667, -121.3)),
        ("4404.1,E", "12118.8,W", None),
        ("4404.1,", "12118.8,W", None),
        (",N", "12118.8,W", None),
        ("-404.1,N", "12118.8,W", None),
        ("44o4.1,N", "12118.8,W", None),
    ],
)
def test_position(latitude: str, longitude: str, want: tuple[float, float] | None) -> None:
    statement = parse(f"GPGLL,{latitude},{longitude},120000,A")
    assert statement is not None
    got = (statement.latitude, statement.longitude)
    assert got == (want or (None, None))
    assert statement.fix is (want is not None)


FIELD = st.one_of(
    st.sampled_from(["", "A", "V", "N", "E", "T", "1", "3", "99.99", "120000", "235960", "310699"]),
    st.text(max_size=8),
    st.floats().map(str),
)


@given(
    st.sampled_from(["GPRMC", "GNGGA", "GNGNS", "GPGLL", "GPVTG", "GNGSA", "GPZDA"]),
    st.lists(FIELD, max_size=24),
)
def test_any_fields_give_a_statement_of_plausible_values(address: str, rest: list[str]) -> None:
    statement = parse(",".join([address, *rest, ""]))
    assert statement is not None
    for name, low, high in (
        ("latitude", -90, 90),
        ("longitude", -180, 180),
        ("heading", 0, 360),
        ("speed_kmh", 0, math.inf),
        ("satellites", 0, 99),
        ("time_ms", 0, DAY_MS + 999),
        ("altitude_m", -math.inf, math.inf),
    ):
        value = getattr(statement, name)
        assert value is None or (math.isfinite(value) and low <= value <= high)


@given(st.text(max_size=120))
def test_any_text_is_a_statement_or_none(body: str) -> None:
    parse(body)
