"""Framing and checksum: what counts as a sentence, whatever lies around it."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.gnss_nmea0183.line import MAX_SENTENCE, LineReader, Sentence

GGA = b"$GPGGA,030719.000,3747.0873,S,17518.8938,E,1,08,1.1,59.9,M,23.7,M,,0000*7D\r\n"
BODY = "GPGGA,030719.000,3747.0873,S,17518.8938,E,1,08,1.1,59.9,M,23.7,M,,0000"
ZDA = b"$GPZDA,153347.000,23,04,2010,,*57"


def read(*pieces: bytes) -> tuple[list[str], int, int]:
    reader = LineReader()
    bodies = [s.body for piece in pieces for s in reader.feed(piece, 0) if isinstance(s, Sentence)]
    return bodies, reader.read, reader.rejected


@pytest.mark.parametrize(
    ("data", "bodies", "rejected"),
    [
        (GGA, [BODY], 0),
        (GGA.replace(b"*7D", b"*7d"), [BODY], 0),  # lower-case digits
        (GGA.replace(b"*7D", b"*7E"), [], 1),  # wrong checksum
        (GGA.replace(b"*7D", b""), [], 1),  # no checksum
        (GGA.replace(b"*7D", b"*7"), [], 1),  # half a checksum
        (GGA.replace(b"*7D", b"*G1"), [], 1),  # no hex
        (GGA.replace(b",S,", b",N,"), [], 1),  # a changed byte
        (GGA.replace(b",S,", b",\xd3,"), [], 1),  # not printable
        (b"$GPGGA,0307" + GGA, [BODY], 1),  # cut, the next one whole
        (b"\x00\xff$\x80noise$$" + GGA, [BODY], 3),
        (GGA.rstrip() + GGA, [BODY, BODY], 0),  # no line end between
        (b"!AIVDM,1,1,,A,x,0*00\r\n" + GGA, [BODY], 0),  # AIS is not ours
        (b"$*00\r\n", [], 1),
        (b"$", [], 0),  # may still become one
        (b"", [], 0),
    ],
)
def test_framing(data: bytes, bodies: list[str], rejected: int) -> None:
    assert read(data) == (bodies, len(bodies), rejected)


def sealed(body: bytes) -> bytes:
    return b"$%s*%02X\r\n" % (body, reduce(xor, body))


def test_the_longest_sentence_is_read_and_a_longer_one_is_not() -> None:
    body = b"P" + b"x" * (MAX_SENTENCE - 1)
    assert read(sealed(body)) == ([body.decode()], 1, 0)
    assert read(sealed(body + b"x")) == ([], 0, 1)


def test_a_sentence_carries_the_stamp_of_its_first_byte() -> None:
    reader = LineReader()
    assert reader.feed(b"noise" + GGA[:1], 10) == []
    assert reader.feed(GGA[1:20], 20) == []
    got = reader.feed(GGA[20:] + ZDA, 30)
    assert [s.at for s in got] == [10, 30]


LINES = st.lists(
    st.one_of(
        st.sampled_from([GGA, ZDA, GGA[:-2], GGA[:30], b"$", b"*7D", b"\r\n", b"$GPGGA"]),
        st.binary(max_size=40),
        st.text("$*,AG0159.\r\n", max_size=20).map(str.encode),
    ),
    max_size=12,
).map(b"".join)


@given(LINES, st.lists(st.integers(0, 400), max_size=12))
def test_any_split_gives_the_same(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    assert read(*pieces) == read(data)
    assert read(*(data[i : i + 1] for i in range(len(data)))) == read(data)


@given(st.lists(st.binary(min_size=1, max_size=600), max_size=20))
def test_noise_never_grows_the_buffer(pieces: list[bytes]) -> None:
    reader = LineReader()
    for piece in pieces:
        reader.feed(piece.replace(b"\n", b"x").replace(b"*", b"$x"), 0)
        assert len(reader._held) <= MAX_SENTENCE + 3


@given(st.binary(max_size=300))
def test_a_sentence_after_any_noise_is_read(noise: bytes) -> None:
    assert BODY in read(noise + GGA)[0]
