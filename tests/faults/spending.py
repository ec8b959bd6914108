"""What `brain budget --json` says must be true in itself, and never less than it was.

The counts are written at each change, without waiting for the disk: a kill costs nothing of them,
so within one month what is spent may not fall at all. Only a power cut may cost some: 64 kB, or
what was counted in 10 minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from simulator.processes import ask

CLASSES = ("alarm", "live", "history", "bulk", "overhead")
KINDS = ("metered", "unmetered")


class Spending:
    """Hears the agent's answers over all its lives. `wrong`: what cannot be, in words."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self._last: tuple[str | None, dict[str, int]] = (None, dict.fromkeys(KINDS, 0))

    def look(self, run_dir: Path) -> None:
        """Ask the agent, before it is killed; one that does not answer says nothing."""
        shown = ask(run_dir, "budget")
        if shown is not None:
            self.hear(shown)

    def hear(self, shown: Mapping[str, Any]) -> None:
        """Judge an answer, by itself and by the last one of the same month."""
        self.wrong += untrue(shown)
        month, now = shown["month"], {kind: int(shown[kind]["total"]) for kind in KINDS}
        before_month, before = self._last
        if month == before_month:
            self.wrong += [
                f"{month}: {now[kind]} bytes {kind}, {before[kind]} before"
                for kind in KINDS
                if now[kind] < before[kind]
            ]
        self._last = (month, now)

    def forget(self) -> None:
        """An older copy of the state directory was put back, with its counts."""
        self._last = (None, dict.fromkeys(KINDS, 0))


def untrue(shown: Mapping[str, Any]) -> list[str]:
    """What an answer says that cannot be: sums that differ from their parts."""
    found = [
        f"{where}: {count} does not add up"
        for where, count in _counts(shown)
        if sum(count[name] for name in CLASSES) != count["total"]
    ]
    if shown["spent_bytes"] != shown["metered"]["total"]:
        found.append(f"{shown['spent_bytes']} spent, {shown['metered']['total']} metered")
    months, month = shown["months"], shown["month"]
    for kind in KINDS:
        of_month = months[month][kind] if month in months else dict.fromkeys(CLASSES, 0)
        days = [day[kind] for name, day in shown["days"].items() if name[:7] == month]
        for name in CLASSES:
            total, undated = shown[kind][name], shown["undated"][kind][name]
            if total != of_month[name] + undated:
                found.append(f"{month} {kind} {name}: {total} is not {of_month[name]} + {undated}")
            if days and sum(day[name] for day in days) != of_month[name]:
                found.append(f"{month} {kind} {name}: its days are not {of_month[name]}")
    return found


def _counts(shown: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, int]]]:
    for kind in KINDS:
        yield kind, shown[kind]
        yield f"undated {kind}", shown["undated"][kind]
        for period in ("days", "months"):
            for name, both in shown[period].items():
                yield f"{name} {kind}", both[kind]
