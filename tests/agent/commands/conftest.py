"""What several tests of commands share stands beside them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from command_rig import Vehicle


@pytest.fixture
def vehicle(tmp_path: Path) -> Iterator[Vehicle]:
    made = Vehicle(tmp_path)
    yield made
    made.close()
