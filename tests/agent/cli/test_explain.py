"""`brain explain`: what it says of an arbiter that has heard something, and of other signals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.arbitration import arbiter
from agent.board import Board
from agent.clock import BUILD_UTC_MS, OffsetRow, OffsetSource
from agent.config_models import Arbitration
from agent.explain import Explainer
from agent.processors.arbitrated import ARBITRATED
from agent.processors.clock import UTC_PATH, VEHICLE_PATH, ClockTable
from agent.record import Record, Scalar, State
from agent.signals import Catalogue, Datatype, Group, Signal, sampled

from .conftest import Brain, Coordinator

SPEED, TACHO, SKY = "Vehicle.Speed", "Vehicle.Tachograph.Speed", "Vehicle.Bus.Gnss.Speed"
DOOR = "Vehicle.Bus.Doors.Position"
BOOT = "b" * 32


def signal(path: str, unit: str = "km/h") -> Signal:
    return Signal(path, Datatype.FLOAT, unit, f"Meaning of {path}.", sampled(1, 0.5), source="SPN")


class Situation:
    """What was heard until now, second by second."""

    def __init__(self) -> None:
        rows = [OffsetRow(BOOT, 0, BUILD_UTC_MS, OffsetSource.RTC)]
        self.clock = ClockTable(BOOT, rows)
        self.arbiter = arbiter("brain", Arbitration(), self.clock)
        self.board = Board()
        self.catalogue = Catalogue()
        self.catalogue.declare("brain", (ARBITRATED,))
        fms = (signal(SPEED), signal(TACHO), signal(DOOR, ""))
        self.catalogue.declare("fms", (Group("ccvs1", fms),))
        self.catalogue.declare("gnss", (Group("fix", (signal(SKY), signal(UTC_PATH, "ms"))),))
        self.now_ms = 0

    def hear(self, at_s: float, source: str, path: str, what: Scalar | State) -> None:
        self.now_ms = round(at_s * 1000)
        state = isinstance(what, State)
        values = {} if isinstance(what, State) else {path: what}
        record = Record(source, self.now_ms, values, {path: what} if state else {})  # type: ignore[dict-item]
        for timed in self.clock.step(record):
            for stated in self.arbiter.step(timed):
                self.board.observe(stated)

    def explain(self, asked: str) -> dict[str, Any]:
        explainer = Explainer(self.arbiter, self.clock, self.board, self.catalogue)
        return explainer.explain(asked, self.now_ms)


@pytest.fixture
def driving() -> Situation:
    """Wheels are followed, the tachograph is implausible, the sky differs for long."""
    now = Situation()
    for second in range(40):
        now.hear(second, "fms", SPEED, 51.0)
        now.hear(second, "gnss", SKY, 63.5)
        now.hear(second, "fms", TACHO, State.IMPLAUSIBLE)
    return now


def verdicts(answer: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(one["rank"], one["verdict"], one["text"]) for one in answer["candidates"]]


def test_each_candidate_has_its_verdict(driving: Situation) -> None:
    answer = driving.explain(SPEED)
    assert (answer["followed"], answer["reason"]) == (f"fms:{SPEED}", "the first that is good")
    assert (answer["changed_s"], answer["unit"]) == (39.0, "km/h")
    assert verdicts(answer) == [
        (1, "followed", "followed"),
        (2, "implausible", "implausible"),
        (3, "lower", "fresh but ranks lower; differs by 12.5 for 39 s"),
    ]
    assert [one["value"] for one in answer["candidates"]] == [51.0, None, 63.5]
    for name in ("speed", "Vehicle.Bus.Arbitration.Speed"):
        assert driving.explain(name) == answer


def test_stale_waiting_and_failing_ones(driving: Situation) -> None:
    driving.hear(43, "gnss", SKY, 63.5)
    assert verdicts(driving.explain(SPEED))[0] == (
        (1, "failing", "followed; stale: 4.0 s, waits for it 2 s")
    )
    driving.hear(44, "gnss", SKY, 63.5)
    answer = driving.explain(SPEED)
    assert answer["followed"] == f"gnss:{SKY}"
    assert answer["reason"] == f"fms:{SPEED} stale: 5.0 s, bad for 2.0 s"
    assert verdicts(answer)[0] == (1, "stale", "stale: 5.0 s")
    driving.hear(45, "fms", SPEED, 51.0)
    driving.hear(47, "fms", SPEED, 51.0)
    assert verdicts(driving.explain(SPEED))[0] == ((1, "waits", "waits 3 s before it takes over"))


def test_what_nobody_said_is_listed_as_unheard() -> None:
    now = Situation()
    now.hear(1, "gnss", SKY, 50.0)
    answer = now.explain("speed")
    assert [one["verdict"] for one in answer["candidates"]] == ["unheard", "unheard", "followed"]
    assert now.explain("odometer")["followed"] == "none"


def test_the_clock() -> None:
    now = Situation()
    assert (now.explain("clock")["followed"], now.explain("clock")["candidates"]) == (
        "system:rtc",
        [],
    )
    now.hear(1, "cluster", VEHICLE_PATH, 978_307_200_000)
    for second in (1, 2, 3):
        now.hear(second, "gnss", UTC_PATH, BUILD_UTC_MS + second * 1000 + 7_000)
        now.hear(second, "fms", VEHICLE_PATH, BUILD_UTC_MS + second * 1000 + 9_500)
    answer = now.explain(UTC_PATH)
    assert (answer["followed"], answer["changed_s"]) == (f"gnss:{UTC_PATH}", 1.0)
    assert [(one["source"], one["text"]) for one in answer["candidates"]] == [
        ("gnss", "followed"),
        ("cluster", "implausible: no date that can be"),
        ("fms", "ranks below gnss; differs by 2.5 s"),
    ]


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("Vehicle.Sped", "Vehicle.Speed"),
        ("vehicle.speed", "Vehicle.Speed"),
        ("Position", DOOR),
        ("Xyz.Qqq", None),
    ],
)
def test_an_unknown_signal_has_a_suggestion(asked: str, near: str | None) -> None:
    answer = Situation().explain(asked)
    assert (answer["signal"], answer["near"]) == (None, near)


Start = Callable[..., Coordinator]


def test_the_screen_of_a_decision(
    driving: Situation, brain: Brain, coordinator: Start, run_dir: Path
) -> None:
    asked = coordinator(explain=driving.explain(SPEED))
    done = brain("explain", SPEED, "--run-dir", run_dir)
    assert (done.code, done.err) == (0, "")
    assert asked.asked == [{"verb": "explain", "signal": SPEED}]
    assert done.out.splitlines() == [
        "Vehicle.Speed  followed: fms:Vehicle.Speed  for 39 s",
        "because   the first that is good",
        "rank  source                        newest       age    verdict",
        "1     fms:Vehicle.Speed             51 km/h      0.0 s  followed",
        "2     fms:Vehicle.Tachograph.Speed  implausible  0.0 s  implausible",
        "3     gnss:Vehicle.Bus.Gnss.Speed   63.5 km/h    0.0 s  fresh but ranks lower; "
        "differs by 12.5 for 39 s",
    ]


def test_the_screen_of_any_other_signal(
    driving: Situation, brain: Brain, coordinator: Start, run_dir: Path
) -> None:
    coordinator(explain=driving.explain(SKY))
    done = brain("explain", SKY, "--run-dir", run_dir)
    assert done.out.splitlines() == [
        f"{SKY}  Meaning of {SKY}.",
        "not arbitrated: one source, weighed for Vehicle.Speed",
        "source  newest     age    kept       definition",
        "gnss    63.5 km/h  0.0 s  1 s > 0.5  SPN",
    ]


def test_json_is_the_answer(
    driving: Situation, brain: Brain, coordinator: Start, run_dir: Path
) -> None:
    answer = driving.explain(DOOR)
    coordinator(explain=answer)
    assert brain("explain", DOOR, "--json", "--run-dir", run_dir).json == answer
    assert answer["sources"][0]["value"] is None


def test_an_unknown_signal_is_one_line(brain: Brain, coordinator: Start, run_dir: Path) -> None:
    coordinator(explain=Situation().explain("Vehicle.Sped"))
    done = brain("explain", "Vehicle.Sped", "--run-dir", run_dir)
    assert (done.code, done.out) == (2, "")
    assert done.err == 'no signal "Vehicle.Sped", did you mean "Vehicle.Speed"?\n'


def test_without_an_agent(brain: Brain, run_dir: Path) -> None:
    done = brain("explain", SPEED, "--run-dir", run_dir)
    assert done.code == 3
    assert done.err.startswith("brain is not running.")


def test_the_screen_of_the_clock(brain: Brain, coordinator: Start, run_dir: Path) -> None:
    now = Situation()
    now.hear(1, "fms", VEHICLE_PATH, BUILD_UTC_MS + 1_000)
    coordinator(explain=now.explain("clock"))
    assert brain("explain", "clock", "--run-dir", run_dir).out.splitlines() == [
        "clock  followed: system:rtc",
        "because   rtc is the best kind of clock that this boot has seen",
        "rank  source                         newest                         age    verdict",
        "2     fms:Vehicle.Bus.Clock.Vehicle  2026-11-01 00:00:01.000+00:00  0.0 s  "
        "waits to be confirmed",
    ]
