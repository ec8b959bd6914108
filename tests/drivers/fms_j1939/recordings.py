"""Where the recordings of other people's buses are, if they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.fms_j1939.driver import FmsJ1939

CAPTURES = ["css-bus-2023", "css-truck-2021", "css-j1939tp-2021"]


def _folder() -> Path | None:
    # Beside the checkout, or beside the folder that holds several checkouts.
    for parent in Path(__file__).resolve().parents[3:6]:
        folder = parent.parent / "shared" / "data" / "can"
        if folder.is_dir():
            return folder
    return None


FOLDER = _folder()
needs_recordings = pytest.mark.skipif(
    FOLDER is None,
    reason="not run: no recordings, ../shared/data/can is not beside the checkout; the vectors of "
    "test_vectors.py and the properties run without them",
)


def lines(name: str) -> Iterator[Any]:
    """What `brain decode` prints of a recording."""
    assert FOLDER is not None
    return FmsJ1939.decode(FOLDER / f"{name}.log.gz")
