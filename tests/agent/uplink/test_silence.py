"""What is never acknowledged: whom it speaks against, what is split, what is kept aside."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uplink_rows import EPOCH, cargo, drop, head

from agent.record import StorageClass
from agent.store.rows import Loss, Range, RowHead
from agent.uplink import aside
from agent.uplink.delivery import Delivery
from agent.uplink.flight import STRIKES, Cargo, Flight, Slice
from agent.uplink.plan import Priority
from agent.uplink.refusals import Refusals

WINDOW = 6
TIMEOUT_S = 8.0


NOTHING: frozenset[int] = frozenset()


class Far:
    """Broker and far end: each message is confirmed at once, and acknowledged unless `deaf` to it.

    The window is filled with what waits, as far as it has places.
    """

    def __init__(self, rows: list[RowHead], poison: Collection[int] = NOTHING) -> None:
        self.delivery = Delivery(TIMEOUT_S)
        self.dropped: list[Loss] = []
        self.refusals = Refusals(self.delivery, self.dropped.append)
        self.rows, self.poison, self.down = rows, set(poison), False
        self.now = 0.0
        self.sent: list[Flight] = []
        self.arrived: set[int] = set()
        self.mid = 0

    @property
    def sent_records(self) -> int:
        return sum(flight.cargo.n for flight in self.sent)

    def step(self) -> None:
        """One second."""
        self.now += 1.0
        self.refusals.settle()
        while True:
            full = self.delivery.in_flight >= WINDOW - 1
            chosen = self.refusals.next_cargo(self.now, pieces_only=full)
            if chosen is None and not full:
                found = self.delivery.open_rows(self.rows, self.refusals.held)[:3]
                chosen = cargo(*found) if found else None
            if chosen is None:
                break
            self.delivery.launch(chosen, "topic", b"")
            self._send()
        self._send()

    def _send(self) -> None:
        for flight in self.delivery.due(self.now):
            if flight.sent_at is not None:
                self.delivery.repeat(flight, self.now)
                if self.refusals.unheard(flight, self.now):
                    continue
            self.mid += 1
            self.now += 0.001
            self.delivery.sent(flight, (1, self.mid), self.now)
            self.delivery.confirm(flight, self.now)
            self.sent.append(flight)
            seqs = {seq for low, high in flight.runs for seq in range(low, high + 1)}
            if not self.down and not seqs & self.poison:
                self.arrived |= seqs
                self.delivery.acked(EPOCH, flight.runs, self.now + 0.0001)


def rows(n: int, records: int = 10) -> list[RowHead]:
    return [head(1 + records * i, records) for i in range(n)]


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(1, 120), max_size=12), st.integers(1, 20), st.booleans())
def test_neighbours_of_what_is_never_acknowledged_arrive(
    poison: set[int], records: int, live: bool
) -> None:
    """Where nothing new comes that could be acknowledged, little can be told from a silence."""
    poison = poison if live else set(sorted(poison)[:3])
    far = Far(rows(120 // records, records), poison & set(range(1, 120 // records * records + 1)))
    for second in range(1_800 if live else 3_600):
        if live and second % 8 == 0:
            far.rows.append(head(1_000 + second, 1))
        far.step()
    everything = {seq for row in far.rows for seq in range(row.first, row.last + 1)}
    assert far.arrived == everything - far.poison
    assert not far.dropped, "silence drops nothing"
    # A message has 60 records at most, and goes out five times in all; one is tried each minute.
    assert far.sent_records <= len(everything) + 400 * max(1, len(far.poison))


def test_more_poison_than_the_window_has_places_keeps_nobody_waiting() -> None:
    far = Far(rows(40), set(range(1, 90)))
    for second in range(600):
        if second % 8 == 0:
            far.rows.append(head(1_000 + second, 1))
        far.step()
    assert far.arrived == set(range(90, 401)) | {one.first for one in far.rows[40:]}
    assert len(far.refusals.aside.kept) == 89


def test_a_far_end_that_is_down_costs_a_probe_now_and_then_and_splits_one_message() -> None:
    far = Far(rows(40))
    far.down = True
    for _ in range(3_600):
        far.step()
    assert {f.cargo.priority for f in far.sent} == {Priority.HISTORY}
    whole = [f for f in far.delivery.flights if not f.cargo.silences]
    assert len(whole) >= WINDOW - 2, "the others stay as they are"
    assert far.sent_records <= 1_500, "a message has 30"
    assert not far.refusals.aside.kept and far.refusals.problem is None
    late, sent = far.now, len(far.sent)
    for _ in range(3_600):
        far.step()
    assert len(far.sent) - sent <= 3_600 / 60 + 1
    assert not far.refusals.aside.kept and far.refusals.problem is None
    far.down = False
    for _ in range(120):
        far.step()
    assert far.arrived == set(range(1, 401)) and far.now - late < 3_800
    assert not far.refusals.aside.kept


def test_a_class_that_is_not_heard_of_does_not_split_to_pieces_and_is_a_problem() -> None:
    far = Far(rows(40))
    far.poison = set(range(1, 401))
    alarms = 1_001
    for second in range(3_600):
        far.step()
        if second % 10 == 0:
            slices = (Slice.whole(head(alarms, 1, storage_class=StorageClass.ALARM)),)
            far.delivery.launch(Cargo(Priority.ALARM, EPOCH, slices), "topic", b"")
            alarms += 1
    assert far.arrived == set(range(1_001, alarms))
    assert sum(f.cargo.n for f in far.sent if f.cargo.priority is Priority.HISTORY) <= 2_000
    assert not far.refusals.aside.kept, "nothing says that it is single records"
    assert "acknowledges none" in (far.refusals.problem or "")
    assert "history" in (far.refusals.problem or "")


def test_acks_that_come_late_and_in_order_prove_nothing() -> None:
    delivery = Delivery(TIMEOUT_S)
    flights = [delivery.launch(cargo(head(10 * i + 1)), "topic", b"") for i in range(3)]
    for at, flight in enumerate(flights):
        delivery.sent(flight, (1, at), float(at))
        delivery.confirm(flight, float(at))
    delivery.acked(EPOCH, [Range(1, 10)], 60.0)
    assert delivery.due(60.0) == flights[1:]
    for flight in flights[1:]:
        delivery.repeat(flight, 60.0)
    assert [f.silences for f in flights] == [0, 0, 0]


def test_an_ack_of_what_went_out_later_speaks_against_what_went_before() -> None:
    delivery = Delivery(TIMEOUT_S)
    first, second = (delivery.launch(cargo(head(n)), "topic", b"") for n in (1, 11))
    for at, flight in enumerate((first, second)):
        delivery.sent(flight, (1, at), float(at))
        delivery.confirm(flight, float(at))
    delivery.acked(EPOCH, [Range(11, 20)], 2.0)
    delivery.repeat(first, 9.0)
    assert (first.silences, first.vain) == (1, 0)


def test_pieces_that_arrived_in_other_company_are_done_without_news() -> None:
    delivery = Delivery(TIMEOUT_S)
    whole = delivery.launch(cargo(head(1)), "topic", b"")
    delivery.sent(whole, (1, 1), 0.0)
    delivery.remove(whole)
    delivery.acked(EPOCH, [Range(1, 10)], 1.0)
    piece = delivery.launch(cargo(head(1)), "topic", b"")
    delivery.sent(piece, (1, 2), 2.0)
    assert delivery.acked(EPOCH, [Range(1, 10)], 3.0) == []
    assert not delivery.flights


# --- single records that are kept aside ---------------------------------------------------------


def single(n: int) -> Cargo:
    one: Cargo = cargo(head(n, 1))
    return one


def test_what_is_aside_is_tried_ever_more_seldom() -> None:
    arrived: list[Cargo] = []
    kept = aside.Aside(arrived.__contains__)
    for n in (1, 2):
        kept.keep(single(n), 0.0)
    tried: list[tuple[int, int]] = []
    for now in range(4 * 3_600):
        one = kept.due(float(now))
        if one is not None:
            tried.append((now, one.runs[0].first))
            kept.unheard(float(now), mute=False)
    assert tried[:4] == [(60, 1), (180, 2), (420, 1), (900, 2)]
    assert len(tried) <= 10
    assert "record 1 and 1 more" in (kept.problem or "")


def test_a_far_end_that_is_down_is_no_reason_to_try_more_seldom() -> None:
    kept = aside.Aside(lambda one: False)
    kept.keep(single(1), 0.0)
    for now in (60.0, 120.0, 180.0):
        assert kept.due(now) is not None and kept.due(now) is None
        kept.unheard(now, mute=True)


def test_once_one_arrives_all_go_again_together() -> None:
    arrived: set[Range] = set()
    kept = aside.Aside(lambda one: set(one.runs) <= arrived)
    for n in (3, 2, 1):
        kept.keep(single(n), 0.0)
    kept.keep(cargo(drops=(drop(50, 59),)), 0.0)
    assert kept.heard(under_way=False) == []
    assert kept.due(60.0) is not None
    assert kept.heard(under_way=True) == []
    arrived.add(Range(3, 3))
    (again,) = kept.heard(under_way=False)
    assert again.runs == [Range(1, 1), Range(2, 2)] and not again.aside
    assert kept.problem is None


def test_what_the_outbox_dropped_meanwhile_is_forgotten() -> None:
    kept = aside.Aside(lambda one: False)
    for n in (1, 2):
        kept.keep(single(n), 0.0)
    assert kept.due(60.0) is not None
    kept.heard(under_way=False)
    assert [one.runs for one in kept.kept] == [[Range(2, 2)]]


def test_too_many_single_records_park_their_class(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(aside, "MAX_ASIDE", 3)
    case = Far([])
    for n in range(1, 6):
        flight = case.delivery.launch(single(n), "topic", b"")
        case.delivery.sent(flight, (1, n), 0.0)
        case.delivery.silence.heard((), (), 1.0)
        flight.silences = STRIKES
        assert case.refusals.unheard(flight, 2.0)
    assert len(case.refusals.aside.kept) == 3
    assert case.refusals.paused(3.0) == {StorageClass.HISTORY}
    assert [one.runs for one in case.refusals.waiting] == [[Range(4, 4)], [Range(5, 5)]]
    told = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert len(told) == 2 and "record 1 is never" in told[0] and "ever more" in told[1]
