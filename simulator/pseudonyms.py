"""Driver identifications leave the vehicle under pseudonyms: judged by what stands for what.

The key of the pseudonyms is the driver's secret. What can be judged without it: the true
identification never leaves, one pseudonym stands for one driver, and for one only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from simulator.delivered import Delivered
from simulator.emission import Scalar
from simulator.ledger import Run

LEAKED = "a true identification"
"""Stands for a delivered identification, which nobody may take for what was written."""


def lifted(values: Iterable[Delivered], runs: Sequence[Run], slack_ms: int) -> list[Delivered]:
    """`values` with each pseudonym replaced by the identification that it stands for.

    A pseudonym that would stand for two drivers, or a driver with two of them, stays as it is.
    """
    names: dict[Scalar, Scalar] = {}
    shown = []
    true = {run.value for run in runs}
    for value in values:
        if value.value in true:
            shown.append(replace(value, value=LEAKED))
            continue
        standing = [
            run.value
            for run in runs
            if run.first_ms - slack_ms <= value.at_ms <= run.last_ms + slack_ms
        ]
        named = names.get(value.value)
        if named is None:
            free = [one for one in standing if one not in names.values()]
            if free:
                named = names[value.value] = free[0]
        shown.append(value if named not in standing else replace(value, value=named))
    return shown
