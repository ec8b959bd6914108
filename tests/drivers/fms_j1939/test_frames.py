"""SLCAN lines."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.fms_j1939.frames import Frame, LineSplitter, parse
from drivers.fms_j1939.receiver import Receiver

VALID = [b"T18FEF1008F7003254FF50E0FF", b"t1232AABB", b"R18EAFF003", b"r1230", b"T0CF004000"]
NOISE = [b"", b"\x07", b"T18FE", b"Z", b"garbage", b"T18FEF1009", b"x" * 100, b"V1013", b"\xff\x00"]


@pytest.mark.parametrize(
    ("line", "want"),
    [
        (b"T18FEF1003FF00aa", Frame(0x18FEF100, b"\xff\x00\xaa", True, False)),
        (b"T1FFFFFFF0", Frame(0x1FFFFFFF, b"", True, False)),
        (b"T18FEF1001FF1A2B", Frame(0x18FEF100, b"\xff", True, False)),  # adaptor's time stamp
        (b"t7FF10A", Frame(0x7FF, b"\x0a", False, False)),
        (b"R18EAFF008", Frame(0x18EAFF00, b"", True, True)),
        (b"r1230", Frame(0x123, b"", False, True)),
    ],
)
def test_parse(line: bytes, want: Frame) -> None:
    assert parse(line) == want


@pytest.mark.parametrize(
    "line",
    [
        b"", b"T", b"T18FEF100", b"T18FEF1009" + b"00" * 9, b"T18FEF1003FF00", b"T18FEF1001FF1A2",
        b"T20000000100", b"t800100", b"T18FEF100100 ", b"T 8FEF100100", b"T0x8FEF10100",
        b"T18_EF100100",
        b"T18FEF1001GG", b"D18FEF1001FF", b"TT8FEF1001FF", b"z", b"V1013", b"\xff" * 26,
    ],
)  # fmt: skip
def test_what_is_no_frame(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"frame|length|identifier"):
        parse(line)


@given(st.binary(max_size=40))
def test_any_bytes_give_a_frame_or_value_error(line: bytes) -> None:
    try:
        frame = parse(line)
    except ValueError:
        return
    assert len(frame.payload) <= 8


def chop(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[a:b] for a, b in pairwise(edges)]


@given(
    st.lists(st.sampled_from(VALID + NOISE) | st.binary(max_size=90), max_size=30),
    st.lists(st.integers(0, 3000), max_size=20),
)
def test_however_the_stream_is_cut_the_frames_are_the_same(
    lines: list[bytes], cuts: list[int]
) -> None:
    stream = b"\r".join([*lines, b""])
    whole, pieces = LineSplitter(), LineSplitter()
    want = whole.feed(stream)
    got = [line for chunk in chop(stream, cuts) for line in pieces.feed(chunk)]
    ours, theirs = Receiver(), Receiver()
    assert ours.lines(got, 5) == theirs.lines(want, 5)
    assert (ours.frames_read, ours.frames_rejected) == (theirs.frames_read, theirs.frames_rejected)
    # Only what is too long to be a frame may be kept shorter.
    assert [line[:30] for line in got] == [line[:30] for line in want]


def test_noise_without_an_end_takes_no_memory() -> None:
    splitter = LineSplitter()
    for _ in range(1000):
        assert splitter.feed(b"x" * 1000) == []
    (line,) = splitter.feed(b"\r")
    assert len(line) < 100
    assert splitter.feed(b"T0CF004000\r") == [b"T0CF004000"]


def test_bell_ends_a_line_and_answers_are_no_lines() -> None:
    assert LineSplitter().feed(b"\r\r\x07T0CF004000\r\n\x07\r") == [b"T0CF004000"]
