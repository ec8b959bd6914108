"""Epochs: which sentences make one fix, when it is complete, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sdk import State
from drivers.gnss_nmea0183.epoch import Fix
from drivers.gnss_nmea0183.fix import REPEATS_MAX, UNSTATED_MAX, FixDecoder
from drivers.gnss_nmea0183.signals import FIX, FIX_TYPE
from drivers.gnss_nmea0183.values import values_of

Nmea = Callable[..., bytes]

MS_2024_01_01 = 1_704_067_200_000
NOON_MS = 43_200_000
AT = "4404.10000,N,12118.80000,W"


def rmc(time: str, date: str = "010124", status: str = "A", mode: str = "A") -> str:
    return f"GNRMC,{time},{status},{AT},10.00,90.0,{date},,,{mode},V"


def gga(time: str, quality: int = 1, satellites: int = 12) -> str:
    return f"GNGGA,{time},{AT},{quality},{satellites:02d},0.80,1100.5,M,-21.0,M,,"


def gsa(dimension: int, talker: str = "GN") -> str:
    return f"{talker}GSA,A,{dimension},,,,,,,,,,,,,1.7,0.9,1.4,1"


def gll(time: str, status: str = "A") -> str:
    return f"GNGLL,{AT},{time},{status},A"


def zda(time: str, date: str = "01,01,2024") -> str:
    return f"GNZDA,{time},{date},00,00"


def fixes(*pieces: bytes | None) -> list[Fix]:
    """All fixes of the pieces, None meaning that the line is quiet, which it also is at the end."""
    decoder = FixDecoder()
    got: list[Fix] = []
    for number, piece in enumerate((*pieces, None)):
        got.extend(decoder.quiet() if piece is None else decoder.feed(piece, number * 1000))
    return got


WHOLE = {
    "mode": 3,
    "utc_ms": MS_2024_01_01 + NOON_MS,
    "utc_proven": True,
    "latitude": 44.0683333,
    "longitude": -121.3133333,
    "altitude_m": 1100.5,
    "speed_kmh": 18.52,
    "heading": 90.0,
    "satellites": 12,
    "hdop": 0.8,
}


@pytest.mark.parametrize(
    "bodies",
    [
        (rmc("120000.00"), gga("120000.00"), gsa(3)),
        (gga("120000.00"), gsa(3), rmc("120000.00")),
        (gsa(3), gga("120000.00"), rmc("120000.00"), zda("120000.00"), gll("120000.00")),
        (gll("120000.003"), gga("120000.00"), rmc("120000.00")),  # eXplorist 210
        (zda("120000.00"), rmc("120000.00"), gga("120000.00")),
        (gga("120000.00"), "GNVTG,90.0,T,,M,10.00,N,18.52,K,A", zda("120000.00"), gsa(3)),
    ],
)
def test_the_order_of_the_sentences_does_not_matter(nmea: Nmea, bodies: tuple[str, ...]) -> None:
    (fix,) = fixes(nmea(*bodies))
    assert {name: getattr(fix, name) for name in WHOLE} == WHOLE


def test_an_epoch_ends_where_the_time_changes(nmea: Nmea) -> None:
    burst = [nmea(rmc(f"12000{s}.00"), gga(f"12000{s}.00"), gsa(3)) for s in range(3)]
    got = fixes(b"".join(burst))
    assert [fix.utc_ms for fix in got] == [MS_2024_01_01 + NOON_MS + s * 1000 for s in range(3)]
    assert [fix.mode for fix in got] == [3, 3, 3]


def test_an_epoch_ends_where_the_line_is_quiet_and_is_given_once(nmea: Nmea) -> None:
    got = fixes(nmea(rmc("120000"), gga("120000")), None, nmea(gll("120000")), None)
    assert len(got) == 1
    got = fixes(nmea(rmc("120000")), None, nmea(gga("120000"), gsa(3), rmc("120001")))
    assert [(fix.utc_ms or 0) % 60_000 for fix in got] == [0, 1000]


def test_a_late_sentence_does_not_tear_the_next_epoch(nmea: Nmea) -> None:
    late = nmea(rmc("120000"), gga("120000")) + nmea(
        rmc("120001"), gll("120000"), gga("120001"), rmc("120002")
    )
    got = fixes(late)
    assert [((fix.utc_ms or 0) % 60_000, fix.satellites) for fix in got] == [
        (0, 12),
        (1000, 12),
        (2000, None),
    ]


def test_the_stamp_is_that_of_the_first_byte_of_the_burst(nmea: Nmea) -> None:
    first, second = nmea(rmc("120000"), gga("120000")), nmea(rmc("120001"), gga("120001"))
    decoder = FixDecoder()
    assert decoder.feed(nmea("GPGSV,1,1,00"), 100) == []
    decoder.feed(first[:10], 110)
    decoder.feed(first[10:], 120)
    (fix,) = decoder.quiet()
    assert fix.at == 100
    # Bursts without a pause between them: the stamp of the sentence that opens the epoch.
    decoder.feed(second[:10], 200)
    (fix,) = decoder.feed(second[10:] + nmea(rmc("120002"))[:9], 210) or decoder.quiet()
    assert fix.at == 200


@pytest.mark.parametrize(
    "bodies",
    [
        (rmc("120000", status="V", mode="N"), gga("120000", quality=0)),
        ("GNRMC,,V,,,,,,,,,,N", "GNGGA,,,,,,0,,,,,,,,", gsa(1)),
        (rmc("120000", status="V"), gga("120000")),  # outside the receiver's limits
        (rmc("120000"), gga("120000", quality=0)),
        (rmc("120000"), gga("120000"), gsa(1)),
        (gga("120000", satellites=0), zda("120000")),  # an old position, no satellite
        (rmc("120000", mode="N"),),
        (gll("120000", status="V"),),
        ("GNGNS,120000,,,,,NNN,,,,,,",),
    ],
)
def test_no_fix_is_a_state(nmea: Nmea, bodies: tuple[str, ...]) -> None:
    (fix,) = fixes(nmea(*bodies))
    assert (fix.mode, fix.latitude, fix.longitude, fix.altitude_m) == (1, None, None, None)
    assert (fix.speed_kmh, fix.heading) == (None, None)
    values, states = values_of(fix)
    assert values[FIX_TYPE] == "NONE"
    assert set(states.values()) == {State.NOT_AVAILABLE}
    assert len(states) == 5
    assert not states.keys() & values.keys()


@pytest.mark.parametrize(
    ("bodies", "mode", "word"),
    [
        ((rmc("120000"), gga("120000"), gsa(2)), 2, "TWO_D"),
        ((rmc("120000"), gga("120000"), gsa(3)), 3, "THREE_D"),
        ((rmc("120000"), gga("120000")), 3, "THREE_D"),
        ((gga("120000", satellites=0), gsa(3)), 3, "THREE_D"),  # GSA vouches for it
        ((gga("120000"), gsa(1, "GP"), gsa(3, "GL")), 3, "THREE_D"),  # one constellation fixes
        ((gga("120000"), gsa(3, "GL"), gsa(1, "GP")), 3, "THREE_D"),
        (("GPGGA,120000,,,,,0,,,,,,,,", "GLGGA,120000," + AT + ",1,04,1,9,M,,M,,"), 3, "THREE_D"),
        (("GLGGA,120000," + AT + ",1,04,1,9,M,,M,,", "GPGGA,120000,,,,,0,,,,,,,,"), 3, "THREE_D"),
        ((gga("120000", quality=4), gsa(3)), 3, "THREE_D_GROUND_BASED_AUGMENTATION"),
        ((gga("120000", quality=2), gsa(3)), 3, "THREE_D"),
        ((gga("120000", quality=6, satellites=0), gsa(2)), 2, "TWO_D"),  # dead reckoning
    ],
)
def test_dimensions(nmea: Nmea, bodies: tuple[str, ...], mode: int, word: str) -> None:
    (fix,) = fixes(nmea(*bodies))
    assert (fix.mode, values_of(fix)[0][FIX_TYPE]) == (mode, word)


def test_what_gsa_said_stays_true_as_long_as_the_fix_is_held(nmea: Nmea) -> None:
    got = fixes(
        nmea(rmc("120000"), gga("120000"), gsa(2)),
        nmea(rmc("120001"), gga("120001")),
        nmea(rmc("120002")),
        nmea(rmc("120003", status="V")),
        nmea(rmc("120004"), gga("120004")),
    )
    assert [fix.mode for fix in got] == [2, 2, 2, 1, 3]


def test_a_lone_rmc_claims_no_dimension_but_many_do(nmea: Nmea) -> None:
    got = fixes(nmea(*(rmc(f"1200{s:02d}") for s in range(UNSTATED_MAX + 1))))
    words = [values_of(fix)[0].get(FIX_TYPE) for fix in got]
    assert words == [None] * UNSTATED_MAX + ["TWO_D"]
    assert all(fix.mode == 2 for fix in got)


def test_without_a_date_there_is_no_utc(nmea: Nmea) -> None:
    (fix,) = fixes(nmea(gga("120000")))
    assert fix.utc_ms is None
    assert not fix.utc_proven


@pytest.mark.parametrize(
    ("bodies", "seconds"),
    [
        # A date serves the epochs after it, over midnight too, until there is a gap.
        ((rmc("120000"), gga("120001")), [NOON_MS // 1000, NOON_MS // 1000 + 1]),
        ((rmc("235959"), gga("000000"), gga("000001")), [86_399, 86_400, 86_401]),
        ((rmc("120000"), gga("130001")), [NOON_MS // 1000, None]),
        ((rmc("120000"), gga("115900")), [NOON_MS // 1000, None]),
        # A leap second: it is the one after 23:59:59, and so is the midnight after it.
        ((rmc("235959"), rmc("235960"), rmc("000000", "020124")), [86_399, 86_400, 86_400]),
        # ZDA with a time of its own (AC12) still brings the date.
        ((zda("120001"), gga("120000")), [NOON_MS // 1000]),
        ((zda("000000"), gga("235959")), [-1]),
    ],
)
def test_utc(nmea: Nmea, bodies: tuple[str, ...], seconds: list[int | None]) -> None:
    got = [None if f.utc_ms is None else f.utc_ms - MS_2024_01_01 for f in fixes(nmea(*bodies))]
    assert got == [None if s is None else s * 1000 for s in seconds]


def test_utc_is_stated_once_a_fix_stood_behind_it(nmea: Nmea) -> None:
    lost, found = gga("120001", quality=0), rmc("120002")
    got = fixes(
        nmea(zda("120001"), lost),
        nmea(zda("120002"), found),
        nmea(zda("120003"), gga("120003", quality=0)),
        nmea(zda("120004", "07,04,2019"), gga("120004", quality=0)),  # the receiver's clock jumps
    )
    assert [fix.utc_proven for fix in got] == [False, True, True, False]


def test_a_receiver_that_gives_no_time_without_a_fix(nmea: Nmea) -> None:
    burst = nmea("GPGGA,,,,,,0,,,,M,,M,,", "GPVTG,,T,,M,,N,,K,N")
    assert [fix.mode for fix in fixes(burst * 3)] == [1, 1, 1]
    assert [fix.mode for fix in fixes(burst, None, burst, None)] == [1, 1]


@pytest.mark.parametrize(
    ("stated", "satellites"),
    [(12, 14), (9, 9), (None, 14)],  # some stop counting at 12, some do not count
)
def test_satellites_of_several_lists_are_united(
    nmea: Nmea, stated: int | None, satellites: int
) -> None:
    counted = gga("120000", satellites=stated) if stated else gll("120000")
    gps = "GNGSA,A,3," + ",".join(f"{n:02d}" for n in range(1, 11)) + ",,,1.7,0.9,1.4,1"
    glonass = "GNGSA,A,2,65,66,67,68,,,,,,,,,1.7,0.9,1.4,2"
    again = "GNGSA,A,1,01,02,03,,,,,,,,,,1.7,0.9,1.4,1"
    (fix,) = fixes(nmea(counted, gps, glonass, again))
    assert (fix.mode, fix.satellites) == (3, satellites)


def test_two_receivers_on_one_line_take_turns(nmea: Nmea) -> None:
    """What one says while the other's epoch is open belongs to its own last fix."""
    got = fixes(
        nmea(
            *(rmc("120000.00"), rmc("120000.50"), gga("120000.00"), gga("120000.50")),
            *(rmc("120001.00"), gga("120000.00"), gga("120001.00")),
        )
    )
    assert [(fix.utc_ms or 0) % 60_000 for fix in got] == [0, 500, 1000]


