"""Satellites in view, and texts about the antenna."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.gnss_nmea0183.condition import Condition, parse_txt
from drivers.gnss_nmea0183.sky import EPOCHS_KEPT, Sky, constellation, parse_gsv


def seen(*bodies: str) -> tuple[int | None, float | None]:
    sky = Sky()
    for body in bodies:
        listing = parse_gsv(body)
        assert listing is not None, body
        sky.take(listing)
    return sky.in_view(), sky.strength()


@pytest.mark.parametrize(
    ("bodies", "in_view", "strength"),
    [
        (("GPGSV,1,1,00",), 0, None),
        (("GPGSV,1,1,02,05,45,180,40,07,30,090,",), 2, 10.0),  # three are missing
        (
            (
                "GPGSV,2,1,06,01,40,083,46,02,17,308,41,12,07,344,39,14,22,228,45",
                "GPGSV,2,2,06,15,10,010,50,16,05,020,",
            ),
            *(6, 45.5),
        ),
        (  # constellations are added up
            ("GPGSV,1,1,01,05,45,180,40", "GLGSV,1,1,01,65,45,180,30", "GAGSV,1,1,01,05,45,180,30"),
            *(3, 25.0),
        ),
        (  # signals of one constellation (NMEA 4.1) are not, and the stronger counts
            ("GPGSV,1,1,02,05,45,180,40,07,45,180,20,1", "GPGSV,1,1,01,05,45,180,44,6"),
            *(2, 16.0),
        ),
        (("BDGSV,1,1,01,05,45,180,40", "GBGSV,1,1,01,05,45,180,40"), 1, 10.0),  # one by two names
        (  # a new list takes the place of the old one
            ("GPGSV,1,1,02,05,45,180,40,07,45,180,20", "GPGSV,1,1,01,09,45,180,44"),
            *(1, 11.0),
        ),
        (  # GLONASS and SBAS under GP by their numbers
            ("GPGSV,1,1,03,05,45,180,40,66,45,180,40,33,45,180,40",),
            *(3, 30.0),
        ),
        (("GPGSV,3,2,10,77,27,203,36,71,20,036,34",), 10, 17.5),  # the middle alone
    ],
)
def test_lists(bodies: tuple[str, ...], in_view: int, strength: float | None) -> None:
    assert seen(*bodies) == (in_view, strength)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "GPGSV",
        "GPGSV,",
        "GPGSV,1,1",
        "GPGSV,a,1,01",
        "GPGSV,1,1,x",
        "XGPGSV,1,1,01",
        "PXGSV,1,1,01",
        "GPGSA,1,1,01",
    ],
)
def test_what_is_no_list(body: str) -> None:
    assert parse_gsv(body) is None


@pytest.mark.parametrize(
    ("talker", "system", "number", "name"),
    [
        ("GP", "", 5, "GP"),
        ("GN", "", 70, "GL"),
        ("GN", "", 33, "SB"),
        ("GN", "", 193, "GQ"),
        ("GN", "", 301, "GA"),
        ("GN", "4", 5, "GB"),
        ("GN", "1", 70, "GP"),
        ("GL", "", 5, "GL"),
        ("BD", "", 5, "GB"),
        ("QZ", "", 1, "GQ"),
        ("PQ", "", 5, "PQ"),
    ],
)
def test_constellations(talker: str, system: str, number: int, name: str) -> None:
    assert constellation(talker, system, number) == name


def test_what_is_no_longer_listed_is_out_of_view() -> None:
    sky = Sky()
    for body in ("GPGSV,1,1,01,05,45,180,40", "GLGSV,1,1,01,65,45,180,30"):
        listing = parse_gsv(body)
        assert listing is not None
        sky.take(listing)
    for _ in range(EPOCHS_KEPT + 1):
        listing = parse_gsv("GPGSV,1,1,01,05,45,180,40")
        assert listing is not None
        sky.take(listing)
        sky.next_epoch()
    assert sky.in_view() == 1


@given(st.lists(st.text("0123456789,GPLANSV", max_size=60).map("GPGSV,".__add__), max_size=300))
def test_hostile_lists_are_bounded(bodies: list[str]) -> None:
    sky = Sky()
    for number, body in enumerate(bodies):
        listing = parse_gsv(chr(65 + number % 26) + body[1:])
        if listing is not None:
            sky.take(listing)
    assert (sky.in_view() or 0) <= 255
    assert len(sky._lists) <= 16
    assert all(len(strengths) <= 255 for _, _, strengths in sky._lists.values())


@pytest.mark.parametrize(
    ("body", "want"),
    [
        ("GNTXT,01,01,02,ANTSTATUS=OK", Condition("ok")),
        ("GPTXT,01,01,02,ANTSTATUS=OPEN", Condition("open")),
        ("GPTXT,01,01,02,ANTSTATUS=SHORT", Condition("short")),
        ("GPTXT,01,01,02,ANTSTATUS=INIT", Condition("unknown")),
        ("GPTXT,01,01,02,ANTSTATUS=DONTKNOW", Condition("unknown")),
        ("GNTXT,01,01,01,ANTENNA OK", Condition("ok")),
        ("GPTXT,01,01,01,ANTENNA OPEN", Condition("open")),
        ("GPTXT,01,01,02,ANTSUPERV=AC SD PDoS SR", None),
        ("GPTXT,01,01,02,OKAY", None),
        ("PMTXT,01,01,02,ANTSTATUS=OK", None),
        ("GPGSV,01,01,02,ANTSTATUS=OK", None),
        ("", None),
    ],
)
def test_antenna_texts(body: str, want: Condition | None) -> None:
    assert parse_txt(body) == want
