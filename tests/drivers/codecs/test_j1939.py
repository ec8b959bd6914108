"""The 29-bit identifier and strict transport, friendly and hostile."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.codecs.j1939 import (
    MAX_SESSIONS,
    TP_CM,
    TP_DT,
    Identifier,
    Message,
    Transport,
    split_id,
)
from tests.drivers.codecs.fuzz_transport import against_model, against_senders

VI = 65260
DM1 = 65226


@pytest.mark.parametrize(
    ("can_id", "want"),
    [
        (0x0CF00400, Identifier(3, 0xF004, 0x00, 0xFF)),
        (0x18FEF117, Identifier(6, 0xFEF1, 0x17, 0xFF)),
        (0x1CECFF00, Identifier(7, 0xEC00, 0x00, 0xFF)),
        (0x18EB2A03, Identifier(6, 0xEB00, 0x03, 0x2A)),
        (0x19FEF100, Identifier(6, 0x1FEF1, 0x00, 0xFF)),  # data page 1
        (0x1AFEF100, Identifier(6, 0x2FEF1, 0x00, 0xFF)),  # extended data page
        (0x1FFFFFFF, Identifier(7, 0x3FFFF, 0xFF, 0xFF)),
    ],
)
def test_split_id(can_id: int, want: Identifier) -> None:
    assert split_id(can_id) == want


@pytest.mark.parametrize("can_id", [-1, 0x20000000])
def test_split_id_refuses_more_than_29_bits(can_id: int) -> None:
    with pytest.raises(ValueError, match="29-bit"):
        split_id(can_id)


class Wire:
    """Says what two units would say, in order, to a Transport; the clock is ours."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.t = 0.0
        self.got: list[Message] = []

    def say(self, pgn: int, sa: int, da: int, payload: bytes, after: float = 0.06) -> None:
        self.t += after
        message = self.transport.feed(self.t, Identifier(7, pgn, sa, da), payload)
        if message is not None:
            self.got.append(message)

    def announce(self, text: bytes, *, sa: int = 0, da: int = 0xFF, pgn: int = VI) -> None:
        control = 32 if da == 0xFF else 16
        size = len(text)
        head = bytes([control, size & 255, size >> 8, -(-size // 7), 0xFF])
        self.say(TP_CM, sa, da, head + pgn.to_bytes(3, "little"))

    def packet(
        self, text: bytes, n: int, *, sa: int = 0, da: int = 0xFF, after: float = 0.06
    ) -> None:
        part = text[7 * (n - 1) : 7 * n]
        self.say(TP_DT, sa, da, bytes([n]) + part.ljust(7, b"\xff"), after)

    def clear(self, count: int, n: int, *, pgn: int = VI, after: float = 0.06) -> None:
        """The receiver 9 asks the sender 3 for `count` packets from `n` on; 0: hold."""
        body = bytes([17, count, n, 255, 255]) + pgn.to_bytes(3, "little")
        self.say(TP_CM, 9, 3, body, after)

    def send(self, text: bytes, *, sa: int = 0, da: int = 0xFF, pgn: int = VI) -> None:
        self.announce(text, sa=sa, da=da, pgn=pgn)
        for n in range(1, -(-len(text) // 7) + 1):
            self.packet(text, n, sa=sa, da=da)


TEXT = b"YV3S5P720DA000017*"


def test_broadcast() -> None:
    wire = Wire()
    wire.send(TEXT, sa=0x21)
    assert wire.got == [Message(pytest.approx(0.24), VI, 0x21, 0xFF, TEXT)]
    assert wire.transport.open == 0


@settings(deadline=None)
@given(st.binary(min_size=9, max_size=1785), st.integers(0, 254))
def test_any_message_comes_out_as_it_went_in(text: bytes, da: int) -> None:
    wire = Wire()
    wire.send(text)
    wire.send(text, da=da)
    assert [m.payload for m in wire.got] == [text, text]


def test_overheard_request_to_send_with_its_answers() -> None:
    wire = Wire()
    wire.announce(TEXT, sa=3, da=0x2A)
    wire.say(TP_CM, 0x2A, 3, bytes([17, 2, 1, 255, 255, 0xEC, 0xFE, 0]), 1.2)
    wire.packet(TEXT, 1, sa=3, da=0x2A, after=1.2)
    wire.packet(TEXT, 2, sa=3, da=0x2A)
    wire.say(TP_CM, 0x2A, 3, bytes([17, 1, 3, 255, 255, 0xEC, 0xFE, 0]))
    wire.packet(TEXT, 3, sa=3, da=0x2A)
    wire.say(TP_CM, 0x2A, 3, bytes([19, 18, 0, 3, 255, 0xEC, 0xFE, 0]))
    assert [(m.sa, m.da, m.payload) for m in wire.got] == [(3, 0x2A, TEXT)]
    assert not wire.transport.dropped


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ([1, 3], "a gap"),
        ([1, 1, 2, 3], "a repetition"),
        ([2, 1, 3], "the wrong order"),
        ([0, 1, 2, 3], "no packet 0"),
        ([3, 2, 1], "backwards"),
    ],
)
def test_packets_out_of_sequence_end_the_session(order: list[int], why: str) -> None:
    wire = Wire()
    wire.announce(TEXT)
    for n in order:
        wire.packet(TEXT, n) if n else wire.say(TP_DT, 0, 0xFF, bytes(8))
    assert wire.got == [], why
    assert wire.transport.dropped["out of sequence"] == 1
    wire.send(TEXT)
    assert [m.payload for m in wire.got] == [TEXT]


@pytest.mark.parametrize(
    ("da", "gap", "complete"),
    [(0xFF, 0.74, True), (0xFF, 0.76, False), (9, 1.24, True), (9, 1.26, False)],
)
def test_silence_within_a_session(da: int, gap: float, complete: bool) -> None:
    wire = Wire()
    wire.announce(TEXT, da=da)
    wire.packet(TEXT, 1, da=da)
    wire.packet(TEXT, 2, da=da, after=gap)
    wire.packet(TEXT, 3, da=da)
    assert bool(wire.got) is complete
    assert wire.transport.dropped["timed out"] == (not complete)


def test_a_clock_that_jumps_back_ends_the_session() -> None:
    wire = Wire()
    wire.announce(TEXT)
    wire.packet(TEXT, 1, after=-3600)
    wire.packet(TEXT, 2)
    wire.packet(TEXT, 3)
    assert wire.got == []


def test_a_new_announcement_replaces_the_session() -> None:
    wire = Wire()
    wire.announce(b"A" * 21)
    wire.packet(b"A" * 21, 1)
    wire.send(b"B" * 21)
    wire.packet(b"A" * 21, 2)
    assert [m.payload for m in wire.got] == [b"B" * 21]
    assert wire.transport.dropped == {"replaced": 1}


def test_a_bad_announcement_ends_the_session_of_its_pair() -> None:
    wire = Wire()
    wire.announce(b"A" * 21)
    wire.packet(b"A" * 21, 1)
    wire.say(TP_CM, 0, 0xFF, bytes([32, 0, 0, 0, 255, 0xEC, 0xFE, 0]))
    wire.packet(b"B" * 21, 2)
    wire.packet(b"B" * 21, 3)
    assert wire.got == []


def test_the_tail_of_one_message_is_never_glued_to_the_head_of_another() -> None:
    """Lost: packets 2 to 6 of A, the announcement of B and its packet 1. Sent each second."""
    a, b = b"A" * 42, b"B" * 42
    wire = Wire()
    wire.announce(a, pgn=DM1)
    wire.packet(a, 1)
    wire.packet(b, 2, after=1.0)
    for n in range(3, 7):
        wire.packet(b, n)
    assert wire.got == []


def test_sessions_of_several_pairs_interleave() -> None:
    wire = Wire()
    texts = {(1, 0xFF): b"a" * 20, (1, 5): b"b" * 21, (2, 0xFF): b"c" * 19, (5, 1): b"d" * 15}
    for (sa, da), text in texts.items():
        wire.announce(text, sa=sa, da=da)
    for n in (1, 2, 3):
        for (sa, da), text in texts.items():
            wire.packet(text, n, sa=sa, da=da, after=0.01)
    assert {(m.sa, m.da): m.payload for m in wire.got} == texts


@pytest.mark.parametrize(
    ("control", "da", "size", "packets"),
    [
        (32, 0xFF, 0, 0),
        (32, 0xFF, 8, 2),  # fits a frame
        (32, 0xFF, 1786, 255),
        (32, 0xFF, 65535, 255),
        (32, 0xFF, 18, 2),  # too few packets
        (32, 0xFF, 18, 4),  # too many
        (32, 5, 18, 3),  # a broadcast to one unit
        (16, 0xFF, 18, 3),  # a request to all
    ],
)
def test_announcements_that_cannot_be(control: int, da: int, size: int, packets: int) -> None:
    wire = Wire()
    head = bytes([control, size & 255, size >> 8, packets, 255, 0xEC, 0xFE, 0])
    wire.say(TP_CM, 0, da, head)
    for n in range(1, 256):
        wire.packet(b"x" * 2000, n, da=da, after=0.001)
    assert wire.got == []
    assert wire.transport.open == 0


@pytest.mark.parametrize("control", [255, 19])
def test_abort_and_early_end_from_either_side(control: int) -> None:
    for sa, da in ((3, 9), (9, 3)):
        wire = Wire()
        wire.announce(TEXT, sa=3, da=9)
        wire.packet(TEXT, 1, sa=3, da=9)
        wire.say(TP_CM, sa, da, bytes([control, 1, 255, 255, 255, 0xEC, 0xFE, 0]))
        wire.packet(TEXT, 2, sa=3, da=9)
        wire.packet(TEXT, 3, sa=3, da=9)
        # Only the receiver acknowledges the end.
        assert (wire.got == []) == (control == 255 or sa == 9)


def test_a_flood_of_sessions_is_bounded_and_a_live_one_survives() -> None:
    wire = Wire()
    wire.announce(TEXT, sa=1, da=0xFF)
    for n in (1, 2):
        for flood in range(60):
            wire.say(
                TP_CM, flood, 0x80 + flood % 60, bytes([16, 18, 0, 3, 3, 0xEC, 0xFE, 0]), 0.001
            )
        wire.packet(TEXT, n, sa=1, after=0.001)
    wire.packet(TEXT, 3, sa=1, after=0.001)
    assert [m.payload for m in wire.got] == [TEXT]
    for pair in range(65536):
        wire.say(TP_CM, pair >> 8, pair & 255, bytes([16, 18, 0, 3, 3, 0, 0, 0]), 0.0001)
    assert wire.transport.open <= MAX_SESSIONS


@pytest.mark.parametrize("n", [1, 3])
def test_a_short_packet_ends_the_session(n: int) -> None:
    wire = Wire()
    wire.announce(TEXT)
    for k in range(1, n):
        wire.packet(TEXT, k)
    wire.say(TP_DT, 0, 0xFF, bytes([n]) + b"abc")
    assert wire.got == []
    assert wire.transport.dropped["out of sequence"] == 1


def test_a_last_packet_without_padding_will_do() -> None:
    wire = Wire()
    wire.announce(TEXT)
    wire.packet(TEXT, 1)
    wire.packet(TEXT, 2)
    wire.say(TP_DT, 0, 0xFF, b"\x03" + TEXT[14:])
    assert [m.payload for m in wire.got] == [TEXT]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.sampled_from([TP_CM, TP_DT, 0xFEF1]),
            st.integers(0, 255),
            st.integers(0, 255),
            st.binary(max_size=64),
        ),
        max_size=60,
    )
)
def test_any_bytes_are_taken(frames: list[tuple[float, int, int, int, bytes]]) -> None:
    transport = Transport(max_sessions=4)
    for t, pgn, sa, da, payload in frames:
        message = transport.feed(t, Identifier(7, pgn, sa, da), payload)
        assert message is None or 9 <= len(message.payload) <= 1785
        assert transport.open <= 4


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