def test_a_clock_that_stands_still_is_no_fix(nmea: Nmea) -> None:
    burst = nmea(rmc("120000"), gga("120000"))
    pieces: list[bytes | None] = [burst, None] * (REPEATS_MAX + 3)
    assert [fix.mode for fix in fixes(*pieces)] == [3, 1, 1, 1]


def test_sentences_without_a_position_are_no_epoch(nmea: Nmea) -> None:
    assert fixes(nmea(gsa(3), zda("120000"), "GPVTG,1.0,T,,M,2.0,N,3.7,K,A"), None) == []


def test_reset_forgets_all_but_the_counters(nmea: Nmea) -> None:
    decoder = FixDecoder()
    decoder.feed(nmea(rmc("120000")) + b"$GNGGA,1200", 1)
    decoder.reset()
    decoder.feed(nmea(gga("120000")), 2)
    (fix,) = decoder.quiet()
    assert (fix.at, fix.utc_ms, fix.speed_kmh) == (2, None, None)
    assert decoder.sentences_read == 2


STREAM = st.lists(
    st.one_of(
        st.builds(rmc, st.sampled_from(["120000", "120001", "", "235960"])),
        st.builds(gga, st.sampled_from(["120000", "120001", ""]), st.integers(0, 6)),
        st.builds(gsa, st.integers(1, 3)),
        st.builds(zda, st.sampled_from(["120001", "235959"])),
        st.builds(gll, st.sampled_from(["120001", ""])),
    ),
    max_size=10,
)


