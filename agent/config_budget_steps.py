"""The steps of section [budget]: each gives up more than the one before, so it begins later."""

from __future__ import annotations

from itertools import pairwise

from agent.config_budget import BudgetSection
from agent.config_files import Tree
from agent.config_problems import Problem

_STEPS = ("slow_percent", "newest_percent", "alarms_percent")


def budget_problems(tree: Tree, budget: BudgetSection) -> list[Problem]:
    """Steps that would begin before one that gives up less, and so jump over it."""
    steps = [(name, getattr(budget, name)) for name in _STEPS]
    problems = []
    for (before, low), (name, percent) in pairwise(steps):
        if percent < low:
            # At the one that the files state; the other may be a default.
            at, other = (name, before) if tree.get(("budget", name)) is not None else (before, name)
            than = f"at least {before}" if at == name else f"at most {name}"
            text = f"got {getattr(budget, at)}, expected {than} ({getattr(budget, other)})"
            fix = f"the steps are {' <= '.join(step for step, _ in steps)}"
            problems.append(tree.problem(("budget", at), text, fix))
    return problems
