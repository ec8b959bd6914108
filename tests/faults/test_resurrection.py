"""A damaged file that is salvaged brings back what was acknowledged: it must not stay for ever."""

from __future__ import annotations

import threading
import time

import pytest

from tests.faults.injection import injected
from tests.faults.world import World


@pytest.mark.fault("B7", "a page of the database cannot be read: EIO")
@pytest.mark.parametrize("reads", ["when=2+9", "when=3+5"])
def test_reads_fail_again_and_again_while_sending(reads: str, world: World) -> None:
    world.dial()
    world.start()
    world.feed()
    world.accepts(100)
    with world.failing(f"pread64:error=EIO:{reads}") as log:
        threading.Event().wait(6)
    assert injected(log)
    began = time.monotonic()
    world.settle(healed_at=began)
    assert world.answer("audit")["queued"] == 0, "acknowledged, and queued for ever"
