"""No fault of the catalogue is forgotten: each has a test, here or in the rig, or a reason."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.faults.catalogue import IDS, NOT_INJECTED
from tests.faults.world import CHECKOUT


def test_each_fault_has_a_test_or_a_reason() -> None:
    # A process of its own: it collects, and that must not meet the run it is part of.
    argv = [sys.executable, "-m", "tests.faults.catalogue"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=CHECKOUT, check=True)
    found = json.loads(done.stdout)
    tested = set(found["tested"])
    assert {"A1", "B1", "E1"} <= tested, f"nothing was collected\n{done.stdout}{done.stderr}"
    assert sorted(set(IDS) - tested - set(NOT_INJECTED)) == []
    assert sorted(set(NOT_INJECTED) & tested) == [], "has a test after all"
    assert set(NOT_INJECTED) <= set(IDS)
    assert found["untitled"] == [], "several texts, and no title in catalogue.TITLES"
