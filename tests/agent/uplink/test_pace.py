"""Token buckets and the pauses between attempts to connect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.uplink.pace import (
    ANSWERED_PAUSE_S,
    MAX_PAUSE_S,
    MIN_PAUSE_S,
    NARROW_S,
    TAKEOVER_CAP_S,
    Reconnect,
    Segments,
    Takeovers,
    TokenBucket,
)


def longest(low: float, high: float) -> float:
    return high


def test_a_bucket_lets_one_second_pass_at_once_and_pays_off_debts() -> None:
    bucket = TokenBucket(10)
    assert bucket.level(100.0) == 10
    bucket.take(100.0, 25)
    assert bucket.wait_s(100.0, 1) == 1.6
    assert bucket.level(101.0) == -5
    assert bucket.level(99.0) == -5, "a clock that goes back earns nothing"
    assert bucket.level(500.0) == 10


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0.1, 5))))
def test_a_bucket_keeps_its_rate(steps: list[tuple[float, float]]) -> None:
    bucket, now, passed = TokenBucket(10), 0.0, 0.0
    bucket.level(now)
    for pause_s, amount in steps:
        now += pause_s
        if bucket.level(now) >= amount:
            bucket.take(now, amount)
            passed += amount
    assert passed <= 10 + 10 * now + 1e-6


@pytest.mark.parametrize(
    ("refused_at", "per_s"),
    [
        ([], 64),
        ([0], 32),
        ([0, 0, 0.1, 2.9], 32),  # a window that was under way: it says one thing
        ([0, 3, 6], 8),
        ([10.0 * n for n in range(20)], 0.25),  # the slowest there is
    ],
)
def test_a_refused_rate_is_halved_once_for_what_was_under_way_together(
    refused_at: list[float], per_s: float
) -> None:
    bucket = TokenBucket(64)
    bucket.level(0)
    for at in refused_at:
        bucket.slower(at)
        assert bucket.level(at) <= 0, "nothing goes at once"
    last = refused_at[-1] if refused_at else -1.0
    bucket.take(last, bucket.level(last))
    assert bucket.wait_s(last, 1) == pytest.approx(1 / per_s)
    for _ in range(200):
        bucket.faster()
    bucket.take(last, bucket.level(last))
    assert bucket.wait_s(last, 1) == pytest.approx(1 / 64)


@pytest.mark.parametrize(
    ("ages", "pauses"),
    [
        ([0], [2]),
        ([0, 2, 6, 14, 30, 62, 9_999], [2, 2, 3, 7, 15, 31, 60]),
    ],
)
def test_pauses_grow_with_the_age_of_the_trouble(ages: list[float], pauses: list[float]) -> None:
    reconnect = Reconnect(longest)
    assert [reconnect.pause_s(1_000.0 + age) for age in ages] == pauses


@pytest.mark.parametrize(
    ("held_s", "useful", "pause_s"),
    [
        (60.0, False, 2),  # it held
        (1.0, True, 2),  # it was of use
        (1.0, False, 25.5),  # it was of no use: the trouble goes on
    ],
)
def test_what_ends_the_trouble(held_s: float, useful: bool, pause_s: float) -> None:
    reconnect = Reconnect(longest)
    reconnect.pause_s(0.0)
    reconnect.connected(50.0)
    if useful:
        reconnect.useful()
    assert reconnect.pause_s(50.0 + held_s) == pause_s


def test_usefulness_counts_a_few_times_only() -> None:
    reconnect, now, pauses = Reconnect(longest), 0.0, []
    for _ in range(9):
        reconnect.connected(now)
        reconnect.useful()
        pauses.append(reconnect.pause_s(now + 20))
        now += 40
    assert pauses == [2, 2, 2, 2, 2, 20, 40, 60, 60]


def test_two_clients_of_one_name_soon_leave_each_other_in_peace() -> None:
    reconnect, pauses = Reconnect(longest), []
    for at in range(0, 100, 20):
        reconnect.connected(at)
        pauses.append(reconnect.pause_s(at + 1.0, taken_over=True))
    assert pauses == [10, 20, 40, 80, 160]


@given(
    st.lists(
        st.tuples(
            st.floats(0, 500), st.booleans(), st.booleans(), st.sampled_from(["", "taken", "there"])
        )
    ),
    st.randoms(use_true_random=False),
)
def test_a_pause_is_between_one_second_and_its_cap(steps, random) -> None:  # type: ignore[no-untyped-def]
    reconnect, now = Reconnect(random.uniform), 0.0
    for after_s, connects, useful, trouble in steps:
        now += after_s
        if connects:
            reconnect.connected(now)
        if useful:
            reconnect.useful()
        now += after_s / 2
        taken_over, answered = trouble == "taken", trouble == "there"
        pause_s = reconnect.pause_s(now, taken_over=taken_over, answered=answered)
        cap_s = {"taken": TAKEOVER_CAP_S, "there": ANSWERED_PAUSE_S, "": MAX_PAUSE_S}[trouble]
        assert MIN_PAUSE_S <= pause_s <= cap_s


@pytest.mark.parametrize(
    ("cuts", "suspected"),
    [
        ([(1, True, 0)] * 5, True),
        ([(1, True, 0)] * 4, False),
        ([(1, True, 2)] * 9, False),  # a message may be to blame
        ([(1, False, 0)] * 9, False),  # silence
        ([(1, True, 0), (1, True, 1), *[(1, True, 0)] * 4], True),
        ([*[(1, True, 0)] * 4, (61, True, 0), (1, True, 0)], False),
    ],
)
def test_a_second_client_where_nobody_states_it(
    cuts: list[tuple[float, bool, int]], suspected: bool
) -> None:
    takeovers, found = Takeovers(), False
    for held_s, by_peer, owed in cuts:
        found = takeovers.cut(held_s=held_s, by_peer=by_peer, owed=owed)
    assert found == suspected


def test_a_broker_that_is_away_in_between_serves_no_second_client() -> None:
    takeovers = Takeovers()
    for _ in range(9):
        for _ in range(4):
            assert not takeovers.cut(held_s=1, by_peer=True, owed=0)
        takeovers.refused()


def test_segments_shrink_where_connecting_works_and_sending_stalls() -> None:
    segments = Segments()
    assert segments.limit(0.0) is None
    segments.connected(0.0)
    segments.stalled(useful=True)
    assert segments.limit(21.0) == 1_100
    segments.connected(21.0)
    segments.stalled(useful=True)  # acks came: it is wide enough, this was a tunnel
    assert segments.limit(60.0) == 1_100
    segments.stalled(useful=False)
    assert segments.limit(90.0) == 500
    segments.connected(90.0)
    segments.stalled(useful=False)
    assert segments.limit(91.0) == 500
    assert segments.limit(90.0 + NARROW_S) is None


def test_a_tunnel_is_no_black_hole() -> None:
    segments = Segments()
    segments.connected(0.0)
    segments.stalled(useful=True)
    segments.failed()  # nothing passes
    assert segments.limit(30.0) is None
    segments.connected(30.0)
    assert segments.limit(31.0) is None
