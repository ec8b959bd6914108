"""Trouble codes that came and went are found to be missing, doubled or invented."""

from __future__ import annotations

import itertools

import pytest

from simulator.dtc_oracle import APPEARED, CHANGED, GONE, Code, FaultEvent
from simulator.emission import Dm1, Dtc, Emission, Heard
from simulator.ledger import Ledger
from simulator.oracle import judge
from simulator.verdict import Verdict

ZERO_MS = 1_000_000
OIL = Dtc(100, 1, 5, 0)
CODE: Code = (0, 100, 1)
numbers = itertools.count(1)


def bus(
    *spans: tuple[float, float], until: float = 40, silent: tuple[float, float] = (0, 0)
) -> list[Heard]:
    """DM1s once a second that name the fault within `spans` (seconds, without their ends)."""
    entries = []
    for second in range(int(until)):
        if silent[0] <= second < silent[1]:
            continue
        active = (OIL,) if any(first <= second < last for first, last in spans) else ()
        emission = Emission("fms", second, b"x\r", dm1=Dm1(0, active))
        entries.append(Heard(emission, ZERO_MS + second * 1_000, ZERO_MS - 60_000))
    return entries


def event(at_s: float, what: str, code: Code = CODE, oc: int | None = 5) -> FaultEvent:
    seq = ("e", next(numbers))
    return FaultEvent(seq, "fms", ZERO_MS + round(at_s * 1_000), what, code, oc, 0)


def verdict(entries: list[Heard], *events: FaultEvent, kills: tuple[float, ...] = ()) -> Verdict:
    ledger = Ledger()
    for at_s in kills:
        ledger.kills.append(("fms", ZERO_MS + round(at_s * 1_000)))
        for entry in entries:
            if entry.emission.at_s > at_s:
                entry.open_since_boottime_ms = ZERO_MS + round(at_s * 1_000) + 300
    ledger.enter(entries)
    return judge(ledger, [], ZERO_MS, events=events)


def test_a_fault_that_came_and_went() -> None:
    found = verdict(bus((10, 20)), event(10.1, APPEARED), event(20.1, GONE))
    assert found.facts == {"fms": 2}
    assert found.missing == {"fms": 0} and found.invented == {}, found.examples


@pytest.mark.parametrize(
    ("events", "missing", "invented"),
    [
        ([(20, GONE)], 1, 0),
        ([(10, APPEARED)], 1, 0),
        ([], 2, 0),
        ([(10, APPEARED), (11, APPEARED), (20, GONE)], 0, 1),
        ([(10, APPEARED), (20, GONE), (21, GONE)], 0, 1),
        ([(5, APPEARED), (10, APPEARED), (20, GONE)], 0, 1),
        ([(10, APPEARED), (14, GONE), (20, GONE)], 0, 1),
        ([(10, APPEARED), (20, GONE), (30, APPEARED)], 0, 1),
        ([(10, APPEARED), (15, CHANGED), (20, GONE)], 0, 0),
        ([(10, APPEARED), (30, CHANGED), (20, GONE)], 0, 1),
    ],
)
def test_what_is_missing_and_what_is_invented(
    events: list[tuple[float, str]], missing: int, invented: int
) -> None:
    found = verdict(bus((10, 20)), *(event(at_s, what) for at_s, what in events))
    assert found.missing == {"fms": missing}, found.examples
    assert sum(found.invented.values()) == invented, found.examples


def test_details_are_those_of_the_bus() -> None:
    found = verdict(bus((10, 20)), event(10, APPEARED, oc=6), event(20, GONE))
    assert found.invented == {"fms": 1}
    found = verdict(
        bus((10, 20)), event(10, APPEARED), event(20, GONE), event(12, APPEARED, (0, 9, 9))
    )
    assert found.invented == {"fms": 1}


def test_a_restarted_reader_may_state_what_stands_again() -> None:
    again = (event(10, APPEARED), event(15.5, APPEARED), event(30, GONE))
    assert verdict(bus((10, 30)), *again, kills=(15,)).invented == {}
    assert verdict(bus((10, 30)), *again).invented == {"fms": 1}


def test_the_end_is_no_fact_where_the_reader_was_not_there() -> None:
    found = verdict(bus((10, 20)), event(10, APPEARED), kills=(20.5,))
    assert found.facts == {"fms": 1} and found.missing == {"fms": 0}


def test_silence_may_end_a_fault() -> None:
    entries = bus((10, 40), silent=(15, 24))
    ended = (event(10, APPEARED), event(20, GONE), event(24, APPEARED))
    found = verdict(entries, *ended)
    assert found.missing == {"fms": 0} and found.invented == {}, found.examples
    short = bus((10, 40), silent=(15, 19))
    assert verdict(short, event(10, APPEARED)).missing == {"fms": 0}
    assert verdict(short, *ended[:2], event(20.5, APPEARED)).invented == {}


def test_lost_messages_end_nothing() -> None:
    entries = [e for e in bus((10, 30)) if e.emission.at_s % 3 != 0]
    found = verdict(entries, event(10, APPEARED), event(31, GONE))
    assert found.facts == {"fms": 2} and found.missing == {"fms": 0}, found.examples
    assert found.invented == {}


def test_values_of_a_record() -> None:
    of = {"Sa": 11, "Spn": 789, "Fmi": 8, "Oc": 7, "Cm": 0}
    values = {f"Vehicle.Bus.DtcDetail.{name}": value for name, value in of.items()}
    made = FaultEvent.of(("e", 1), "fms", 5, {"Vehicle.Bus.Dtc": "appeared", **values})
    assert made == (("e", 1), "fms", 5, "appeared", (11, 789, 8), 7, 0)
    del values["Vehicle.Bus.DtcDetail.Oc"]
    assert FaultEvent.of(("e", 1), "fms", 5, {"Vehicle.Bus.Dtc": "gone", **values}).oc is None
