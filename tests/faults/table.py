"""The table of faults for the README: `python -m tests.faults.table [faults-report.json]`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = ("runs", "accepted", "delivered", "dropped", "lost", "invented", "heal_ms")


def table(faults: Sequence[Mapping[str, Any]]) -> str:
    """Markdown, a line for each fault, in the order of their ids."""
    head = ["id", "fault", *COLUMNS, "verdict"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * len(COLUMNS) + "---|"]
    for fault in sorted(faults, key=lambda fault: _natural(str(fault["id"]))):
        figures = [_figure(fault.get(name)) for name in COLUMNS]
        cells = [str(fault["id"]), str(fault["what"]), *figures, str(fault["verdict"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "".join(line + "\n" for line in lines)


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def _natural(identity: str) -> list[tuple[int, str]]:
    """A4 before A10."""
    parts = re.split(r"(\d+)", identity)
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


if __name__ == "__main__":
    report = json.loads(Path((sys.argv[1:] or ["faults-report.json"])[0]).read_text())
    sys.stdout.write(table(report["faults"]))
