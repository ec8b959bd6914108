"""Transport under receivers that ask again, third units, floods, and against a model."""

from __future__ import annotations

import tracemalloc

import pytest

from drivers.codecs.j1939 import (
    MAX_SESSIONS,
    TP_CM,
    TP_DT,
)
from tests.drivers.codecs.fuzz_transport import against_model, against_senders
from tests.drivers.codecs.transport_wire import DM1, TEXT, VI, Wire

LONG = bytes(range(65, 65 + 42))


@pytest.mark.parametrize(
    ("script", "whole", "why"),
    [
        ("c61 1 2 3 4 5 6", True, "no repetition"),
        ("1 2 3 4 5 6", True, "the CTS were not heard"),
        ("c31 1 2 3 c22 2 3 c34 4 5 6", True, "two packets again"),
        ("c61 1 2 3 4 5 c12 2 c16 6", True, "one again, then on behind what had come"),
        ("c61 1 2 4 5 6 c43 3 4 5 6", True, "a gap, asked for again"),
        ("c61 1 2 2 3 4 c43 3 4 5 6", True, "a packet twice, asked for again"),
        ("c21 1 2 c61 1 2 3 4 5 6", True, "all again"),
        ("c61 1 2 4 5 6", False, "a gap"),
        ("c61 1 2 4 5 6 3", False, "a gap filled without a CTS"),
        ("c61 1 2 2 3 4 5 6", False, "a repetition without a CTS"),
        ("c61 1 2 c34 4 5 6", False, "the receiver has what was lost here"),
        ("c61 1 2 3 c22 3 4 5 6", False, "asked for 2 and not heard"),
        ("c61 1 2 3 c22 2 c34 4 5 6", False, "asked for 2 and 3, heard 2"),
        ("c61 1 2 3 c22 X 3 4 5 6", False, "again, but another text"),
        ("c61 1 2 3 c22 X c12 2 3 4 5 6", False, "another text is another message"),
        ("c61 1 2 m 3 4 5 6", False, "a CTS for another PGN"),
        ("c61 1 2 c10 c17 3 4 5 6", True, "CTS that cannot be are ignored"),
        ("c61 1 2 h h h 3 4 5 6", True, "held off"),
    ],
)
def test_the_receiver_decides_what_is_next(script: str, whole: bool, why: str) -> None:
    wire = Wire()
    wire.announce(LONG, sa=3, da=9)
    for step in script.split():
        if step[0] == "c":
            wire.clear(int(step[1]), int(step[2]))
        elif step == "h":
            wire.clear(0, 255, after=1.0)
        elif step == "m":
            wire.clear(4, 3, pgn=DM1)
        elif step == "X":
            wire.packet(LONG.swapcase(), 2, sa=3, da=9)
        else:
            wire.packet(LONG, int(step), sa=3, da=9)
    assert [m.payload for m in wire.got] == [LONG] * whole, why


@pytest.mark.parametrize(("gap", "complete"), [(1.04, True), (1.06, False)])
def test_a_receiver_that_holds_off_has_to_say_so_again(gap: float, complete: bool) -> None:
    wire = Wire()
    wire.announce(TEXT, sa=3, da=9)
    wire.clear(0, 255)
    wire.clear(3, 1, after=gap)
    for n in (1, 2, 3):
        wire.packet(TEXT, n, sa=3, da=9)
    assert bool(wire.got) is complete


@pytest.mark.parametrize("control", [17, 19, 255])
@pytest.mark.parametrize("foe", [0xFF, 0x55])
def test_nobody_else_can_touch_a_broadcast(control: int, foe: int) -> None:
    wire = Wire()
    wire.announce(TEXT, sa=3)
    for n in (1, 2, 3):
        wire.packet(TEXT, n, sa=3)
        for da in (3, 0xFF):
            wire.say(TP_CM, foe, da, bytes([control, 3, 1, 3, 255, 0xEC, 0xFE, 0]), 0.01)
    assert [m.payload for m in wire.got] == [TEXT]


def test_a_third_unit_cannot_touch_a_request_to_send() -> None:
    wire = Wire()
    wire.announce(TEXT, sa=3, da=9)
    for n in (1, 2, 3):
        wire.packet(TEXT, n, sa=3, da=9)
        for sa, da in ((7, 3), (7, 9), (9, 7), (3, 7), (0xFF, 3)):
            for control in (17, 19, 255):
                wire.say(TP_CM, sa, da, bytes([control, 3, 1, 3, 255, 0xEC, 0xFE, 0]), 0.001)
            wire.say(TP_DT, sa, da, bytes([n + 1]) + b"HOSTILE", 0.001)
    assert [m.payload for m in wire.got] == [TEXT]


@pytest.mark.parametrize("pgn", [TP_CM, TP_DT, 0x40000 | VI, 0xFF0000 | VI])
def test_announced_numbers_that_are_none(pgn: int) -> None:
    wire = Wire()
    wire.send(TEXT, pgn=pgn)
    assert wire.got == []
    assert wire.transport.dropped == {"malformed": 1}


def test_no_flood_pushes_out_a_broadcast_and_memory_is_bounded() -> None:
    """Each of 65,536 pairs begins the longest message there is and sends 254 of its packets."""
    wire = Wire()
    tracemalloc.start()
    wire.announce(LONG, sa=3)
    for n in range(1, 7):
        for pair in range(n, 65536, 7):
            sa, da = pair >> 8, pair & 255
            if sa != 3:
                wire.t -= 1e-6
                kind = 32 if da == 0xFF else 16
                head = bytes([kind, 0xF9, 6, 255, 255, 0xEC, 0xFE, 0])
                wire.say(TP_CM, sa, da, head, 2e-6)
        for sa in range(4, 200):
            for k in range(1, 255) if n == 1 else ():
                wire.say(TP_DT, sa, 0xFF, bytes([k]) + b"HOSTILE", 1e-7)
        wire.packet(LONG, n, sa=3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [m.payload for m in wire.got] == [LONG]
    assert wire.transport.open <= MAX_SESSIONS + 256
    assert peak < 2_000_000


def test_one_sender_with_many_sessions_pushes_out_its_own() -> None:
    wire = Wire()
    wire.announce(TEXT, sa=3, da=9)
    for da in range(0x80, 0xFF):
        wire.announce(TEXT, sa=0x66, da=da) if da != 0x66 else None
        wire.t -= 0.06
    for n in (1, 2, 3):
        wire.packet(TEXT, n, sa=3, da=9)
    assert [m.payload for m in wire.got] == [TEXT]


@pytest.mark.parametrize("seed", range(3))
def test_fuzz_against_a_model_that_reads_history(seed: int) -> None:
    assert against_model(15_000, seed) > 200


@pytest.mark.parametrize("seed", range(3))
def test_fuzz_on_a_bus_that_loses_and_lies(seed: int) -> None:
    sent, out = against_senders(15_000, seed)
    assert sent > out > sent // 2
