"""The tables of docs/rig.md: what each check shows and where it is; what each unit cannot do.

`python -m tests.rig.ids` writes them anew from the markers and from tests/rig/sandbox.py.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path

import pytest

from tests.rig import sandbox
from tests.rig.place import CHECKOUT, HERE

PAGE = CHECKOUT / "docs" / "rig.md"
BEGIN, END = "<!-- ids: made by python -m tests.rig.ids -->\n", "<!-- end of ids -->\n"
SANDBOX = "<!-- sandbox: made by the same -->\n", "<!-- end of sandbox -->\n"


class _Collector:
    def __init__(self) -> None:
        self.rows: set[tuple[str, str, str]] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for marker in item.iter_markers("rig"):
                identity, what = marker.args
                self.rows.add((identity, what, item.path.name))


def table() -> str:
    """Markdown, a line for each thing that a check shows, by id. Collects in this process."""
    found = _Collector()
    os.environ["BRAIN_RIG_ALL"] = "1"
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", str(HERE)], [found])
    lines = ["| id | what | where |", "|---|---|---|"]
    for identity, what, module in sorted(found.rows, key=lambda row: (_natural(row[0]), row)):
        lines.append(f"| {identity} | {what} | `{module}` |")
    return "".join(line + "\n" for line in lines)


def shown(page: Path = PAGE) -> str:
    """The table as the page has it."""
    return page.read_text().partition(BEGIN)[2].partition(END)[0]


def sandbox_shown(page: Path = PAGE) -> str:
    """The table of the sandboxes as the page has it."""
    return page.read_text().partition(SANDBOX[0])[2].partition(SANDBOX[1])[0]


def _natural(identity: str) -> list[tuple[int, str]]:
    """A4 before A10."""
    return [(int(part or 0), "") if part.isdigit() else (0, part)
            for part in re.split(r"(\d+)", identity)]  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        sys.stdout.write(table())
    else:
        head, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(head + BEGIN + table() + END + rest.partition(END)[2])
        head, _, rest = PAGE.read_text().partition(SANDBOX[0])
        rest = rest.partition(SANDBOX[1])[2]
        PAGE.write_text(head + SANDBOX[0] + sandbox.markdown() + SANDBOX[1] + rest)
