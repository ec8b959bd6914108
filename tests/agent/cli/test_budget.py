"""`brain budget`: from a running coordinator, and from what the last one kept."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agent.uplink.accounting import Accounting
from agent.uplink.budget import BudgetConfig, budget_of
from agent.uplink.wire import Wire

NOW = 1_800_000_000_000  # 2027-01-15T08:00:00Z


def spent(directory: Path, up: int, **budget: Any) -> Accounting:
    directory.mkdir(exist_ok=True)
    config = BudgetConfig(**budget)
    one = Accounting(config, directory, lambda: NOW, Wire(lambda address: ""))
    one.start()
    one.wire.add(up, 0)
    one.look(at_once=True)
    one.stop()
    return one


@pytest.mark.parametrize(
    ("nbytes", "code", "text"),
    [
        (1_000_000, 0, "1.0 MB of 10.0 MB (10.5 % before reserve), forecast 17.7 MB"),
        (9_100_000, 1, "the newest samples only"),
        (10_000_000, 1, "alarms only"),
    ],
)
def test_a_running_coordinator_is_asked(
    tmp_path: Path,
    brain: Any,
    run_dir: Path,
    coordinator: Callable[..., Any],
    nbytes: int,
    code: int,
    text: str,
) -> None:
    books = spent(tmp_path / "state", nbytes, monthly_mb=10).status()
    coordinator(budget={"vehicle": "bus-1", **books})
    shown = brain("budget", "--run-dir", run_dir)
    assert shown.code == code
    assert text in shown.out
    assert "slow" in shown.out and "2027-01-15" in shown.out
    assert "preview" not in shown.out, "nothing makes previews, so there is no step that stops them"
    assert brain("budget", "--run-dir", run_dir, "--json").json["spent_bytes"] == nbytes


def test_without_a_coordinator_it_shows_what_was_kept(tmp_path: Path, brain: Any) -> None:
    spent(tmp_path / "state", 4_000_000)
    config = tmp_path / "brain.toml"
    config.write_text('[vehicle]\nid = "bus-9"\n[budget]\nmonthly_mb = 5\n')
    places = ("--run-dir", tmp_path / "run", "--state-dir", tmp_path / "state")
    shown = brain("budget", "-c", config, *places, "--json").json
    assert (shown["vehicle"], shown["spent_bytes"], shown["step"]) == ("bus-9", 4_000_000, "slow")
    assert [step["step"] for step in shown["steps"] if step["reached"]] == ["slow"]
    assert brain("budget", "-c", tmp_path / "none.toml", *places).code == 0


def test_every_step_that_is_shown_changes_what_may_be_sent(tmp_path: Path) -> None:
    steps = spent(tmp_path / "state", 1, monthly_mb=10).status()["steps"]
    allowed = [
        budget_of(BudgetConfig(monthly_mb=10), name, linger_s=1.0, since_live_s=100.0)
        for name in ("none", *(step["step"] for step in steps))  # type: ignore[attr-defined]
    ]
    assert all(one != other for one, other in pairwise(allowed))


def test_where_nothing_was_counted_it_says_so(tmp_path: Path, brain: Any) -> None:
    shown = brain("budget", "--run-dir", tmp_path / "run", "--state-dir", tmp_path / "state")
    assert shown.code == 3
    assert "nothing was counted in" in shown.err


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("monthly_mb = -1", "budget.monthly_mb"),
        ("slow_percent = 101", "budget.slow_percent"),
        ("unmetered = ['wlan0']", "budget.unmetered"),
        ("[budget.unmetered]\ninterfaces = ['a/b']", "budget.unmetered.interfaces"),
        ("monthly_gb = 1", "budget.monthly_gb"),
    ],
)
def test_what_check_says(tmp_path: Path, brain: Any, text: str, problem: str) -> None:
    config = tmp_path / "brain.toml"
    config.write_text(f'[vehicle]\nid = "bus-9"\n[budget]\n{text}\n')
    shown = brain("check", "-c", config)
    assert shown.code == 2
    assert problem in shown.err + shown.out
