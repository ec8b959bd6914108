"""The 29-bit identifier and strict transport, friendly and hostile."""

from __future__ import annotations

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
from tests.drivers.codecs.transport_wire import DM1, TEXT, VI, Wire


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
