"""A broker that refuses: slower, paused, split, at last given up with an account."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uplink_rows import EPOCH, cargo, drop, head

from agent.record import StorageClass
from agent.store.rows import Loss, Range
from agent.uplink.delivery import Delivery
from agent.uplink.endpoint import (
    FORMAT_INVALID,
    NOT_AUTHORIZED,
    PACKET_TOO_LARGE,
    QUOTA_EXCEEDED,
    RECEIVE_MAXIMUM_EXCEEDED,
)
from agent.uplink.flight import Cargo, Flight
from agent.uplink.refusals import PAUSE_S, RETRY_S, SLOW_DOWN_S, TELL_AGAIN_S, Refusals

UNSPECIFIED = 0x80


class Case:
    def __init__(self) -> None:
        self.delivery = Delivery(8.0)
        self.dropped: list[Loss] = []
        self.refusals = Refusals(self.delivery, self.dropped.append)

    def send(self, what: Cargo) -> Flight:
        flight = self.delivery.launch(what, "brain/v1/bus-1/up/telemetry", b"")
        self.delivery.sent(flight, (1, flight.number), 0.0)
        return flight


@pytest.mark.parametrize(
    ("code", "due_s", "in_flight", "halves", "problem"),
    [
        (0x00, 8.0, 1, 0, None),
        (0x10, 8.0, 1, 0, None),  # nobody has subscribed: the broker took it all the same
        (QUOTA_EXCEEDED, SLOW_DOWN_S, 1, 0, "quota"),
        (RECEIVE_MAXIMUM_EXCEEDED, SLOW_DOWN_S, 1, 0, "quota"),
        (NOT_AUTHORIZED, None, 0, 0, "does not allow brain/v1/bus-1/up/telemetry"),
        (PACKET_TOO_LARGE, None, 0, 2, None),
        (FORMAT_INVALID, None, 0, 2, None),
        (UNSPECIFIED, RETRY_S, 1, 0, None),
    ],
)
def test_answers(
    code: int, due_s: float | None, in_flight: int, halves: int, problem: str | None
) -> None:
    case = Case()
    case.refusals.confirmed(case.send(cargo(head(1))), code, 0.0)
    assert case.delivery.next_timeout() == due_s
    assert len(case.delivery.flights) == in_flight
    assert len(case.refusals.waiting) == halves
    assert (problem or "") in (case.refusals.problem or "")
    assert (case.refusals.problem is None) == (problem is None)
    assert not case.dropped


def test_a_pause_holds_for_its_class_and_a_success_elsewhere_does_not_hide_it() -> None:
    case = Case()
    case.refusals.waiting.append(cargo(head(21)))
    case.refusals.confirmed(case.send(cargo(head(1))), NOT_AUTHORIZED, 0.0)
    alarm = cargo(head(11, storage_class=StorageClass.ALARM))
    alarm = Cargo(alarm.priority.ALARM, EPOCH, alarm.slices)
    case.refusals.confirmed(case.send(alarm), 0, 1.0)
    assert "does not allow" in (case.refusals.problem or "")
    assert case.refusals.paused(PAUSE_S - 1) == {StorageClass.HISTORY}
    assert case.refusals.next_cargo(PAUSE_S - 1) is None
    assert case.refusals.paused(PAUSE_S + 1) == frozenset()
    assert case.refusals.next_cargo(PAUSE_S + 1) == cargo(head(21))
    case.refusals.confirmed(case.send(cargo(head(1))), 0, PAUSE_S + 1)
    assert case.refusals.problem is None


def test_refused_three_times_then_halves_once_each() -> None:
    case = Case()
    flight = case.send(cargo(head(1, 4)))
    for _ in range(3):
        assert not case.refusals.waiting
        case.refusals.confirmed(flight, UNSPECIFIED, 0.0)
    first, second = case.refusals.waiting
    assert (first.runs, second.runs) == ([Range(1, 2)], [Range(3, 4)])
    case.refusals.waiting.clear()
    half = case.send(first)
    assert half.suspect, "it goes alone"
    case.refusals.confirmed(half, UNSPECIFIED, 0.0)
    assert [waiting.runs for waiting in case.refusals.waiting] == [[Range(1, 1)], [Range(2, 2)]]


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.data(),
    st.sampled_from([UNSPECIFIED, PACKET_TOO_LARGE]),
)
def test_only_poisonous_records_are_dropped_and_all_else_arrives(
    lengths: list[int], data: st.DataObject, code: int
) -> None:
    heads, first = [], 1
    for n in lengths:
        heads.append(head(first, n))
        first += n
    poison = data.draw(st.sets(st.integers(1, first - 1), max_size=3))
    case = Case()
    case.send(cargo(*heads))
    arrived: set[int] = set()
    for _ in range(2_000):
        half = case.refusals.next_cargo(0.0)
        if half is not None:
            case.send(half)
        for flight in list(case.delivery.flights):
            seqs = {seq for low, high in flight.runs for seq in range(low, high + 1)}
            if seqs & poison:
                case.refusals.confirmed(flight, code, 0.0)
            else:
                arrived |= seqs
                case.delivery.acked(EPOCH, flight.runs, 0.0)
        case.refusals.settle()
    assert arrived == set(range(1, first)) - poison
    bad = [h for h in heads if any(h.first <= seq <= h.last for seq in poison)]
    assert len(case.dropped) == len(bad)
    assert {(loss.head, loss.reason) for loss in case.dropped} == {(h, "refused") for h in bad}
    named = [
        seq for loss in case.dropped for low, high in loss.spans for seq in range(low, high + 1)
    ]
    assert sorted(named) == sorted(poison)
    assert not case.delivery.open_rows(heads, [])


def test_a_row_is_dropped_once_the_rest_of_it_is_through() -> None:
    case = Case()
    case.refusals.split(cargo(head(1, 2)), "too large", 0.0)
    good, bad = case.refusals.waiting
    case.refusals.waiting.clear()
    flight = case.send(good)
    case.refusals.split(bad, "too large", 0.0)
    case.refusals.settle()
    assert not case.dropped
    case.delivery.acked(EPOCH, flight.runs, 0.0)
    case.refusals.settle()
    case.refusals.settle()
    assert case.dropped == [Loss(head(1, 2), "refused", (Range(2, 2),))]


def test_what_the_outbox_leaves_of_a_row_goes_as_another_row() -> None:
    case = Case()
    case.refusals.split(cargo(head(1, 2)), "too large", 0.0)
    good, bad = case.refusals.waiting
    case.refusals.waiting.clear()
    flight = case.send(good)
    case.refusals.split(bad, "too large", 0.0)
    case.delivery.remove(flight)  # its class may not send just now
    case.refusals.settle()
    assert [loss.spans for loss in case.dropped] == [(Range(2, 2),)]
    rest = head(1, 1, nbytes=600)
    assert case.delivery.open_rows([head(1, 2), rest], []) == [rest]


def test_one_alarm_for_all_records_of_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    case = Case()
    for seq, now in ((1, 0.0), (2, 1.0), (3, TELL_AGAIN_S), (4, TELL_AGAIN_S + 1)):
        case.refusals.split(cargo(head(seq, 1)), "too large", now)
    found = [(one.levelname, one.getMessage()[:8]) for one in caplog.records]
    assert found == [
        ("ERROR", "record 1"),
        ("WARNING", "record 2"),
        ("WARNING", "record 3"),
        ("ERROR", "record 4"),
    ]


def test_accounts_of_drops_part_from_a_record_and_from_each_other() -> None:
    drops = (drop(50, 59), drop(61, 69))
    case = Case()
    case.refusals.split(cargo(head(1, 1), drops=drops), "too large", 0.0)
    record, accounts = case.refusals.waiting
    assert (record.runs, accounts.runs) == ([Range(1, 1)], [Range(50, 59), Range(61, 69)])
    case.refusals.waiting.clear()
    case.refusals.split(accounts, "too large", 0.0)
    assert [one.drops for one in case.refusals.waiting] == [drops[:1], drops[1:]]
    case.refusals.split(case.refusals.waiting[0], "too large", 0.0)
    assert case.refusals.paused(1.0) == {StorageClass.HISTORY}, "and nothing turns in circles"
    assert not case.dropped
