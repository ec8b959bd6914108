"""The budget's books as `brain budget --json` prints them, from the counts alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from agent.uplink.budget import MEANING, WAITING, BudgetConfig, forecast_bytes
from agent.uplink.traffic import Counted, Day, Traffic, by_class, nothing


def statement(config: BudgetConfig, counted: Counted, utc_ms: int | None) -> Mapping[str, object]:
    """All about this month, its days and the months before.

    `utc_ms` None: the clock is unknown, so is the forecast.
    """
    traffic = Traffic()
    traffic.counted = counted
    month = traffic.this_month()
    spent = sum(month.metered)
    step = config.step(spent)
    limits = config.limits
    forecast = forecast_bytes(spent, counted.since_ms, utc_ms)
    return {
        "month": counted.month or None,
        "monthly_bytes": limits.get("spent"),
        "spendable_bytes": config.spendable_bytes if limits else None,
        "spent_bytes": spent,
        "spent_percent": round(100 * spent / config.spendable_bytes, 1) if limits else None,
        "forecast_bytes": forecast,
        "step": step,
        "meaning": MEANING[step],
        "waits": step in WAITING,
        "steps": [
            {"step": name, "from_bytes": limit, "meaning": MEANING[name], "reached": spent >= limit}
            for name, limit in limits.items()
        ],
        "metered": by_class(month.metered),
        "unmetered": by_class(month.unmetered),
        "undated": _both(counted.undated),
        "days": {day: _both(count) for day, count in sorted(counted.days.items())},
        "months": {name: _both(count) for name, count in sorted(counted.months.items())},
        "unmetered_interfaces": list(config.unmetered),
    }


def _both(count: Day | None) -> Mapping[str, object]:
    count = count or nothing()
    return {"metered": by_class(count.metered), "unmetered": by_class(count.unmetered)}
