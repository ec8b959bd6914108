"""What the SIM card's budget lets the uplink do: the steps of degradation, and a forecast. Pure.

Alarms always go. Before the budget ends the agent becomes slower, then sends the newest only, then
a position now and then; what is not sent stays in the outbox, and goes on an unmetered link or in
the next month.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from agent.record import StorageClass

MB = 1_000_000
DAY_MS = 86_400_000

Step = Literal["none", "slow", "newest", "alarms", "spent"]
STEPS: tuple[Step, ...] = ("none", "slow", "newest", "alarms", "spent")
MEANING: Mapping[Step, str] = {
    "none": "everything is sent",
    "slow": "samples wait longer for company, fewer live positions",
    "newest": "no backfill and no files: the newest samples only",
    "alarms": "alarms, and a position now and then",
    "spent": "alarms only",
}
WAITING: frozenset[Step] = frozenset({"newest", "alarms", "spent"})
"""Steps at which history stays in the outbox."""


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """Section `[budget]`. `monthly_mb` 0: no budget, bytes are counted all the same.

    The percentages are of the budget less its reserve, which belongs to alarms and positions.
    `unmetered`: names of interfaces without limits.
    """

    monthly_mb: int = 0
    reserve_percent: int = 5
    slow_percent: int = 80
    newest_percent: int = 95
    alarms_percent: int = 100
    slow_factor: int = 3
    slow_linger_s: int = 60
    position_every_s: int = 300
    unmetered: tuple[str, ...] = ()

    @property
    def spendable_bytes(self) -> int:
        """The budget less its reserve."""
        return self.monthly_mb * MB * (100 - self.reserve_percent) // 100

    @property
    def limits(self) -> Mapping[Step, int]:
        """From how many bytes on each step holds; empty without a budget."""
        if not self.monthly_mb:
            return {}
        percent: Mapping[Step, int] = {
            "slow": self.slow_percent,
            "newest": self.newest_percent,
            "alarms": self.alarms_percent,
        }
        limits = {step: self.spendable_bytes * p // 100 for step, p in percent.items()}
        return {**limits, "spent": self.monthly_mb * MB}

    def step(self, spent_bytes: int) -> Step:
        """The last step that was reached."""
        reached: Step = "none"
        for step, limit in self.limits.items():
            if spent_bytes >= limit:
                reached = step
        return reached


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be sent now. `left`: bytes left to spend per class; None is without limit.

    `history`: all of it, or only the newest rows, in one message, where `live_due`; or of those
    only one row. `live_due` False: nothing is sent out of its turn. `linger_s`: the least that
    samples wait for company.
    """

    left: Mapping[StorageClass, int | None]
    history: Literal["all", "newest", "one"] = "all"
    live_due: bool = True
    linger_s: float = 0.0

    def allows(self, storage_class: StorageClass) -> bool:
        """Whether the class may send at all. Alarms always may."""
        if storage_class is StorageClass.ALARM:
            return True
        left = self.left.get(storage_class)
        return left is None or left > 0


UNLIMITED = Budget({})
_NO_FILES = {StorageClass.BULK: 0}
_ALARMS_ONLY = {StorageClass.BULK: 0, StorageClass.HISTORY: 0}


def budget_of(
    config: BudgetConfig, step: Step, *, linger_s: float, since_live_s: float | None
) -> Budget:
    """What a step allows. `linger_s`: what samples wait without a budget.

    `since_live_s`: since the newest were sent out of their turn the last time, None for never.
    """
    slow_s = max(config.slow_factor * linger_s, float(config.slow_linger_s))

    def due(every_s: float) -> bool:
        return since_live_s is None or since_live_s >= every_s

    match step:
        case "none":
            return UNLIMITED
        case "slow":
            return Budget({}, live_due=due(slow_s), linger_s=slow_s)
        case "newest":
            return Budget(_NO_FILES, "newest", due(slow_s), slow_s)
        case "alarms":
            return Budget(_NO_FILES, "one", due(config.position_every_s))
        case "spent":
            return Budget(_ALARMS_ONLY, "one", live_due=False)


def forecast_bytes(spent_bytes: int, since_ms: int, utc_ms: int | None) -> int | None:
    """What the month will have cost if it goes on like this; None while the clock is unknown.

    `since_ms`: UTC at which this month was first counted. What was spent since then goes on at that
    rate to the end of the month; it counts as that of a day at least: the first hours say little.
    """
    if utc_ms is None or since_ms <= 0:
        return None
    now = datetime.fromtimestamp(utc_ms / 1000, UTC)
    days = calendar.monthrange(now.year, now.month)[1]
    over_ms = utc_ms - datetime(now.year, now.month, 1, tzinfo=UTC).timestamp() * 1000
    left_days = days - over_ms / DAY_MS
    counted_days = max(1.0, min(utc_ms - since_ms, over_ms) / DAY_MS)
    return round(spent_bytes * (1 + left_days / counted_days))
