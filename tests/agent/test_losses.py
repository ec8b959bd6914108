"""What the outbox lost calls once a trouble, with its number; while it lasts it is a problem."""

from __future__ import annotations

from collections import Counter

import pytest

from agent.alarms import Alarm
from agent.losses import BEGUN_S, CALM_S, PATIENCE_S, Losses


class Bench:
    """A store that says what the test wants."""

    def __init__(self) -> None:
        self.at = 0.0
        self.lost: Counter[str] = Counter()
        self.salvages = self.works = False
        self.losses = Losses(self, lambda: self.at)
        self.at += BEGUN_S

    def given_up(self) -> Counter[str]:
        return self.lost

    def salvaging(self) -> bool:
        return self.salvages

    def work_left(self) -> bool:
        return self.works or self.salvages


def alarms(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [
        (str(getattr(entry, "message_id", "")), entry.getMessage())
        for entry in caplog.records
        if entry.levelname == "ERROR"
    ]


def test_salvage_is_a_problem_and_its_end_one_alarm(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.salvages = True
    for n in (0, 100, 71):
        bench.lost["damaged"] += n
        bench.losses.look()
    assert bench.losses.problem and not alarms(caplog)
    bench.salvages = False
    bench.losses.look()
    bench.losses.look()
    ((kind, text),) = alarms(caplog)
    assert kind == Alarm.OUTBOX_DAMAGED and "in all: 171" in text
    assert bench.losses.problem is None


def test_a_long_salvage_calls_before_its_end(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.salvages = True
    bench.losses.look()
    bench.at += PATIENCE_S
    bench.losses.look()
    assert "so far: 0" in alarms(caplog)[0][1]
    bench.salvages = False
    bench.lost["damaged"] = 3
    bench.losses.look()
    bench.losses.end()
    assert len(alarms(caplog)) == 1
    assert "whole again, records lost: 3" in caplog.text


def test_an_end_before_the_salvage_calls_too(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.salvages = True
    bench.losses.look()
    bench.losses.end()
    assert len(alarms(caplog)) == 1


def test_commits_that_vanished_call_without_a_salvage(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.lost["damaged"] = 40
    bench.at -= BEGUN_S
    bench.losses.look()
    assert not alarms(caplog), "it begins to record first"
    bench.at += BEGUN_S
    bench.losses.look()
    assert "in all: 40" in alarms(caplog)[0][1]


def test_damage_that_comes_again_soon_is_the_same_trouble(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for _ in range(5):
        bench.lost["damaged"] += 1
        bench.losses.look()
        bench.at += 60
    assert len(alarms(caplog)) == 1
    bench.at += CALM_S
    bench.lost["damaged"] += 1
    bench.losses.look()
    assert len(alarms(caplog)) == 2


@pytest.mark.parametrize("reason", ["quota", "age", "disk_full"])
def test_records_given_up_for_room_call_once(reason: str, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for _ in range(1_000):
        bench.lost[reason] += 7
        bench.losses.look()
        bench.at += 30
    ((kind, _),) = alarms(caplog)
    assert kind == Alarm.OUTBOX_GIVES_UP
    assert bench.losses.problem is None, "the agent does what it was told to"


def test_what_is_no_loss_calls_nobody(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.works = True
    bench.lost["thinned"] = bench.lost["refused"] = 9
    bench.losses.look()
    bench.works = False
    bench.losses.look()
    assert not caplog.records and bench.losses.problem is None
