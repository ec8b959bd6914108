"""What checks found, as JSON: an entry for each id, failed or not run too."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

BOOKS = ("accepted", "delivered", "dropped", "lost", "invented")
SUMS = ("runs", *BOOKS)
COLUMNS = ("id", "what", *SUMS, "heal_ms", "verdict")
WORST = ("passed", "not run", "failed")


def natural(identity: str) -> list[tuple[int, str]]:
    """A key that sorts ids: A4 before A10."""
    parts = re.split(r"(\d+)", identity)
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


class Report:
    """Entries by id. Tests of one id are one check: figures add up, the worst verdict counts.

    `key` is the name of the list in the file; `plain`: its entries have COLUMNS and nothing beside,
    the remarks of tests are shown to people only.
    """

    def __init__(self, key: str = "checks", *, plain: bool = False) -> None:
        self._key = key
        self._plain = plain
        self._checks: dict[str, dict[str, Any]] = {}

    def enter(
        self, identity: str, what: str, figures: dict[str, Any], verdict: str, reason: str = ""
    ) -> None:
        """Add a test's result. `figures`: those of SUMS, `heal_ms` (the longest), remarks.

        A check that passed without books had no records: 0 of each.
        """
        check = self._checks.setdefault(
            identity,
            {
                "id": identity,
                "what": what,
                **dict.fromkeys(SUMS),
                "heal_ms": None,
                "verdict": "passed",
            },
        )
        if verdict == "passed":
            # The fixtures have seen to it that whoever ran an agent kept the books.
            figures = {"runs": 1, **dict.fromkeys(BOOKS, 0), **figures}
        elif verdict == "not run":
            figures = {}
        for name, value in figures.items():
            before = check.get(name)
            if name in SUMS and before is not None:
                check[name] = before + value
            elif name == "heal_ms" and before is not None:
                check[name] = max(before, value)
            else:
                check[name] = value
        if WORST.index(verdict) > WORST.index(check["verdict"]):
            check["verdict"] = verdict
        if reason:
            check["reason"] = reason

    def write(self, path: Path) -> None:
        """Write the file."""
        checks = sorted(self._checks.values(), key=lambda check: natural(str(check["id"])))
        if self._plain:
            checks = [{name: check[name] for name in COLUMNS} for check in checks]
        path.write_text(json.dumps({self._key: checks}, indent=1) + "\n")

    def lines(self) -> list[str]:
        """The same for people, a line a check."""
        shown = []
        for check in sorted(self._checks.values(), key=lambda check: natural(str(check["id"]))):
            figures = "  ".join(
                f"{name} {check[name]}" for name in (*SUMS, "heal_ms") if check[name] is not None
            )
            why = f": {check['reason']}" if check["verdict"] == "not run" else ""
            shown.append(f"{check['id']:<12} {check['verdict']}{why}  {figures}  {check['what']}")
        return shown
