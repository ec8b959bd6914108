"""The table of faults for the README: `python -m tests.faults.table [faults-report.json]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.report import SUMS, natural

FIGURES = (*SUMS, "heal_ms")


def table(faults: Sequence[Mapping[str, Any]]) -> str:
    """Markdown, a line for each fault, in the order of their ids."""
    head = ["id", "fault", *(name.replace("_", " ") for name in FIGURES), "verdict"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * len(FIGURES) + "---|"]
    for fault in sorted(faults, key=lambda fault: natural(str(fault["id"]))):
        figures = [_figure(fault.get(name)) for name in FIGURES]
        cells = [
            str(fault["id"]),
            str(fault["what"]).replace("|", "\\|"),
            *figures,
            str(fault["verdict"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "".join(line + "\n" for line in lines)


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


if __name__ == "__main__":
    report = json.loads(Path((sys.argv[1:] or ["faults-report.json"])[0]).read_text())
    sys.stdout.write(table(report["faults"]))
