"""What goes next, as tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uplink_rows import EPOCH, OTHER_EPOCH, drop, head

from agent.record import StorageClass
from agent.store.rows import RowHead
from agent.uplink.plan import (
    MAX_DROPS,
    MAX_RECORDS,
    Budget,
    Link,
    Priority,
    Waiting,
    next_batch,
)

ALARM = head(1, 1, storage_class=StorageClass.ALARM)
BULK = head(5, 1, storage_class=StorageClass.BULK)
OLD = [head(first) for first in range(101, 3_101, 10)]
NEWEST = OLD[::-1][:64]
BACKLOG = Waiting(history=OLD, newest=NEWEST)


@pytest.mark.parametrize(
    ("waiting", "link", "priority", "firsts"),
    [
        # Alarms first, in the last place too.
        (Waiting([ALARM], OLD[:1], bulk=[BULK], waited_s=9), Link(), Priority.ALARM, [1]),
        (Waiting([ALARM], OLD[:1], waited_s=9), Link(in_flight=5), Priority.ALARM, [1]),
        (Waiting([ALARM]), Link(in_flight=6), None, []),
        (Waiting([ALARM]), Link(messages=0.9), None, []),
        (Waiting([ALARM]), Link(nbytes=0), None, []),
        (Waiting([ALARM]), Link(unconfirmed_bytes=1 << 20), Priority.ALARM, [1]),
        # Nothing else takes the last place, unless there is but one.
        (Waiting(history=OLD[:2], waited_s=9), Link(in_flight=5), None, []),
        (Waiting(history=OLD[:2], waited_s=9), Link(in_flight=4), Priority.HISTORY, [101, 111]),
        (Waiting(history=OLD[:2], waited_s=9), Link(window=1), Priority.HISTORY, [101, 111]),
        (Waiting(history=OLD[:2], waited_s=9), Link(unconfirmed_bytes=1 << 20), None, []),
        # After some batches of alarms history has a turn, where it may go.
        (Waiting([ALARM], OLD[:1], waited_s=9), Link(alarms_since=3), Priority.ALARM, [1]),
        (Waiting([ALARM], OLD[:1], waited_s=9), Link(alarms_since=4), Priority.HISTORY, [101]),
        (Waiting([ALARM], OLD[:1], waited_s=0.9), Link(alarms_since=4), Priority.ALARM, [1]),
        (Waiting([ALARM], bulk=[BULK]), Link(alarms_since=4), Priority.ALARM, [1]),
        (
            Waiting([ALARM], OLD[:1], waited_s=9),
            Link(alarms_since=4, unconfirmed_bytes=1 << 20),
            Priority.ALARM,
            [1],
        ),
        # Company is waited for, but not by half a message or more.
        (Waiting(history=OLD[:2], waited_s=0.9), Link(), None, []),
        (Waiting(history=OLD[:2], waited_s=1.0), Link(), Priority.HISTORY, [101, 111]),
        (Waiting(history=OLD[:2]), Link(max_payload=4_000), Priority.HISTORY, [101, 111]),
        (Waiting(history=OLD[:2], more=True), Link(), Priority.HISTORY, [101, 111]),
        # No more at once than the link carries within seconds, but one row at least.
        (Waiting(history=OLD[:2], waited_s=9), Link(portion=1_000), Priority.HISTORY, [101]),
        (Waiting(history=OLD[:2], waited_s=9), Link(portion=10), Priority.HISTORY, [101]),
        (Waiting(history=OLD[:2], waited_s=9), Link(portion=10, unconfirmed_bytes=11), None, []),
        (Waiting([ALARM]), Link(portion=10, unconfirmed_bytes=11), Priority.ALARM, [1]),
        # Live rows and backfill take turns.
        (BACKLOG, Link(max_payload=2_000), Priority.LIVE, [3_081, 3_091]),
        (BACKLOG, Link(max_payload=2_000, last=Priority.LIVE), Priority.HISTORY, [101, 111]),
        (BACKLOG, Link(max_payload=2_000, last=Priority.HISTORY), Priority.LIVE, [3_081, 3_091]),
        (
            replace(BACKLOG, live_after=OLD[-2]),
            Link(max_payload=2_000),
            Priority.LIVE,
            [3_091],
        ),
        (
            replace(BACKLOG, live_after=OLD[-1]),
            Link(max_payload=2_000),
            Priority.HISTORY,
            [101, 111],
        ),
        # A class that may not send lets the others pass.
        (
            Waiting([ALARM], OLD[:1], waited_s=9),
            Link(paused=frozenset({StorageClass.ALARM})),
            Priority.HISTORY,
            [101],
        ),
        (
            Waiting(history=OLD, bulk=[BULK], waited_s=9),
            Link(paused=frozenset({StorageClass.HISTORY})),
            Priority.BULK,
            [5],
        ),
        (Waiting(bulk=[BULK]), Link(), Priority.BULK, [5]),
        (Waiting(), Link(), None, []),
        # What rows expand to is taken into account; one row always goes.
        (
            Waiting(history=OLD[:9], more=True),
            Link(max_payload=6_000, expansion={StorageClass.HISTORY: 3.0}),
            Priority.HISTORY,
            [101, 111],
        ),
        (Waiting(history=OLD[:9], more=True), Link(max_payload=10), Priority.HISTORY, [101]),
    ],
)
def test_next(waiting: Waiting, link: Link, priority: Priority | None, firsts: list[int]) -> None:
    batch = next_batch(waiting, link)
    assert (batch.priority if batch else None) == priority
    assert [row.first for row in batch.heads] == firsts if batch else not firsts


def test_a_class_without_budget_waits() -> None:
    budget = Budget({StorageClass.HISTORY: 0, StorageClass.ALARM: 1})
    assert next_batch(Waiting(history=OLD), Link(), budget) is None
    batch = next_batch(Waiting([ALARM], OLD), Link(), budget)
    assert batch is not None and batch.priority is Priority.ALARM


def test_a_batch_is_of_one_epoch_and_carries_its_drops() -> None:
    rows = [head(1, epoch=OTHER_EPOCH), head(1), head(11)]
    drops = [drop(21, 30), drop(1, 9, OTHER_EPOCH)]
    ahead = next_batch(Waiting(history=rows, drops=drops, waited_s=9), Link())
    assert ahead is not None, "what does not go along goes ahead"
    assert (ahead.epoch, ahead.heads, ahead.drops) == (EPOCH, (), (drops[0],))
    batch = next_batch(Waiting(history=rows, drops=drops[1:], waited_s=9), Link())
    assert batch is not None
    assert (batch.epoch, batch.heads, batch.drops) == (OTHER_EPOCH, (rows[0],), (drops[1],))
    many = [drop(i, i) for i in range(100, 999)]
    ahead = next_batch(Waiting(history=rows[1:], drops=many, waited_s=9), Link())
    assert ahead is not None
    assert (ahead.heads, len(ahead.drops)) == ((), MAX_DROPS), "before any of the history"
    alone = next_batch(Waiting(drops=[drop(i, i) for i in range(1, 999)]), Link())
    assert alone is not None
    assert (alone.epoch, alone.heads, len(alone.drops)) == (EPOCH, (), MAX_DROPS)
    denied = Link(paused=frozenset({StorageClass.HISTORY}))
    assert next_batch(Waiting(drops=drops), denied) is None


def test_accounts_of_an_older_epoch_do_not_wait_for_the_end_of_a_backlog() -> None:
    rows = [head(1 + 10 * i) for i in range(64)]
    old = drop(1, 999, OTHER_EPOCH)
    waiting = Waiting(history=rows, drops=[old], more=True, waited_s=99)
    for last in (None, Priority.LIVE, Priority.HISTORY):
        first = next_batch(waiting, Link(last=last))
        assert first is not None and (first.heads, first.drops) == ((), (old,))
    after = next_batch(Waiting(history=rows, more=True, waited_s=99), Link())
    assert after is not None and after.heads


@st.composite
def histories(draw: st.DrawFn) -> list[RowHead]:
    rows, first = [], 1
    for n, nbytes in draw(st.lists(st.tuples(st.integers(1, 3_000), st.integers(1, 70_000)))):
        rows.append(head(first, n, nbytes=nbytes))
        first += n
    return rows


@given(
    histories(),
    st.booleans(),
    st.integers(1_000, 98_304),
    st.sampled_from([None, *Priority]),
    st.floats(0.1, 9),
)
def test_a_batch_fits_and_moves_things_on(
    rows: list[RowHead], more: bool, max_payload: int, last: Priority | None, grows: float
) -> None:
    waiting = Waiting(history=rows, newest=rows[::-1][:64], waited_s=9, more=more)
    link = Link(max_payload=max_payload, last=last, expansion={StorageClass.HISTORY: grows})
    batch = next_batch(waiting, link)
    assert (batch is None) == (not rows)
    if batch is None:
        return
    firsts = [row.first for row in batch.heads]
    assert firsts == sorted(set(firsts)) and set(batch.heads) <= set(rows)
    if len(batch.heads) > 1:
        assert sum(row.nbytes for row in batch.heads) * grows <= max_payload * 1.001
        assert sum(row.n for row in batch.heads) <= MAX_RECORDS
