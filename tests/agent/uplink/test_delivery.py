"""What was sent, what an ack achieves, and who is to blame for a cut. The time is an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uplink_rows import EPOCH, OTHER_EPOCH, cargo, drop, head

from agent.store.rows import Range
from agent.uplink.delivery import MAX_SUSPECTS, Delivery
from agent.uplink.flight import Cargo, Flight


def send(delivery: Delivery, what: Cargo, now: float = 0.0, mid: int = 1) -> Flight:
    flight = delivery.launch(what, "topic", b"payload")
    delivery.sent(flight, (1, mid), now)
    return flight


@pytest.mark.parametrize(
    ("epoch", "asked", "news"),
    [
        (EPOCH, [(1, 30)], [(1, 10), (21, 30)]),
        (EPOCH, [(1, 10)], [(1, 10)]),
        (EPOCH, [(8, 23)], [(8, 10), (21, 23)]),
        (EPOCH, [(21, 25), (21, 25), (24, 26), (1, 1)], [(21, 25), (26, 26), (1, 1)]),
        (EPOCH, [(1, 1 << 47)], [(1, 10), (21, 30)]),
        (EPOCH, [(11, 20)], []),
        (EPOCH, [(31, 40)], []),
        (EPOCH, [], []),
        (OTHER_EPOCH, [(1, 30)], []),
    ],
)
def test_an_ack_counts_for_what_was_sent(
    epoch: str, asked: list[tuple[int, int]], news: list[tuple[int, int]]
) -> None:
    delivery = Delivery(8.0)
    send(delivery, cargo(head(1), head(21)))
    assert delivery.acked(epoch, [Range(*span) for span in asked], 1.0) == news
    assert delivery.acked(epoch, [Range(*span) for span in asked], 2.0) == []
    covered = sum(last - first + 1 for first, last in news)
    assert len(delivery.flights) == (0 if covered == 20 else 1)
    assert delivery.last_ack_at == (1.0 if news else None)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 8)), max_size=6),
    st.lists(st.tuples(st.integers(0, 70), st.integers(0, 20))),
)
def test_news_is_each_sent_number_once(
    sent: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    delivery = Delivery(8.0)
    for first, n in sent:
        send(delivery, cargo(head(first, n)))
    known = {seq for first, n in sent for seq in range(first, first + n)}
    wanted: set[int] = set()
    heard: list[int] = []
    for first, n in asked:
        wanted.update(range(first, first + n + 1))
        for low, high in delivery.acked(EPOCH, [Range(first, first + n)], 1.0):
            heard += range(low, high + 1)
    assert sorted(heard) == sorted(known & wanted)
    times = sum(n for _, n in sent)
    assert delivery.duplicates == times - len(known)


def test_what_is_open() -> None:
    delivery = Delivery(8.0)
    heads = [head(first) for first in range(1, 61, 10)]
    send(delivery, cargo(heads[0], drops=(drop(90, 91),)))
    send(delivery, cargo(heads[1]))
    delivery.acked(EPOCH, [Range(11, 20)], 1.0)
    delivery.give_up(heads[2])
    waiting = [cargo(heads[3], drops=(drop(92, 93),))]
    assert delivery.open_rows(heads, waiting) == heads[4:]
    accounts = [drop(90, 91), drop(92, 93), drop(11, 12), drop(94, 95)]
    assert delivery.open_drops(accounts, waiting) == [drop(94, 95)]


def test_an_ack_in_time_or_once_more_later_and_later() -> None:
    delivery = Delivery(8.0)
    flight = delivery.launch(cargo(head(1)), "topic", b"")
    now, pauses = 0.0, []
    for _ in range(6):
        assert delivery.due(now) == [flight]
        if flight.sent_at is not None:
            delivery.repeat(flight, now)
        delivery.sent(flight, (1, 1), now)
        assert delivery.next_timeout() is None and not delivery.due(now + 1e6)
        delivery.confirm(flight, now)
        timeout = delivery.next_timeout()
        assert timeout is not None and not delivery.due(timeout - 0.1)
        pauses.append(timeout - now)
        now = timeout
    assert pauses == [8, 16, 32, 60, 60, 60]


def test_what_the_broker_does_not_have_yet_is_not_sent_twice_on_one_connection() -> None:
    delivery = Delivery(8.0)
    flight = send(delivery, cargo(head(1)))
    assert not delivery.due(600.0)
    delivery.confirm(flight, 600.0)
    assert not delivery.due(607.9)
    assert delivery.due(608.0) == [flight]
    delivery.sent(flight, (1, 2), 608.0)
    delivery.lost(640.0, by_peer=False, stated=False)
    assert delivery.due(640.0) == [flight], "a new connection is another matter"


def test_while_nothing_is_acknowledged_only_the_oldest_is_repeated() -> None:
    delivery = Delivery(8.0)
    flights = [send(delivery, cargo(head(10 * i + 1)), mid=i) for i in range(4)]
    for flight in flights:
        delivery.confirm(flight, 0.5)
    assert delivery.due(9.0) == flights[:1]
    delivery.acked(EPOCH, [Range(1, 10)], 9.0)
    assert delivery.due(9.0) == flights[1:]


@pytest.mark.parametrize(
    ("owed", "age_s", "by_peer", "stated", "blamed", "cuts"),
    [
        (1, 1.0, True, True, 1, 1),  # it alone, and the broker said so
        (1, 1.0, True, False, 0, 1),  # may be chance
        (2, 1.0, True, True, 0, 1),  # one of two
        (1, 6.0, True, True, 0, 0),  # too long ago
        (1, 1.0, False, False, 0, 0),  # silence, or our own wish
    ],
)
def test_blame(
    owed: int, age_s: float, by_peer: bool, stated: bool, blamed: int, cuts: int
) -> None:
    delivery = Delivery(8.0)
    confirmed = send(delivery, cargo(head(101)), mid=9)
    delivery.confirm(confirmed, 0.0)
    flights = [send(delivery, cargo(head(10 * i + 1)), mid=i) for i in range(owed)]
    found = delivery.lost(age_s, by_peer=by_peer, stated=stated)
    assert len(found) == blamed
    assert [flight.cuts for flight in flights] == [cuts] * owed
    assert confirmed.cuts == 0
    assert len(delivery.due(age_s)) == owed + 1, "all is to be sent again"


def test_nothing_is_blamed_that_was_in_the_air_with_a_chunk() -> None:
    delivery = Delivery(8.0)
    flight = send(delivery, cargo(head(1)))
    assert delivery.lost(1.0, by_peer=True, stated=True, others=1) == []
    assert (flight.cuts, flight.strikes) == (1, 0)


def test_what_may_be_to_blame_outlives_a_new_connection() -> None:
    delivery = Delivery(8.0)
    marked = send(delivery, cargo(head(1)))
    for cuts in (1, 2):
        if cuts == 2:
            # The same message again: rows planned anew would go in another company, unmarked.
            delivery.dissolve()
            assert list(delivery.flights) == [marked]
        delivery.sent(marked, (cuts, 1), 0.0)
        delivery.lost(1.0, by_peer=True, stated=False)
        assert (marked.cuts, marked.suspect) == (cuts, cuts == 2)
    send(delivery, cargo(head(11)))
    delivery.dissolve()
    assert list(delivery.flights) == [marked]


def test_suspects_leave_the_window_to_others() -> None:
    delivery = Delivery(8.0)
    flights = [send(delivery, cargo(head(10 * i + 1)), mid=i) for i in range(MAX_SUSPECTS + 2)]
    assert delivery.in_flight == len(flights)
    for flight in flights:
        flight.cuts = 2
    assert delivery.in_flight == 2, "some, not any number"
