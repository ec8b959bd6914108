"""How large a message may be, after what others took."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.uplink.portion import FIRST_BYTES, LARGEST_BYTES, LEAST_BYTES, Portion

KIB = 1024


@pytest.mark.parametrize(
    ("messages", "nbytes"),
    [
        ([], FIRST_BYTES),
        # A quick link shows with five messages that it takes 96 KiB.
        ([(4 * KIB, 0.1), (8 * KIB, 0.2), (16 * KIB, 0.5), (32 * KIB, 0.9)], 64 * KIB),
        ([(300, 0.1)] * 9, FIRST_BYTES),  # small ones prove nothing
        ([(4 * KIB, 1.5)] * 9, FIRST_BYTES),  # neither quick nor slow
        # 64 KiB in 20 s: 3.2 KiB pass in a second.
        ([*((2**n * KIB, 0.1) for n in range(2, 6)), (64 * KIB, 20.0)], 3_276),
        ([(4 * KIB, 600.0)] * 9, LEAST_BYTES),
        ([(4 * KIB, 600.0), (2 * KIB, 1.0), (3 * KIB, 1.0)], 8 * KIB),
    ],
)
def test_what_messages_took_decides(messages: list[tuple[int, float]], nbytes: int) -> None:
    portion = Portion()
    for size, took_s in messages:
        portion.confirmed(size, took_s)
    assert portion.nbytes == nbytes


def test_a_cut_halves_it_where_much_was_under_way() -> None:
    portion = Portion()
    portion.lost(100)
    assert portion.nbytes == FIRST_BYTES
    for _ in range(9):
        portion.lost(FIRST_BYTES)
    assert portion.nbytes == LEAST_BYTES


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.floats(0, 1e6), st.booleans())))
def test_it_stays_within_its_bounds(events: list[tuple[int, float, bool]]) -> None:
    portion = Portion()
    for nbytes, took_s, lost in events:
        if lost:
            portion.lost(nbytes)
        else:
            portion.confirmed(nbytes, took_s)
        assert LEAST_BYTES <= portion.nbytes <= LARGEST_BYTES


@pytest.mark.parametrize("bytes_per_s", [2_100, 3_000, 48_000, 200_000])
def test_an_alarm_waits_two_seconds_behind_what_is_under_way(bytes_per_s: int) -> None:
    portion, waits_s = Portion(), []
    for _ in range(30):
        carried = 2 * portion.nbytes
        waits_s.append(carried / bytes_per_s)
        portion.confirmed(carried, carried / bytes_per_s)
    assert max(waits_s[12:]) <= 2.0
    assert portion.nbytes >= bytes_per_s / 2, "and the link is made use of"
