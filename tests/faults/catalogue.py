"""The ids of faults that must have a test here or in the rig, and why some have none.

A fault is looked for under its id or a refinement of it: G11.1 and A4-control count for G11 and A4.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path

import pytest

SECTIONS = {"A": 13, "B": 16, "C": 8, "G": 16, "H": 7}
IDS = (
    *(f"{section}{n}" for section, last in SECTIONS.items() for n in range(1, last + 1)),
    *(f"I{n}" for n in range(5, 13)),
)

NOT_INJECTED = {
    "A6": "clips come with the cameras",
    "A13": "a hung kernel needs a watchdog chip: a bench does it, see docs/rig.md",
    "B15": "a slow disk is B3 here and in the rig; a limit of bytes a second needs a kernel "
    "that neither has",
    "G16": "acknowledged records are deleted: nothing is left to send again, by design",
    "H7": "udev and D-Bus are not used; a journal that is gone is B14",
}

BESIDE = {
    "I6": "a remote configuration on trial: with the commands, tests/agent",
    "I9": "hostile commands: with the commands, tests/agent",
    "I10": "a command runs at most once: with the commands, tests/agent",
}
"""Tested, but not with the marker of a fault."""

_HERE = Path(__file__).parent


class _Collector:
    def __init__(self) -> None:
        self.ids: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for name in ("fault", "rig"):
                self.ids |= {str(marker.args[0]) for marker in item.iter_markers(name)}


def tested() -> set[str]:
    """The ids that tests/faults and tests/rig name. Collects in this process."""
    found = _Collector()
    os.environ["BRAIN_FAULTS_ALL"] = os.environ["BRAIN_RIG_ALL"] = "1"
    with contextlib.redirect_stdout(io.StringIO()):
        argv = ["--collect-only", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
        pytest.main([*argv, str(_HERE), str(_HERE.parent / "rig")], [found])
    return {base for one in found.ids if (base := _base(one))}


def _base(identity: str) -> str:
    match = re.match(r"[A-Z]\d+", identity)
    return match[0] if match else ""


if __name__ == "__main__":
    print("\n".join(sorted(tested(), key=lambda one: (one[0], int(one[1:])))))  # noqa: T201