@given(STREAM, st.binary(max_size=30), st.lists(st.integers(0, 900), max_size=8))
def test_any_split_gives_the_same_fixes(
    nmea: Nmea, bodies: list[str], noise: bytes, cuts: list[int]
) -> None:
    data = noise.join(nmea(body) for body in bodies)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    whole, split = FixDecoder(), FixDecoder()
    want = [*whole.feed(data, 0), *whole.quiet()]
    got = [fix for a, b in pairwise(edges) for fix in split.feed(data[a:b], 0)]
    assert [*got, *split.quiet()] == want
    assert split.sentences_rejected == whole.sentences_rejected


@given(st.lists(st.one_of(st.none(), st.binary(max_size=200)), max_size=20), STREAM)
def test_any_bytes_give_fixes_of_declared_signals(
    nmea: Nmea, pieces: list[bytes | None], bodies: list[str]
) -> None:
    for fix in fixes(*pieces, nmea(*bodies), *pieces):
        values, states = values_of(fix)
        assert values.keys() | states.keys() <= FIX.index.keys()
        assert not values.keys() & states.keys()
        for signal in FIX.signals:
            value = values.get(signal.path)
            if isinstance(value, float | int):
                assert signal.minimum is None or value >= signal.minimum
                assert signal.maximum is None or value <= signal.maximum
