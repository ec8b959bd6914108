"""Faults by name: the form, what is active when, and who is not judged."""

from __future__ import annotations

import pytest

from simulator.faults import NAMES, Fault, parse, unjudged, world_faults


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("no_network@20+15", Fault("no_network", None, 20, 15)),
        ("agent_kill@5", Fault("agent_kill", None, 5, 0)),
        ("driver_kill@1.5", Fault("driver_kill", "gnss", 1.5, 0)),
        ("driver_flood:fms@3+2", Fault("driver_flood", "fms", 3, 2)),
        ("tunnel@7", Fault("tunnel", None, 7, 10)),
    ],
)
def test_form(text: str, want: Fault) -> None:
    assert parse(text) == want
    assert parse(str(want)) == want


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no_network", "expected NAME"),
        ("no_netwrok@3", "no fault 'no_netwrok'"),
        ("tunnel:gnss@3", "takes no driver"),
        ("driver_kill:gsm@3", "no driver 'gsm'; there are gnss, fms"),
        ("agent_kill@-3", "expected NAME"),
        ("", "expected NAME"),
    ],
)
def test_misuse_says_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


def test_all_names_parse() -> None:
    assert [parse(f"{name}@1").name for name in NAMES] == list(NAMES)


def test_world_faults_begin_and_end_with_their_second() -> None:
    faults = [parse("tunnel@10+5"), parse("can_flood@12+1"), parse("agent_kill@11")]
    assert world_faults(faults, 9.99) == frozenset()
    assert world_faults(faults, 10) == {("tunnel", "gnss")}
    assert world_faults(faults, 12.5) == {("tunnel", "gnss"), ("can_flood", "fms")}
    assert world_faults(faults, 15) == frozenset()


def test_only_the_target_of_a_misbehaving_driver_is_not_judged() -> None:
    assert unjudged([parse("driver_hang:fms@1"), parse("driver_kill:gnss@1")]) == ["fms"]
