"""The steps of the budget: when each begins, what each lets through, what it never stops."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uplink_rows import head

from agent.record import StorageClass
from agent.uplink.budget import (
    DAY_MS,
    MB,
    STEPS,
    UNLIMITED,
    Budget,
    BudgetConfig,
    Step,
    budget_of,
    forecast_bytes,
)
from agent.uplink.plan import Batch, Link, Priority, Waiting, next_batch

CONFIG = BudgetConfig(monthly_mb=100)


@pytest.mark.parametrize(
    ("spent_mb", "step"),
    [
        (0, "none"),
        (56.9, "none"),
        (75.9, "none"),
        (76, "slow"),
        (90.25, "newest"),
        (95, "alarms"),
        (99.9, "alarms"),
        (100, "spent"),
        (1_000, "spent"),
    ],
)
def test_the_percentages_are_of_the_budget_less_its_reserve(spent_mb: float, step: Step) -> None:
    assert CONFIG.step(round(spent_mb * MB)) == step


def test_without_a_budget_there_are_no_steps() -> None:
    assert BudgetConfig().step(10**12) == "none"


def budget(step: Step, since_live_s: float | None = None, linger_s: float = 1.0) -> Budget:
    return budget_of(CONFIG, step, linger_s=linger_s, since_live_s=since_live_s)


ALARM = (head(900, 1, storage_class=StorageClass.ALARM),)
BULK = (head(800, 1, storage_class=StorageClass.BULK),)
OLD = tuple(head(first) for first in range(1, 400, 10))
NEW = tuple(head(first) for first in range(991, 900, -10))


def offline(**more: object) -> Waiting:
    """After an outage: more history than was looked at, the newest apart."""
    return Waiting(history=OLD, newest=NEW, bulk=BULK, more=True, waited_s=600.0, **more)  # type: ignore[arg-type]


def chosen(
    step: Step, waiting: Waiting, since_live_s: float | None, **link: object
) -> Batch | None:
    return next_batch(waiting, Link(**link), budget(step, since_live_s))  # type: ignore[arg-type]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("since", [None, 0.0, 1e6])
def test_alarms_always_go_first(step: Step, since: float | None) -> None:
    batch = chosen(step, offline(alarm=ALARM), since)
    assert batch is not None and batch.priority is Priority.ALARM


@pytest.mark.parametrize(
    ("step", "since", "priority", "rows"),
    [
        ("none", 0.0, Priority.LIVE, 10),
        ("slow", 0.0, Priority.HISTORY, 40),  # backfill goes on, live waits its turn
        ("slow", 61.0, Priority.LIVE, 10),
        ("newest", 61.0, Priority.LIVE, 10),
        ("newest", 59.0, None, 0),
        ("alarms", 301.0, Priority.LIVE, 1),
        ("alarms", None, Priority.LIVE, 1),
        ("alarms", 299.0, None, 0),
        ("spent", None, None, 0),
    ],
)
def test_what_each_step_lets_through(
    step: Step, since: float | None, priority: Priority | None, rows: int
) -> None:
    batch = chosen(step, offline(), since)
    assert (batch.priority if batch else None) == priority
    assert (len(batch.heads) if batch else 0) == rows


def test_the_one_row_of_the_last_step_is_the_newest() -> None:
    batch = chosen("alarms", offline(), None)
    assert batch is not None and batch.heads == (NEW[0],)
    again = chosen("alarms", offline(live_after=NEW[0]), None)
    assert again is None  # nothing newer: nothing is sent twice


@pytest.mark.parametrize(
    ("step", "files"),
    [("none", True), ("slow", True), ("newest", False), ("alarms", False), ("spent", False)],
)
def test_files(step: Step, files: bool) -> None:
    assert budget(step).allows(StorageClass.BULK) == files
    assert (chosen(step, Waiting(bulk=BULK), None) is not None) == files


def test_samples_wait_longer_for_company_when_slow() -> None:
    def waiting(waited_s: float) -> Waiting:
        return Waiting(history=OLD[:2], newest=OLD[1::-1], waited_s=waited_s)

    assert chosen("none", waiting(1.0), 0.0) is not None
    assert chosen("slow", waiting(59.0), 0.0) is None
    batch = chosen("slow", waiting(60.0), 0.0)
    assert batch is not None and len(batch.heads) == 2
    assert budget("slow", linger_s=30.0).linger_s == 90.0


@given(st.sampled_from(STEPS), st.one_of(st.none(), st.floats(0, 1e6)), st.floats(0, 60))
def test_no_step_stops_alarms(step: Step, since: float | None, linger_s: float) -> None:
    assert budget(step, since, linger_s).allows(StorageClass.ALARM)


@given(st.integers(0, 200 * MB), st.integers(0, 200 * MB))
def test_who_spent_more_is_never_at_an_earlier_step(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert STEPS.index(CONFIG.step(low)) <= STEPS.index(CONFIG.step(high))


def test_even_a_wrong_bound_for_alarms_is_ignored() -> None:
    assert Budget({StorageClass.ALARM: 0}).allows(StorageClass.ALARM)
    assert UNLIMITED.allows(StorageClass.BULK)


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("since", "now", "spent", "want"),
    [
        ("2027-01-01", "2027-01-16T12:00", 50 * MB, 100 * MB),  # half of 31 days
        ("2027-02-01", "2027-02-15", 10 * MB, 20 * MB),
        ("2027-02-01", "2027-02-01T12:00", 1 * MB, 28.5 * MB),
        ("2027-02-01", "2027-02-01T00:01", 1 * MB, 29 * MB),  # not 40,000 MB
        ("2027-01-25", "2027-01-26T12:00", 30 * MB, 140 * MB),  # put in on the 25th
        ("2027-01-25T12:00", "2027-01-26T12:00", 20 * MB, 130 * MB),
        ("2027-01-31T12:00", "2027-01-31T18:00", 8 * MB, 10 * MB),
        ("2026-12-25", "2027-01-16T12:00", 50 * MB, 100 * MB),  # only of this month
        ("2027-02-25", "2027-02-20", 1 * MB, 10 * MB),  # a clock that went back: of a day
        ("2027-02-01", None, 1 * MB, None),
        (None, "2027-02-01", 1 * MB, None),
    ],
)
def test_the_forecast_is_linear_in_the_time_that_was_counted(
    since: str | None, now: str | None, spent: int, want: float | None
) -> None:
    found = forecast_bytes(spent, utc(since) if since else 0, utc(now) if now else None)
    assert found is None if want is None else found == pytest.approx(want, rel=1e-3)


@given(st.integers(0, 31 * DAY_MS - 1), st.integers(0, 60 * DAY_MS), st.integers(0, 200 * MB))
def test_a_forecast_is_never_below_what_was_spent(over: int, before: int, spent: int) -> None:
    now = utc("2027-01-01") + over
    found = forecast_bytes(spent, now - before, now)
    assert found is not None and spent <= found <= 32 * spent
