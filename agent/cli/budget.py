"""`brain budget`: what the SIM card cost, from the running agent or from what it kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.cli import output
from agent.cli.audit import owns
from agent.cli.client import Control, NotRunning
from agent.cli.exits import DEGRADED, OK
from agent.cli.options import AsJson, ConfigFile, RunDir, StateDir
from agent.cli.places import Places, places_of
from agent.config_files import DEFAULT_FILE

_CLASSES = ("alarm", "live", "history", "bulk", "overhead", "total")
SHOWN_DAYS = 7


def budget(
    config: ConfigFile = DEFAULT_FILE,
    run_dir: RunDir = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> int:
    """Bytes on the air per class, day and month, against the budget. Exit code 0, 1: history waits.

    Without a running agent it shows what was kept.
    """
    where = places_of(config, run_dir, state_dir)
    try:
        if state_dir is not None and not owns(where):
            raise NotRunning(f"no brain in {where.run_dir} has its outbox in {where.state_dir}")
        shown: Mapping[str, Any] = Control(where.run_dir).ask("budget")
    except NotRunning as error:
        shown = kept(where, config, error)
    if as_json:
        output.json_text(shown)
    else:
        output.lines(report(shown))
    return DEGRADED if shown["waits"] else OK


def kept(where: Places, config: Path, error: NotRunning) -> Mapping[str, Any]:
    """What the last coordinator kept. Raises NotRunning where there is nothing."""
    from agent.config import load
    from agent.reload import budget_settings
    from agent.uplink.budget import BudgetConfig
    from agent.uplink.statement import statement
    from agent.uplink.traffic import Traffic
    from agent.uplink.traffic_file import load as load_counts

    serial, counted = load_counts(where.state_dir)
    if not serial:
        text = f"{error}; nothing was counted in {where.state_dir} either"
        raise NotRunning(text) from error
    found = load(config).config if config.exists() else None
    settings = budget_settings(found) if found is not None else BudgetConfig()
    books = statement(settings, Traffic(counted).counted, None)
    vehicle = found.vehicle.id if found is not None else None
    return {"vehicle": vehicle, **books, "link": {"interface": "", "metered": True}}


def report(shown: Mapping[str, Any]) -> list[str]:
    """The month in a line or two, the steps, then bytes per class."""
    lines = [_headline(shown)]
    if shown["monthly_bytes"]:
        lines += ["", *output.table(["from", "step", "what it means"], _steps(shown))]
    rows = [
        [_title(name, shown), *(_size(shown[key][c]) for c in _CLASSES)]
        for name, key in (("metered", "metered"), ("unmetered", "unmetered"))
    ]
    days = list(shown["days"].items())[-SHOWN_DAYS:]
    rows += [[day, *(_size(count["metered"][c]) for c in _CLASSES)] for day, count in days]
    return [*lines, "", *output.table(["", *_CLASSES], rows)]


def _title(name: str, shown: Mapping[str, Any]) -> str:
    return f"{shown['month'] or 'undated'} {name}"


def _headline(shown: Mapping[str, Any]) -> str:
    link = shown["link"]
    where = f" over {link['interface']}" if link["interface"] else ""
    free = "" if link["metered"] else "; this link has no limits"
    month = shown["month"] or "no clock yet"
    text = f"{month}: {_size(shown['spent_bytes'])}"
    if shown["monthly_bytes"]:
        text += f" of {_size(shown['monthly_bytes'])} ({shown['spent_percent']} % before reserve)"
    else:
        text += ", no limit set (budget.monthly_mb)"
    if shown["forecast_bytes"] is not None:
        text += f", forecast {_size(shown['forecast_bytes'])}"
    return f"{text}{where}{free}; {shown['meaning']}"


def _steps(shown: Mapping[str, Any]) -> list[list[str]]:
    return [
        [_size(s["from_bytes"]), s["step"] + (" *" if s["reached"] else ""), s["meaning"]]
        for s in shown["steps"]
    ]


def _size(nbytes: int) -> str:
    """Bytes as people read them, in thousands."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= size:
            return f"{nbytes / size:.1f} {unit}"
    return f"{nbytes} B"
