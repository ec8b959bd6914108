"""What of a bus is worth stating: changes, repetition, whom to believe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sdk import State
from drivers.fms_j1939.frames import Frame, parse
from drivers.fms_j1939.receiver import Receiver, Statement
from drivers.fms_j1939.table import PGNS

SPEED = "Vehicle.Speed"


def ccvs(raw: int, sa: int = 0, priority: int = 6) -> bytes:
    payload = bytes([0xF3, raw & 255, raw >> 8, 0, 0xFF, 0, 0, 0xFF])
    return b"T%08X8%s" % (priority << 26 | 0xFEF1 << 8 | sa, payload.hex().upper().encode())


def speeds(said: list[Statement]) -> list[object]:
    return [s.values.get(SPEED, s.states.get(SPEED)) for s in said]


def test_an_unchanged_message_is_stated_again_after_a_second() -> None:
    receiver = Receiver()
    stated = [
        at_ms for at_ms in range(10_000, 13_000, 100) if receiver.lines([ccvs(256 * 50)], at_ms)
    ]
    assert stated == [10_000, 11_000, 12_000]
    assert receiver.frames_read == 30


def test_a_change_is_stated_at_once_and_back_again() -> None:
    receiver = Receiver()
    got = [
        speeds(receiver.lines([ccvs(raw)], at_ms))
        for at_ms, raw in [(0, 256), (10, 512), (20, 256), (30, 256), (1019, 256), (1020, 256)]
    ]
    # Whole messages are repeated a second after the last whole one, whatever changed in between.
    assert got == [[1.0], [2.0], [1.0], [], [1.0], []]


def test_frames_of_one_read_are_all_stated() -> None:
    lines = [ccvs(256), ccvs(512), ccvs(512), ccvs(256)]
    assert speeds(Receiver().lines(lines, 7)) == [1.0, 2.0, 1.0]


def test_priority_case_and_time_stamp_are_no_change() -> None:
    receiver = Receiver()
    lines = [ccvs(0xAB), ccvs(0xAB, priority=3), ccvs(0xAB).replace(b"AB", b"ab")]
    lines += [ccvs(0xAB) + b"%04X" % n for n in range(5)]
    assert len(receiver.lines(lines, 7)) == 1
    assert (receiver.frames_read, receiver.frames_rejected) == (8, 0)


def test_implausible_values_and_raw_classes_become_states() -> None:
    payload = "0000002022FFFFFF"
    (statement,) = Receiver().lines([b"T18FEF5478" + payload.encode()], 1)
    assert statement.group is PGNS[65269].group
    assert statement.values == {"Vehicle.Exterior.AirTemperature": 0.0}
    assert statement.states == {
        "Vehicle.Exterior.AirPressure": State.IMPLAUSIBLE,
        "Vehicle.Cabin.HVAC.AmbientAirTemperature": State.IMPLAUSIBLE,
    }
    assert speeds(Receiver().lines([ccvs(0xFE00), ccvs(0xFFFF), ccvs(0xFB00)], 1)) == [
        State.ERROR,
        State.NOT_AVAILABLE,
        State.IMPLAUSIBLE,
    ]


def test_short_messages_give_what_they_hold() -> None:
    (statement,) = Receiver().lines([b"T18FEF1003F70032"], 1)
    assert statement.values == {"Vehicle.Chassis.ParkingBrake.IsEngaged": True, SPEED: 50.0}
    assert not statement.states
    assert Receiver().lines([b"T18FEF1000"], 1) == []


def test_two_senders_never_make_a_value_flap() -> None:
    receiver = Receiver()
    said = []
    for at_ms in range(0, 3000, 100):
        said += speeds(receiver.lines([ccvs(512, sa=0x27), ccvs(256, sa=0x11)], at_ms))
    # 0x27 came first; the lower address takes over as soon as it is heard, and for good.
    assert said[0] == 2.0
    assert set(said[1:]) == {1.0}


def test_another_sender_is_followed_after_five_seconds_of_silence() -> None:
    receiver = Receiver()
    receiver.lines([ccvs(256, sa=0x11)], 0)
    assert receiver.lines([ccvs(512, sa=0x27)], 5000) == []
    # An unchanged payload is looked at once a second.
    assert receiver.lines([ccvs(512, sa=0x27)], 5999) == []
    assert speeds(receiver.lines([ccvs(512, sa=0x27)], 6000)) == [2.0]
    # ... until the better one is back for good.
    said = {
        at_ms: speeds(receiver.lines([ccvs(256, sa=0x11)], at_ms))
        for at_ms in range(6100, 10_000, 100)
    }
    assert [at_ms for at_ms, got in said.items() if got == [1.0]] == [9100]
    assert receiver.lines([ccvs(512, sa=0x27)], 9101) == []


def test_a_sender_that_repeats_itself_is_not_silent() -> None:
    receiver = Receiver()
    for at_ms in range(0, 20_000, 100):
        receiver.lines([ccvs(256, sa=0x11)], at_ms)
        assert speeds(receiver.lines([ccvs(512, sa=0x27)], at_ms)) == []


def test_silence_counts_from_the_last_frame_also_an_unchanged_one() -> None:
    receiver = Receiver()
    for at_ms in (0, 10, 900):
        receiver.lines([ccvs(256, sa=0x11)], at_ms)
    assert receiver.lines([ccvs(512, sa=0x27)], 4800) == []
    assert receiver.lines([ccvs(512, sa=0x27)], 5900) == []
    assert speeds(receiver.lines([ccvs(512, sa=0x27)], 6900)) == [2.0]


def tco1(sa: int, raw: int) -> bytes:
    return b"T0CFE6C%02X8000000000000%02X%02X" % (sa, raw & 255, raw >> 8)


def test_the_tachograph_is_believed_first() -> None:
    path = "Vehicle.Tachograph.Speed"
    said = Receiver().lines([tco1(0x17, 256), tco1(0xEE, 512), tco1(0x17, 768)], 1)
    assert [s.values[path] for s in said] == [1.0, 2.0]


def test_the_config_says_whom_to_believe() -> None:
    receiver = Receiver({"ccvs1": [0x27]})
    said = receiver.lines([ccvs(256, sa=0x11), ccvs(512, sa=0x27), ccvs(768, sa=0x11)], 1)
    assert speeds(said) == [1.0, 2.0]


VIN = b"YV3S5P720DA000017*"
BAM = [b"T1CECFF0082012000" + b"3FFECFE00"] + [
    b"T1CEBFF008%02X%s" % (n, VIN[7 * n - 7 : 7 * n].ljust(7, b"\xff").hex().encode())
    for n in (1, 2, 3)
]


def test_vin_by_broadcast() -> None:
    receiver = Receiver()
    said = [receiver.lines([line], 1000 + 60 * n) for n, line in enumerate(BAM)]
    assert [len(s) for s in said] == [0, 0, 0, 1]
    assert said[3][0].values == {"Vehicle.VehicleIdentification.VIN": "YV3S5P720DA000017"}
    # Packets are never taken for unchanged frames.
    said = [receiver.lines([line], 11_000 + 60 * n) for n, line in enumerate(BAM)]
    assert len(said[3]) == 1
    assert receiver.frames_read == 8


def test_a_vin_with_a_lost_packet_is_not_stated() -> None:
    assert Receiver().lines([BAM[0], BAM[1], BAM[3]], 1) == []


def test_what_is_counted() -> None:
    receiver = Receiver()
    lines = [ccvs(1), ccvs(1), b"T18FFAA008" + b"00" * 8, b"T18FFAA008" + b"00" * 8]
    lines += [b"t1232AABB", b"R18EAFF003", b"nonsense", b"T18FFAA008" + b"0G" * 8]
    receiver.lines(lines, 1)
    assert (receiver.frames_read, receiver.frames_rejected) == (6, 4)
    receiver.reject()
    assert (receiver.frames_read, receiver.frames_rejected) == (7, 5)


def test_a_flood_of_identifiers_takes_no_memory_and_harms_nobody() -> None:
    receiver = Receiver()
    for n in range(20_000):
        receiver.lines([b"T%08X0" % (n << 8)], n)
    assert len(receiver._ignored) + len(receiver._single) <= 4096
    assert speeds(receiver.lines([ccvs(256)], 30_000)) == [1.0]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*PGNS, 0xEC00, 0xEB00, 0xFF00]),
            st.integers(0, 3),
            st.binary(max_size=8),
            st.integers(0, 700),
        ),
        max_size=40,
    )
)
def test_the_short_way_states_what_the_long_way_states(
    frames: list[tuple[int, int, bytes, int]],
) -> None:
    """Lines that are compared as text, against frames that are all converted."""
    short, long = Receiver(), Receiver()
    at_ms = 0
    for pgn, sa, payload, wait_ms in frames:
        at_ms += wait_ms
        line = b"T%08X%d%s" % (6 << 26 | pgn << 8 | sa, len(payload), payload.hex().encode())
        frame = parse(line)
        assert frame == Frame(6 << 26 | pgn << 8 | sa, payload, True, False)
        assert short.lines([line], at_ms) == long.frame(frame, at_ms)
    assert short.frames_read == long.frames_read == len(frames)


@pytest.mark.parametrize("line", [b"", b"T", b"\xff\xff", b"T18FEF1008"])
def test_damaged_lines_are_counted_not_raised(line: bytes) -> None:
    receiver = Receiver()
    assert receiver.lines([line], 1) == []
    assert receiver.frames_rejected == 1
