"""The oracle finds what is missing and invented; it forgives only what nobody could hear."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.delivered import Delivered
from simulator.emission import Emission, Heard
from simulator.ledger import LATITUDE, LONGITUDE, Ledger
from simulator.oracle import judge
from simulator.verdict import Verdict

ZERO_MS = 1_000_000
SPEED = "Vehicle.Speed"
BRAKE = "Vehicle.Bus.Chassis.BrakeSwitch"
numbers = itertools.count(1)


def heard(at_s: float, source: str, *writings: tuple[str, object], open_s: float = -60) -> Heard:
    fix = any(path == LATITUDE for path, _ in writings)
    emission = Emission(source, at_s, b"x\r", tuple(writings), fix)  # type: ignore[arg-type]
    return Heard(emission, ZERO_MS + round(at_s * 1000), ZERO_MS + round(open_s * 1000))


def value(at_s: float, source: str, signal: str, what: object, seq: int = 0) -> Delivered:
    number = seq or next(numbers)
    return Delivered(("e", number), source, signal, ZERO_MS + round(at_s * 1000), what)  # type: ignore[arg-type]


def world(entries: Iterable[Heard]) -> Ledger:
    ledger = Ledger()
    ledger.enter(entries)
    return ledger


def drive(seconds: int = 30) -> tuple[list[Heard], list[Delivered]]:
    """A drive in which everything that matters arrives."""
    written: list[Heard] = []
    arrived: list[Delivered] = []
    for second in range(seconds):
        latitude, longitude = 50.0 + second * 1e-4, 8.0
        fix = ((LATITUDE, latitude), (LONGITUDE, longitude))
        written.append(heard(second, "gnss", *fix))
        seq = next(numbers)
        arrived.append(value(second + 0.1, "gnss", LATITUDE, latitude, seq))
        arrived.append(value(second + 0.1, "gnss", LONGITUDE, longitude, seq))
        for tenth in range(10):
            at_s, speed = second + tenth / 10, second + tenth * 0.0625
            brake = second % 10 == 5
            written.append(heard(at_s, "fms", (SPEED, speed), (BRAKE, brake)))
            if tenth == 2:
                arrived.append(value(at_s, "fms", SPEED, speed))
            if (tenth == 0 and second % 10 in (5, 6)) or (second == 0 and tenth == 0):
                arrived.append(value(at_s + 0.02, "fms", BRAKE, brake))
    return written, arrived


def verdict_without(predicate: object = None, ledger: Ledger | None = None) -> Verdict:
    written, arrived = drive()
    kept = [v for v in arrived if predicate is None or not predicate(v)]  # type: ignore[operator]
    return judge(ledger or world(written), kept, ZERO_MS)


def test_a_whole_delivery_is_right() -> None:
    verdict = verdict_without()
    assert verdict.missing == {"gnss": 0, "fms": 0}, verdict.examples
    assert verdict.invented == {}, verdict.examples
    # The last second begins, and nothing shows whether it would have been heard out.
    assert verdict.facts == {"gnss": 30, "fms": 29 + 7}
    assert verdict.unheard == 0


@pytest.mark.parametrize(
    ("lost", "source"),
    [
        (lambda v: v.signal == LATITUDE and v.at_ms == ZERO_MS + 7_100, "gnss"),
        (lambda v: v.signal == BRAKE and v.at_ms == ZERO_MS + 15_020, "fms"),
        (lambda v: v.signal == BRAKE and v.at_ms == ZERO_MS + 20, "fms"),
    ],
)
def test_one_lost_fact_is_found(lost: object, source: str) -> None:
    verdict = verdict_without(lost)
    assert verdict.missing[source] == 1, verdict.examples
    assert sum(verdict.missing.values()) == 1


def test_lost_samples_are_found() -> None:
    lost = range(ZERO_MS + 10_000, ZERO_MS + 13_000)
    verdict = verdict_without(lambda v: v.signal == SPEED and v.at_ms in lost)
    # The first of three intervals may still be met by the newest value of the one before.
    assert verdict.missing["fms"] == 2, verdict.examples


def test_a_standing_bus_needs_each_fix_of_its_own() -> None:
    fix = ((LATITUDE, 50.0), (LONGITUDE, 8.0))
    ledger = world([heard(second, "gnss", *fix) for second in range(3)])
    arrived = [value(0, "gnss", p, v, seq) for seq in (1, 2) for p, v in fix]
    arrived = [v if v.seq[1] == 1 else value(2, v.source, v.signal, v.value, 2) for v in arrived]
    assert judge(ledger, arrived, ZERO_MS).missing == {"gnss": 1}


@pytest.mark.parametrize(
    "extra",
    [
        value(12.2, "fms", SPEED, 99.0),
        value(25.0, "fms", SPEED, 12.0),
        value(12.0, "fms", "Vehicle.Bus.Chassis.KickdownActive", False),
        value(12.0, "gnss", LATITUDE, 51.0),
    ],
)
def test_an_invented_value_is_found(extra: Delivered) -> None:
    written, arrived = drive()
    verdict = judge(world(written), [*arrived, extra], ZERO_MS)
    assert verdict.invented == {extra.source: 1}, verdict.examples


def test_the_same_value_under_two_numbers_is_found() -> None:
    written, arrived = drive()
    twin = next(v for v in arrived if v.signal == SPEED and v.at_ms == ZERO_MS + 9_200)
    twin = Delivered(("e", 99_999), twin.source, twin.signal, twin.at_ms, twin.value)
    assert judge(world(written), [*arrived, twin], ZERO_MS).invented == {"fms": 1}


def test_what_a_closed_or_just_opened_port_wrote_is_not_judged() -> None:
    closed = heard(0, "fms", (BRAKE, True))
    closed.open_since_boottime_ms = None
    fresh = heard(1, "fms", (BRAKE, False), open_s=0.5)
    verdict = judge(world([closed, fresh]), [], ZERO_MS)
    assert verdict.facts == {} and verdict.unheard == 2


def test_what_was_said_just_before_a_kill_is_not_judged() -> None:
    entries = [heard(s, "fms", (BRAKE, s % 2 == 0)) for s in range(10)]
    ledger = world(entries)
    ledger.kills.append(("fms", ZERO_MS + 7_500))
    verdict = judge(ledger, [], ZERO_MS)
    # Seconds 6 to 8 are unheard; 9 says what was heard last.
    assert verdict.facts == {"fms": 6} and verdict.missing == {"fms": 6}


def test_an_interval_that_is_not_heard_out_is_no_fact() -> None:
    """What thinning held back would have come again within a second."""
    entries = [heard(s / 10, "fms", (SPEED, 30.0 + s)) for s in range(51)]
    ledger = world(entries)
    assert judge(ledger, [], ZERO_MS).facts == {"fms": 5}
    ledger.kills.append(("fms", ZERO_MS + 4_900))
    # Heard until second 2.9.
    assert judge(ledger, [], ZERO_MS).facts == {"fms": 2}


def test_a_kill_while_the_coordinator_was_down_takes_the_ring_along() -> None:
    entries = [heard(s, "fms", (BRAKE, s % 2 == 0)) for s in range(20)]
    ledger = world(entries)
    ledger.outages.append((ZERO_MS + 5_000, ZERO_MS + 9_000))
    ledger.kills.append(("fms", ZERO_MS + 10_500))
    assert ledger.deaf("fms") == [(ZERO_MS + 3_000, ZERO_MS + 11_500)]
    ledger.kills[:] = [("fms", ZERO_MS + 11_500)]
    assert ledger.deaf("fms") == [(ZERO_MS + 9_500, ZERO_MS + 12_500)]


def test_a_coordinator_that_is_back_for_a_moment_has_taken_nothing_yet() -> None:
    ledger = Ledger()
    ledger.outages += [(ZERO_MS + 5_000, ZERO_MS + 9_000), (ZERO_MS + 9_300, None)]
    ledger.kills.append(("fms", ZERO_MS + 15_000))
    assert ledger.deaf("fms") == [(ZERO_MS + 3_000, ZERO_MS + 16_000)]
    ledger.outages[1] = (ZERO_MS + 11_100, None)
    assert ledger.deaf("fms") == [(ZERO_MS + 9_100, ZERO_MS + 16_000)]


@given(
    st.lists(st.integers(0, 30_000), max_size=9, unique=True),
    st.lists(st.integers(0, 30_000), max_size=6, unique=True),
)
def test_kills_that_follow_each_other_closely_cost_no_fact(
    kills_ms: list[int], moments: list[int]
) -> None:
    """All arrives, so nothing is missing, whatever of it was unheard, once or twice over."""
    written, arrived = drive()
    ledger = world(written)
    ledger.kills += [("fms", ZERO_MS + at_ms) for at_ms in sorted(kills_ms)]
    outages = sorted(moments)
    for down, back in itertools.zip_longest(outages[::2], outages[1::2]):
        ledger.outages.append((ZERO_MS + down, None if back is None else ZERO_MS + back))
    deaf = ledger.deaf("fms")
    assert all(end + 1 < start for (_, end), (start, _) in itertools.pairwise(deaf))
    verdict = judge(ledger, arrived, ZERO_MS)
    assert sum(verdict.missing.values()) == 0, verdict.examples
    assert verdict.invented == {}


ODOMETER = "Vehicle.TraveledDistance"
ANGLE = "Vehicle.Chassis.SteeringWheel.Angle"
DRIVER = "Vehicle.Tachograph.Driver1.Identifier"


def two_odometers(better_until_s: int = 30) -> Ledger:
    """A fine odometer that stops at some time, and a coarse one beside it."""
    entries = []
    for second in range(30):
        if second < better_until_s:
            entries.append(heard(second, "fms", (ODOMETER, 1_000.0 + 5 * second)))
        emission = Emission("fms", second + 0.5, b"x\r", alternatives=((ODOMETER, 990.0),))
        at_ms = ZERO_MS + second * 1_000 + 500
        entries.append(Heard(emission, at_ms, ZERO_MS - 60_000))
    return world(entries)


@pytest.mark.parametrize(
    ("better_until_s", "at_s", "invented"),
    [
        (30, 0.6, 0),  # the better one may not have been heard yet
        (30, 4.5, 0),
        (30, 5.5, 1),
        (30, 20.5, 1),
        (10, 9.0, 1),
        (10, 20.5, 0),  # it is gone
    ],
)
def test_an_alternative_is_to_be_believed_only_alone(
    better_until_s: int, at_s: float, invented: int
) -> None:
    verdict = judge(two_odometers(better_until_s), [value(at_s, "fms", ODOMETER, 990.0)], ZERO_MS)
    assert sum(verdict.invented.values()) == invented, verdict.examples


@pytest.mark.parametrize(("at_s", "invented"), [(9.0, 1), (14.0, 0), (22.0, 0), (27.0, 1)])
def test_a_pause_of_the_better_one_makes_room_for_the_other(at_s: float, invented: int) -> None:
    entries = [
        heard(second, "fms", (ODOMETER, 1_000.0 + 5 * second))
        for second in range(30)
        if not 10 <= second < 20
    ]
    ledger = world(entries)
    ledger.enter(
        Heard(
            Emission("fms", second, b"x\r", alternatives=((ODOMETER, 990.0),)),
            ZERO_MS + second * 1_000,
            ZERO_MS - 60_000,
        )
        for second in range(30)
    )
    verdict = judge(ledger, [value(at_s, "fms", ODOMETER, 990.0)], ZERO_MS)
    assert sum(verdict.invented.values()) == invented, verdict.examples


@pytest.mark.parametrize(("at_s", "invented"), [(11.0, 1), (13.5, 0), (16.5, 0), (19.5, 1)])
def test_a_reader_that_was_restarted_knows_no_better(at_s: float, invented: int) -> None:
    entries = []
    for second in range(30):
        emission = Emission(
            *("fms", second, b"x\r", ((ODOMETER, 1_000.0),)), alternatives=((ODOMETER, 990.0),)
        )
        opened = ZERO_MS - 60_000 if second < 12 else ZERO_MS + 12_300
        entries.append(Heard(emission, ZERO_MS + second * 1_000, opened))
    # The writing of second 12 came while the port was closed; nobody wrote then.
    del entries[12]
    verdict = judge(world(entries), [value(at_s, "fms", ODOMETER, 990.0)], ZERO_MS)
    assert sum(verdict.invented.values()) == invented, verdict.examples


def test_an_alternative_is_no_fact() -> None:
    emission = Emission("fms", 1, b"x\r", alternatives=((BRAKE, True),))
    ledger = world([Heard(emission, ZERO_MS + 1_000, ZERO_MS - 60_000)])
    assert judge(ledger, [], ZERO_MS).facts == {}


@pytest.mark.parametrize(("off", "invented"), [(0.0, 0), (0.00009, 0), (0.0002, 1)])
def test_an_irrational_conversion_has_its_tolerance(off: float, invented: int) -> None:
    ledger = world([heard(s, "fms", (ANGLE, 12.3456)) for s in range(5)])
    arrived = [value(2.1, "fms", ANGLE, 12.3456 + off)]
    assert sum(judge(ledger, arrived, ZERO_MS).invented.values()) == invented


@pytest.mark.parametrize(
    ("delivered", "missing", "invented"),
    [
        ([(0, "p1"), (10, "p2"), (20, "p1")], 0, 0),
        ([(0, "p1"), (10, "p1"), (20, "p1")], 1, 1),  # one for two
        ([(0, "p1"), (10, "p2"), (20, "p3")], 1, 1),  # two for one
        ([(0, "Ada"), (10, "p2"), (20, "p1")], 1, 1),  # the true name
        ([(0, "Ada"), (10, "p2"), (20, "Ada")], 2, 2),
        ([(0, "p1"), (10, "p2")], 1, 0),
    ],
)
def test_pseudonyms_stand_for_one_driver_each(
    delivered: list[tuple[float, str]], missing: int, invented: int
) -> None:
    names = ["Ada"] * 10 + ["Bob"] * 10 + ["Ada"] * 10
    ledger = world([heard(s, "fms", (DRIVER, name)) for s, name in enumerate(names)])
    arrived = [value(at_s + 0.1, "fms", DRIVER, name) for at_s, name in delivered]
    verdict = judge(ledger, arrived, ZERO_MS)
    assert verdict.missing == {"fms": missing}, verdict.examples
    assert sum(verdict.invented.values()) == invented, verdict.examples


@pytest.mark.parametrize(("settled", "missing"), [(False, 0), (True, 1)])
def test_what_another_sender_says_meets_an_interval_while_it_is_to_be_believed(
    settled: bool, missing: int
) -> None:
    """The better sender is back from second 10, or has been there all the time."""
    opened = ZERO_MS - 60_000
    entries = []
    for second in range(15):
        writings = ((ODOMETER, 1_000.0),) if settled or second >= 10 else ()
        coarse = ((ODOMETER, 990.0),)
        emission = Emission("fms", second, b"x\r", writings, alternatives=coarse)
        entries.append(Heard(emission, ZERO_MS + second * 1_000, opened))
    arrived = [value(0.1, "fms", ODOMETER, 1_000.0)] if settled else []
    verdict = judge(world(entries), [*arrived, value(10.5, "fms", ODOMETER, 990.0)], ZERO_MS)
    assert verdict.missing.get("fms", 0) == missing, verdict.examples


@pytest.mark.parametrize(("at_s", "invented"), [(8.6, 1), (15.6, 0), (24.6, 0), (28.6, 1)])
def test_while_nobody_knows_what_was_heard_another_sender_may_be_believed(
    at_s: float, invented: int
) -> None:
    """The port was open all the time; the driver behind it began to listen at some second."""
    ledger = two_odometers()
    ledger.outages.append((ZERO_MS + 12_000, ZERO_MS + 20_000))
    ledger.kills.append(("fms", ZERO_MS + 20_000))
    verdict = judge(ledger, [value(at_s, "fms", ODOMETER, 990.0)], ZERO_MS)
    assert sum(verdict.invented.values()) == invented, verdict.examples
