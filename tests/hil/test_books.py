"""The books balance: nothing missing and nothing invented through outages and kills of any part."""

from __future__ import annotations

import random

import pytest

from tests.hil.conftest import Simulate

KILLS = ("agent_kill", "driver_kill:gnss", "driver_kill:fms", "broker_kill", "cloud_kill")


def test_an_outage_and_a_kill_of_each_part(simulate: Simulate) -> None:
    outcome = simulate(
        *("--duration", "44", "--seed", "7", "--fault", "no_network@8+10"),
        *("--fault", "driver_kill:gnss@14", "--fault", "driver_kill:fms@20"),
        *("--fault", "agent_kill@24", "--fault", "cloud_kill@29", "--fault", "broker_kill@34"),
    )
    outcome.assert_books()
    assert len(outcome.report["signals"]) > 40
    carried, counted = outcome.report["wire_bytes"], outcome.report["budget_bytes"]
    assert carried > 10_000
    # Packets of a connection that was cut or killed are seen by one end alone.
    assert abs(counted / carried - 1) < 0.1, f"{counted} counted, {carried} carried"


def test_parts_kept_down_for_a_while(simulate: Simulate) -> None:
    outcome = simulate(
        *("--duration", "40", "--seed", "11", "--fault", "agent_kill@8+5"),
        *("--fault", "driver_kill:fms@18+4", "--fault", "cloud_kill@20+6"),
        *("--fault", "broker_kill@28+4"),
    )
    outcome.assert_books()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_random_kills(simulate: Simulate, seed: int) -> None:
    draw = random.Random(seed)
    faults: list[str] = []
    for _ in range(6):
        faults += ["--fault", f"{draw.choice(KILLS)}@{draw.uniform(2, 26):.2f}"]
    simulate("--duration", "30", "--seed", str(seed), *faults).assert_books()


@pytest.mark.parametrize(
    ("fault", "target", "other"),
    [
        pytest.param("driver_flood:gnss@5+6", "gnss", "fms", marks=pytest.mark.slow),
        ("driver_raise:gnss@5+6", "gnss", "fms"),
        pytest.param("driver_hang:gnss@5+14", "gnss", "fms", marks=pytest.mark.slow),
        ("driver_segfault:fms@5+6", "fms", "gnss"),
        ("driver_flood:fms@5+6", "fms", "gnss"),
    ],
)
def test_a_failing_driver_costs_its_own_data_only(
    simulate: Simulate, fault: str, target: str, other: str
) -> None:
    outcome = simulate("--duration", "24", "--seed", "3", "--fault", fault)
    assert outcome.report["not_judged"] == [target]
    assert outcome.report["missing_by_source"][other] == 0, outcome.report["examples"]
    assert outcome.report["facts_by_source"][other] > 0
    outcome.assert_books()


def test_the_world_under_its_own_faults(simulate: Simulate) -> None:
    outcome = simulate(
        *("--duration", "36", "--seed", "5", "--fault", "tunnel@5+8"),
        *("--fault", "gnss_garbage@15+5", "--fault", "can_silent@12+4"),
        *("--fault", "can_flood@22+8"),
    )
    outcome.assert_books()


def test_same_seed_same_digest_at_any_speed(simulate: Simulate) -> None:
    one = simulate("--duration", "16", "--seed", "9")
    one.assert_books()
    four = simulate("--duration", "16", "--seed", "9", "--speed", "4")
    other = simulate("--duration", "16", "--seed", "10", "--speed", "4")
    assert four.code == 0, four.output
    assert four.report["missing"] is None and four.report["invented"] is None
    assert one.report["digest"] == four.report["digest"] != other.report["digest"]
