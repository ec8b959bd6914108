"""What tells a person is overwritten, and the rest still decodes."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.codecs.j1939 import TP_CM, TP_DT, Transport, split_id
from drivers.fms_j1939.frames import Frame
from drivers.fms_j1939.masking import Mask

DI, VI, DM1 = 0xFE6B, 0xFEEC, 0xFECA
CARD = b"D DF000012345678*NLD98765432100001*"
VIN = b"YV3S5P720DA000017*"


def frame(pgn: int, payload: bytes, sa: int = 0xEE, da: int = 0xFF) -> Frame:
    low = da if pgn & 0xFF00 < 0xF000 else 0
    return Frame(6 << 26 | (pgn | low) << 8 | sa, payload, True, False)


def several(pgn: int, text: bytes, sa: int = 0xEE, da: int = 0xFF) -> list[Frame]:
    """BAM or RTS, and the packets."""
    packets = -(-len(text) // 7)
    kind = 32 if da == 0xFF else 16
    head = bytes([kind, len(text) & 255, len(text) >> 8, packets, 255]) + pgn.to_bytes(3, "little")
    return [frame(TP_CM, head, sa, da)] + [
        frame(TP_DT, bytes([n + 1]) + text[7 * n : 7 * n + 7].ljust(7, b"\xff"), sa, da)
        for n in range(packets)
    ]


def masked(frames: list[Frame], mask: Mask | None = None, from_ms: int = 0) -> list[Frame]:
    mask = mask or Mask()
    return [mask.frame(one, from_ms + 60 * n) for n, one in enumerate(frames)]


def reassembled(frames: list[Frame]) -> list[bytes]:
    transport = Transport()
    got = [transport.feed(0.06 * n, split_id(f.can_id), f.payload) for n, f in enumerate(frames)]
    return [message.payload for message in got if message is not None]


@pytest.mark.parametrize("da", [0xFF, 0x21])
@pytest.mark.parametrize(
    ("pgn", "text", "want"),
    [
        (DI, CARD, b"X XXXXXXXXXXXXXX*XXXXXXXXXXXXXXXXX*"),
        (VI, VIN, b"X" * 17 + b"*"),
        (0xFEEB, b"VOLVO*B8RLE*1234567*", b"XXXXX*XXXXX*XXXXXXX*"),
        (0xFF20, b"PLATE AB-123", b"XXXXX XXXXXX"),
        (0xDA00, b"\x61\x90YV3S5P720", b"X" * 11),
    ],
)
def test_messages_of_several_packets(pgn: int, text: bytes, want: bytes, da: int) -> None:
    assert reassembled(masked(several(pgn, text, da=da))) == [want]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (frame(DI, b"AB12*CD*"), b"XXXX*XX*"),
        (frame(DI, b"\xff" * 8), b"\xff" * 8),
        (frame(VI, b"ABC*\xff\xff"), b"XXX*\xff\xff"),
        (frame(0xFEF1, b"\xf3ABCDE\x1f\xff"), b"\xf3ABCDE\x1f\xff"),  # a speed is no text
        (frame(0xFF10, b"\x01Anna\x00\xff\xff"), b"\x01XXXX\x00\xff\xff"),
        (frame(0xFF10, b"\x01Ann\x00\x80\xff\xff"), b"\x01Ann\x00\x80\xff\xff"),  # may be a number
        (frame(0xEF00, b"Schmidt\xff", da=0x21), b"XXXXXXX\xff"),
        (frame(0x1EF00, b"Schmidt\xff", da=0x21), b"XXXXXXX\xff"),
        (frame(0xDA00, b"\x21\x01\x02\x03", da=0xEE), b"\x21XXX"),
        (Frame(0x7E8, b"\x10\x14\x49\x02\x01YV3", False, False), b"\x10XXXXXXX"),
        (Frame(0x123, b"YV3S5P72", False, False), b"YV3S5P72"),
        (Frame(0x18FE6B00, b"", True, True), b""),
    ],
)
def test_single_frames(before: Frame, after: bytes) -> None:
    assert Mask().frame(before, 0) == before._replace(payload=after)


def test_packets_whose_announcement_was_not_seen() -> None:
    tail = several(DI, CARD)[2:]
    for one in masked(tail):
        assert set(one.payload[1:]) <= set(b"X *\xff")


def test_packets_that_do_not_follow_may_be_of_another_message() -> None:
    """The announcement of a card was lost while packets of another message were still due."""
    other, card = several(DM1, bytes(28)), several(DI, CARD)
    got = masked([*other[:3], *card[1:]])
    assert b"D DF0" not in b"".join(one.payload for one in got)
    assert masked(other) == other


def test_a_false_announcement_unmasks_nothing() -> None:
    frames = several(DI, CARD)
    lie = several(DM1, bytes(35))[0]
    for at in range(1, len(frames)):
        shown = masked([*frames[:at], lie, *frames[at:]])
        text = b"".join(one.payload[1:] for one in shown if split_id(one.can_id).pgn == TP_DT)
        assert set(text) <= set(b"X *\xff")


def test_other_messages_of_the_same_sender_stay() -> None:
    codes = bytes.fromhex("43ff") + bytes(range(0x41, 0x41 + 16))
    mask = Mask()
    masked(several(DI, CARD), mask)
    shown = masked(several(DM1, codes), mask, 1000)
    assert reassembled(shown) == [codes]


FRAMES = st.builds(
    frame,
    st.sampled_from([DI, VI, DM1, TP_CM, TP_DT, 0xFF10, 0xEF00, 0xDA00, 0xFEF1]),
    st.binary(max_size=8),
    st.integers(0, 255),
    st.integers(0, 255),
)


@settings(deadline=None)
@given(st.lists(FRAMES, max_size=60))
def test_lengths_identifiers_and_packet_numbers_stay(frames: list[Frame]) -> None:
    for before, after in zip(frames, masked(frames), strict=True):
        assert after._replace(payload=before.payload) == before
        assert len(after.payload) == len(before.payload)
        if split_id(before.can_id).pgn in (TP_CM, TP_DT):
            assert after.payload[:1] == before.payload[:1]


@settings(deadline=None)
@given(st.binary(min_size=9, max_size=200), st.sampled_from([DI, VI]), st.integers(0, 30))
def test_no_character_of_a_text_is_left(text: bytes, pgn: int, lost: int) -> None:
    frames = several(pgn, text)
    del frames[lost : lost + 1]
    for one in masked(frames):
        if split_id(one.can_id).pgn == TP_DT:
            assert set(one.payload[1:]) <= set(b"X *\xff\x00")


def test_memory_is_bounded() -> None:
    dice = random.Random(1)
    mask = Mask()
    head = several(DI, CARD)[0].payload
    tracemalloc.start()
    for n in range(100_000):
        mask.frame(frame(TP_CM, head, dice.randrange(256), dice.randrange(256)), n)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000
