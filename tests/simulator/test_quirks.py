"""Each quirk puts on the bus what it says, and nothing that a reader should see through."""

from __future__ import annotations

from collections import Counter

import pytest

from simulator.emission import NO_FAULTS, Emission
from simulator.quirks import NAMES
from simulator.vehicle import Vehicle
from tests.simulator.test_j1939_bus import frame

TRAVELED = "Vehicle.TraveledDistance"


def bus(*quirks: str, seconds: float = 40) -> list[Emission]:
    return Vehicle(7, sources=("fms",), quirks=quirks).advance(seconds, NO_FAULTS)


def of(emissions: list[Emission], pgn: int, sender: int) -> list[tuple[bytes, Emission]]:
    """Payload and emission of each frame of one sender."""
    found = [(frame(e.data), e) for e in emissions]
    return [(payload, e) for (p, sa, payload), e in found if (p, sa) == (pgn, sender)]


@pytest.mark.parametrize("quirk", NAMES)
def test_a_quirk_changes_the_bus_and_takes_no_writing_away(quirk: str) -> None:
    plain, odd = bus(seconds=12), bus(quirk, seconds=12)
    assert b"".join(e.data for e in plain) != b"".join(e.data for e in odd)
    if quirk in ("zero_fill", "lost_bam_packets"):
        return
    written = Counter((e.at_s, e.data, e.writings) for e in odd if e.writings)
    missing = Counter((e.at_s, e.data, e.writings) for e in plain if e.writings) - written
    assert not missing


def test_all_quirks_at_once_and_the_same_bytes_again() -> None:
    one, other = bus(*NAMES, seconds=20), bus(*reversed(NAMES), seconds=20)
    assert one == other


def test_the_clusters_clock_says_2001_and_is_never_true() -> None:
    frames = of(bus("cluster_clock_2001"), 0xFEE6, 0x17)
    assert len(frames) == 40
    assert {payload[5] + 1985 for payload, _ in frames} == {2001}
    assert {payload[6:] for payload, _ in frames} == {b"\xff\xff"}
    assert all(e.writings == e.alternatives == () for _, e in frames)


def test_the_clusters_odometer_wakes_up_in_three_steps() -> None:
    emissions = bus("odometer_wakeup")
    metres = [int.from_bytes(p[:4], "little") * 5 for p, _ in of(emissions, 0xFEC1, 0x17)]
    assert metres[:6] == [0] * 6 and metres[6:12] == [37_500] * 6
    true = [int.from_bytes(p[:4], "little") * 5 for p, _ in of(emissions, 0xFEC1, 0xEE)]
    assert all(0 <= m - t <= 15 for m, t in zip(metres[12:], true[12:], strict=True))
    said = [e.alternatives for _, e in of(emissions, 0xFEC1, 0x17)]
    assert said[:12] == [()] * 12
    assert all(e.writings == () for _, e in of(emissions, 0xFEC1, 0x17))
    assert said[12:] == [((TRAVELED, float(m)),) for m in metres[12:]]


def test_zero_fill() -> None:
    frames = of(bus("zero_fill"), 0xFEF5, 0x17)
    assert {payload for payload, _ in frames} == {bytes(8)} and len(frames) == 40
    assert all(e.writings == () for _, e in frames)


def test_three_senders_of_doors() -> None:
    emissions = bus("two_door_senders")
    for pgn in (0xFE4E, 0xFDA5):
        assert {payload for payload, _ in of(emissions, pgn, 0x21)} == {b"\xff" * 8}
        stale = of(emissions, pgn, 0xF5)
        assert len({payload for payload, _ in stale}) == 1 and len(stale) == 400
        assert len({payload for payload, _ in of(emissions, pgn, 0xEC)}) > 2
        assert all(e.writings == () and e.alternatives for _, e in stale)
    closed = dict(of(emissions, 0xFDA5, 0xF5)[0][1].alternatives)
    assert closed["Vehicle.Bus.Door1.IsOpen"] is False
    assert closed["Vehicle.Bus.Door1.IsLocked"] is True
    assert dict(of(emissions, 0xFE4E, 0xF5)[0][1].alternatives)["Vehicle.Bus.Doors.Position"] == 2


def test_every_third_broadcast_loses_a_packet_and_says_nothing() -> None:
    plain, lossy = bus(seconds=60), bus("lost_bam_packets", seconds=60)

    def packets(emissions: list[Emission]) -> int:
        return sum(frame(e.data)[0] in (0xEC00, 0xEB00) for e in emissions)

    def messages(emissions: list[Emission]) -> int:
        return sum(frame(e.data)[0] == 0xEB00 and bool(e.writings or e.dm1) for e in emissions)

    whole = messages(plain)
    lost = packets(plain) - packets(lossy)
    assert lost == whole // 3 and whole > 20
    assert messages(lossy) == whole - lost


def test_a_spoofed_source_says_wild_things_as_the_engine() -> None:
    emissions, plain = bus("spoofed_source"), bus()
    assert not {e.at_s for e in plain} & {1.429, 2.129}
    spoofed = [e for e in emissions if round(e.at_s * 1000) % 700 == 29]
    speeds = {
        round(float(dict(e.writings)["Vehicle.Speed"]))
        for e in spoofed
        if "Vehicle.Speed" in dict(e.writings)
    }
    assert speeds == {11, 30, 49, 68, 87, 106, 125}
    for e in spoofed:
        pgn, sender, payload = frame(e.data)
        if pgn == 0xFEF1:
            assert sender == 0x00
            assert int.from_bytes(payload[1:3], "little") / 256 == dict(e.writings)["Vehicle.Speed"]


def test_hostile_sessions_use_addresses_of_their_own() -> None:
    plain = {frame(e.data)[1] for e in bus(seconds=20)}
    hostile = [
        frame(e.data)
        for e in bus("spoofed_source", seconds=20)
        if frame(e.data)[0] in (0xEC00, 0xEB00) and frame(e.data)[1] >= 0x80
    ]
    strangers = [one for one in hostile if one[1] not in plain]
    assert len(strangers) == 1_000
    assert {payload[0] for pgn, _, payload in strangers if pgn == 0xEC00} == {16, 32, 255}
    assert len({sender for _, sender, _ in strangers}) > 50
