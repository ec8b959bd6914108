"""How large a message may be, after what others took."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.uplink.portion import FIRST_BYTES, LARGEST_BYTES, LEAST_BYTES, PORTION_S, SMALL, Portion

KIB = 1024


@pytest.mark.parametrize(
    ("messages", "nbytes"),
    [
        ([], FIRST_BYTES),
        # A quick link shows with five messages that it takes 96 KiB.
        ([(4 * KIB, 0.1), (8 * KIB, 0.2), (16 * KIB, 0.3), (32 * KIB, 0.34)], 64 * KIB),
        ([(300, 0.1)] * 9, FIRST_BYTES),  # small ones prove nothing
        ([(300, 9.0)] * 9, FIRST_BYTES),
        ([(4 * KIB, 0.7)] * 9, FIRST_BYTES),  # just right
        ([(4 * KIB, 0.5)] * 9, 5_734),  # 8 KiB pass in a second
        ([(4 * KIB, 1.0)] * 9, 2_867),
        ([(100 * KIB, 0.5)], 2 * FIRST_BYTES),  # not more than double at once
        # 64 KiB in 10 s: 4,587 bytes pass in 0.7 s.
        ([*((2**n * KIB, 0.1) for n in range(2, 6)), (64 * KIB, 10.0)], 4_587),
        ([(4 * KIB, 600.0)] * 9, LEAST_BYTES),
        ([(4 * KIB, 600.0), (2 * KIB, 0.3), (3 * KIB, 0.3)], 8 * KIB),
    ],
)
def test_what_messages_took_decides(messages: list[tuple[int, float]], nbytes: int) -> None:
    portion, now = Portion(), 0.0
    for size, took_s in messages:
        portion.confirmed(size, now, now + took_s)
        now += took_s + 1.0
    assert portion.nbytes == nbytes


@pytest.mark.parametrize(
    ("sent_at", "now", "ahead", "rtt_s", "nbytes"),
    [
        (0.0, 1.0, 0, 0.0, 2_867),
        (0.0, 1.0, 0, 0.3, FIRST_BYTES),  # the round trip is none of the link's rate
        # The one before it was there at -1: what was ahead of it had passed by then.
        (0.0, 0.7, 100 * KIB, 0.0, FIRST_BYTES),
        # Sent before, behind as much, which was confirmed at -1: it alone took from then on.
        (-1.7, -0.3, 4 * KIB, 0.0, FIRST_BYTES),
        # Confirmed in one bunch with the one before it: both took 1.4 s.
        (-2.4, -1.0, 4 * KIB, 0.0, FIRST_BYTES),
    ],
)
def test_what_was_under_way_before_it(
    sent_at: float, now: float, ahead: int, rtt_s: float, nbytes: int
) -> None:
    portion = Portion()
    portion.confirmed(1, -1.0, -1.0)
    portion.confirmed(4 * KIB, sent_at, now, ahead=ahead, rtt_s=rtt_s)
    assert abs(portion.nbytes - nbytes) <= 1


@pytest.mark.parametrize(
    ("small", "nbytes"),
    [
        ([], 2_867),
        ([0.3], FIRST_BYTES),
        ([0.9, 0.3, 0.5], FIRST_BYTES),  # the quickest: others waited behind something
        ([0.3, None], 2_867),  # another connection may have another way
    ],
)
def test_the_quickest_small_message_tells_the_round_trip(
    small: list[float | None], nbytes: int
) -> None:
    portion, now = Portion(), 0.0
    for took_s in small:
        if took_s is None:
            portion.lost(0)
        else:
            portion.confirmed(FIRST_BYTES // SMALL, now, now + took_s)
            now += took_s
    portion.confirmed(4 * KIB, now, now + 1.0, rtt_s=0.0001)
    assert abs(portion.nbytes - nbytes) <= 1


def test_a_cut_halves_it_where_much_was_under_way() -> None:
    portion = Portion()
    portion.lost(100)
    assert portion.nbytes == FIRST_BYTES
    for _ in range(9):
        portion.lost(FIRST_BYTES)
    assert portion.nbytes == LEAST_BYTES


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1 << 20), st.floats(0, 1e6), st.integers(0, 1 << 20), st.booleans()
        )
    )
)
def test_it_stays_within_its_bounds(events: list[tuple[int, float, int, bool]]) -> None:
    portion, now = Portion(), 0.0
    for nbytes, took_s, ahead, lost in events:
        now += took_s
        if lost:
            portion.lost(nbytes)
        else:
            portion.confirmed(nbytes, now - took_s, now, ahead=ahead, rtt_s=0.1)
        assert LEAST_BYTES <= portion.nbytes <= LARGEST_BYTES


@pytest.mark.parametrize("late_s", [0.0, 0.3])
@pytest.mark.parametrize("bytes_per_s", [3_000, 6_000, 48_000, 200_000])
def test_an_alarm_waits_less_than_two_seconds_behind_what_is_under_way(
    bytes_per_s: int, late_s: float
) -> None:
    """Two messages are under way at any moment; confirmations come `late_s` late."""
    portion, waits_s = Portion(), []
    passed_at, before = 0.0, (0.0, 0)
    for _ in range(60):
        # A message is sent when the one before the last is confirmed.
        sent_at, ahead = before[0], before[1]
        size = portion.nbytes
        waits_s.append((ahead + size) / bytes_per_s)
        before = (passed_at + late_s, size)
        passed_at = max(passed_at, sent_at) + size / bytes_per_s
        portion.confirmed(size, sent_at, passed_at + late_s, ahead=ahead)
    assert max(waits_s[20:]) <= 2 * PORTION_S
    assert portion.nbytes >= bytes_per_s * PORTION_S / 3, "and the link is made use of"
