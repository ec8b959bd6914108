"""The receiver's sentences, read back by a decoder of the test's own."""

from functools import reduce
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.emission import NO_FAULTS, ActiveFaults, Emission, Scalar
from simulator.gnss_receiver import angle, has_valid_sentence, sentence
from simulator.vehicle import Vehicle

TUNNEL: ActiveFaults = frozenset({("tunnel", "gnss")})
GARBAGE: ActiveFaults = frozenset({("gnss_garbage", "gnss")})


def bursts(seed: int, seconds: int, faults: ActiveFaults = NO_FAULTS) -> list[Emission]:
    return Vehicle(seed, sources=("gnss",)).advance(seconds, faults)


def sentences(data: bytes) -> list[list[str]]:
    """Fields of all lines that are a `$...*hh` with a right checksum."""
    found = []
    for line in data.split(b"\r\n"):
        body, star, checksum = line[1:].partition(b"*")
        if line[:1] == b"$" and star and f"{reduce(xor, body, 0):02X}".encode() == checksum:
            found.append(body.decode("ascii").split(","))
    return found


def degrees(text: str, hemisphere: str) -> float:
    point = text.index(".")
    value = round(int(text[: point - 2]) + float(text[point - 2 :]) / 60, 7)
    return -value if hemisphere in "SW" else value


def decoded(data: bytes) -> dict[str, Scalar]:
    """The signals of one burst, by the published layout of each sentence."""
    got: dict[str, Scalar] = {}
    for fields in sentences(data):
        match fields[0][2:]:
            case "RMC":
                if fields[2] != "A":
                    continue
                got["Vehicle.CurrentLocation.Latitude"] = degrees(fields[3], fields[4])
                got["Vehicle.CurrentLocation.Longitude"] = degrees(fields[5], fields[6])
                got["Vehicle.Bus.Gnss.Speed"] = round(float(fields[7]) * 1.852, 3)
                if fields[8]:
                    got["Vehicle.CurrentLocation.Heading"] = float(fields[8])
            case "GGA":
                if fields[6] != "0":
                    got["Vehicle.CurrentLocation.Altitude"] = float(fields[9])
                    got["Vehicle.Bus.Gnss.Satellites"] = int(fields[7])
                    got["Vehicle.Bus.Gnss.Hdop"] = float(fields[8])
            case "GSA":
                words = {"1": "NONE", "2": "TWO_D", "3": "THREE_D"}
                got["Vehicle.CurrentLocation.GNSSReceiver.FixType"] = words[fields[2]]
            case "ZDA":
                if fields[1]:
                    from datetime import UTC, datetime

                    at = datetime.strptime(
                        "".join(fields[2:5]) + fields[1], "%d%m%Y%H%M%S.%f"
                    ).replace(tzinfo=UTC)
                    got["Vehicle.Bus.Utc"] = int(at.timestamp()) * 1000
    return got


@pytest.mark.parametrize("seed", [0, 7, 12])
def test_writings_are_what_the_bytes_say(seed: int) -> None:
    got = bursts(seed, 120)
    assert len(got) == 120
    for burst in got:
        assert decoded(burst.data) == dict(burst.writings)
        assert burst.fix


def test_a_burst_is_six_good_sentences_within_a_second_of_wire() -> None:
    for burst in bursts(3, 60):
        assert [fields[0] for fields in sentences(burst.data)] == [
            "GNRMC",
            "GNVTG",
            "GNGGA",
            "GNGSA",
            "GNGSA",
            "GNZDA",
        ]
        assert len(burst.data) < 700
        assert max(len(line) for line in burst.data.splitlines(keepends=True)) <= 82


def test_all_sentences_of_a_burst_agree() -> None:
    for burst in bursts(7, 90):
        rmc, vtg, gga, gsa, _, zda = sentences(burst.data)
        assert rmc[3:7] == gga[2:6]
        assert rmc[1] == gga[1] == zda[1]
        assert rmc[8] == vtg[1]
        assert float(vtg[7]) == round(float(rmc[7]) * 1.852, 3)
        assert rmc[9] == f"{zda[2]}{zda[3]}{zda[4][2:]}"
        assert gsa[16] == gga[8]
        used = sum(bool(f) for s in sentences(burst.data)[3:5] for f in s[3:15])
        assert used == int(gga[7])


def test_utc_is_the_world_s_and_rises_by_a_second() -> None:
    vehicle = Vehicle(9, sources=("gnss",))
    got = [dict(b.writings)["Vehicle.Bus.Utc"] for b in vehicle.advance(30, NO_FAULTS)]
    assert got == [vehicle.world.utc_start_ms + 1000 * i for i in range(30)]


def test_standing_states_no_course_and_driving_does() -> None:
    stated = ["Vehicle.CurrentLocation.Heading" in dict(b.writings) for b in bursts(7, 40)]
    assert not any(stated[:12]) and all(stated[16:30])


def test_a_tunnel_says_no_fix_and_nothing_else() -> None:
    for burst in bursts(7, 10, TUNNEL):
        assert (
            dict(burst.writings)
            == {"Vehicle.CurrentLocation.GNSSReceiver.FixType": "NONE"}
            == decoded(burst.data)
        )
        assert not burst.fix
        assert len(sentences(burst.data)) == 6


def test_the_world_goes_on_in_a_tunnel() -> None:
    def position(through: ActiveFaults) -> Scalar:
        vehicle = Vehicle(7, sources=("gnss",))
        vehicle.advance(20, NO_FAULTS)
        vehicle.advance(30, through)
        return vehicle.advance(31, NO_FAULTS)[0].data

    assert position(TUNNEL) == position(NO_FAULTS)


@pytest.mark.parametrize("seed", range(4))
def test_garbage_leaves_a_burst_whole_or_leaves_nothing(seed: int) -> None:
    clean = bursts(seed, 80)
    garbage = bursts(seed, 80, GARBAGE)
    whole = [b for b in garbage if b.writings]
    assert 15 < len(whole) < 65
    for burst, before in zip(garbage, clean, strict=True):
        assert burst.data != before.data
        assert len(burst.data) < 960
        if burst.writings:
            assert burst.writings == before.writings and burst.fix
            assert decoded(burst.data) == dict(burst.writings)
            assert sentences(burst.data) == sentences(before.data)
        else:
            assert not burst.fix
            assert not has_valid_sentence(burst.data)
            assert sentences(burst.data) == []


def test_garbage_in_a_tunnel_is_no_fix_either() -> None:
    both = TUNNEL | GARBAGE
    assert not any(burst.fix for burst in bursts(1, 30, both))


@given(st.binary(max_size=300), st.text("ABCDEFG0123456789,.", max_size=30))
def test_a_hidden_sentence_is_found(around: bytes, body: str) -> None:
    middle = len(around) // 2
    hidden = around[:middle].replace(b"$", b"") + sentence(body) + around[middle:]
    assert has_valid_sentence(hidden)


@given(st.floats(-180, 180, allow_nan=False))
def test_an_angle_keeps_centimetres(value: float) -> None:
    text, stated = angle(value, 3)
    assert abs(stated - abs(value)) < 2e-7
    assert len(text) == 11 and float(text[3:]) < 60
    assert stated == abs(degrees(text, "E"))
