"""One file on its way, without a network: what is asked, sent, sent again, and when."""

from __future__ import annotations

import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.store.rows import Range
from agent.uplink import need
from agent.uplink.need import Need, NoNeed
from agent.uplink.upload import BLOCK_BYTES, MAX_UNDER_WAY_BYTES, Upload, frame

SHA256 = "a" * 64


def said(*runs: tuple[int, int], whole: bool = True, again: bool = False) -> Need:
    return Need(SHA256, tuple(Range(*run) for run in runs), whole, again)


@pytest.mark.parametrize(
    ("size", "missing", "max_bytes", "want"),
    [
        (1, [(0, 0)], 65_536, (0, 0)),
        (200_000, [(0, 48)], 65_536, (0, 15)),
        (200_000, [(0, 48)], 8_192, (0, 1)),
        (200_000, [(0, 48)], 4_095, None),
        (200_000, [(3, 4), (9, 48)], 65_536, (3, 4)),
        (200_000, [(0, 1_000)], 1 << 20, (0, 15)),
        (200_000, [(49, 60)], 65_536, None),
        (200_000, [], 65_536, None),
    ],
)
def test_the_next_chunk(
    size: int, missing: list[tuple[int, int]], max_bytes: int, want: tuple[int, int] | None
) -> None:
    upload = Upload(SHA256, size, 2.0)
    assert upload.next_chunk(max_bytes) is None
    upload.needs(said(*missing))
    assert upload.next_chunk(max_bytes) == want


def test_silence_is_asked_into_more_and_more_seldom() -> None:
    upload = Upload(SHA256, 10, 2.0)
    moments, now = [], 0.0
    while len(moments) < 7:
        if upload.ask_due(now):
            upload.asked_now(now)
            moments.append(now)
        due = upload.next_ask()
        assert due is not None
        assert due > now
        now = due
    assert moments == [0.0, 2.0, 6.0, 14.0, 30.0, 62.0, 122.0]


def test_a_chunk_that_the_cloud_does_not_mention_is_asked_for() -> None:
    upload = Upload(SHA256, 10, 2.0)
    upload.asked_now(0.0)
    upload.needs(said((0, 0)))
    upload.sent(Range(0, 0), (1, 1), 1.0)
    upload.confirmed(upload.under_way[0], 1.1)
    assert upload.next_chunk(65_536) is None
    assert not upload.ask_due(3.0)
    assert upload.ask_due(3.2)
    upload.asked_now(3.2)
    upload.needs(said((0, 0)))
    assert upload.next_chunk(65_536) == (0, 0)


def test_a_far_end_that_always_wants_all_gets_it_seldom() -> None:
    """It costs three times the file, then silence: minutes, hours, a day."""
    size = 1_000_000
    upload, now, sent, holds = Upload(SHA256, size, 2.0), 0.0, 0, []
    while len(holds) < 8:
        upload.needs(said((0, 244)))
        blocks = upload.next_chunk(65_536)
        assert blocks is not None
        before = sent // size
        upload.sent(blocks, (1, sent), now)
        upload.under_way.clear()
        sent += (blocks.last - blocks.first + 1) * BLOCK_BYTES
        now += 0.1
        if upload.held_until > now:
            holds.append(round(upload.held_until - now, -1))
            now = upload.held_until
        assert before < 4 * len(holds) + 5
    assert holds[:4] == [240.0, 960.0, 3840.0, 15360.0]
    assert holds[5:] == [86_400.0] * 3


def test_cuts_without_progress_hold_the_file_and_progress_frees_it() -> None:
    upload = Upload(SHA256, 200_000, 2.0)
    for cut in range(1, 5):
        upload.needs(said((0, 48)))
        upload.sent(Range(0, 15), (cut, 1), 10.0)
        upload.lost(10.0, by_peer=True)
        assert upload.held_until == {1: 0.0, 2: 0.0, 3: 70.0, 4: 130.0}[cut]
    upload.needs(said((16, 48)))
    assert upload.cuts == 0


@given(st.integers(1, 3_000_000), st.integers(0, 10_000))
def test_every_byte_arrives_over_a_link_that_loses(size: int, seed: int) -> None:
    draw = random.Random(seed)
    upload = Upload(SHA256, size, 2.0)
    here: set[int] = set()
    blocks = -(-size // BLOCK_BYTES)
    now = 0.0
    for _ in range(20_000):
        now += 0.1
        if len(here) == blocks:
            return
        if upload.ask_due(now):
            upload.asked_now(now)
            if draw.random() < 0.9:
                upload.needs(_missing(here, blocks, whole=True))
        chunk = upload.next_chunk(draw.choice([4_096, 30_000, 65_536]))
        if chunk is not None:
            upload.sent(chunk, (1, int(now * 10)), now)
            assert sum(c.nbytes for c in upload.under_way) <= MAX_UNDER_WAY_BYTES
            fate = draw.random()
            if fate < 0.1:
                upload.lost(now, by_peer=draw.random() < 0.2)
            elif fate < 0.9:
                upload.confirmed(upload.under_way[-1], now)
                here.update(range(chunk.first, chunk.last + 1))
                if draw.random() < 0.8:
                    upload.needs(_missing(here, blocks, whole=False))
            else:
                upload.confirmed(upload.under_way[-1], now)  # and the broker loses it
    raise AssertionError(f"{len(here)} of {blocks} blocks")


def _missing(here: set[int], blocks: int, *, whole: bool) -> Need:
    runs: list[Range] = []
    for block in range(blocks):
        if block in here:
            continue
        if runs and runs[-1].last == block - 1:
            runs[-1] = Range(runs[-1].first, block)
        else:
            runs.append(Range(block, block))
    return Need(SHA256, tuple(runs), whole, again=False)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        json.dumps({"sha256": "../x", "missing": []}).encode(),
        json.dumps({"sha256": SHA256, "missing": [[5, 4]]}).encode(),
        json.dumps({"sha256": SHA256, "missing": [[-1, 4]]}).encode(),
        json.dumps({"sha256": SHA256, "missing": [[0, 4], [4, 5]]}).encode(),
        json.dumps({"sha256": SHA256, "missing": [[0, 1 << 60]]}).encode(),
        json.dumps({"sha256": SHA256, "missing": [], "answers": "x"}).encode(),
    ],
)
def test_what_is_no_need(payload: bytes) -> None:
    with pytest.raises(NoNeed):
        need.parse(payload)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_need_or_none(payload: bytes) -> None:
    try:
        need.parse(payload)
    except NoNeed:
        return


def test_a_need() -> None:
    payload = {"sha256": SHA256, "missing": [[0, 3], [7, 7]], "answers": "chunks", "again": True}
    assert need.parse(json.dumps(payload).encode()) == said((0, 3), (7, 7), whole=False, again=True)


def test_a_frame_is_version_crc_content() -> None:
    framed = frame(SHA256, 16, b"content")
    assert framed[:1] == b"\x01"
    assert framed[5:] == b"content"
    assert int.from_bytes(framed[1:5], "big") == zlib.crc32(f"{SHA256} 16".encode() + b"content")
