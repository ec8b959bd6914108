"""Storage that says no: errors of fsync, write and read, and a disk that takes its time."""

from __future__ import annotations

import time

import pytest

from tests.faults.injection import injected
from tests.faults.world import World

REFUSES = "nothing can be written"


def driving(world: World) -> None:
    """An agent that records and delivers."""
    world.dial()
    world.start()
    world.feed()
    world.accepts(30)


@pytest.mark.fault("B1", "fsync fails once: EIO", slice=True)
def test_fsync_fails_once(world: World) -> None:
    driving(world)
    mark = world.mark()
    with world.failing("fdatasync,fsync:error=EIO:when=1") as log:
        world.until(lambda: injected(log), "a failed fsync")
        healed_at = time.monotonic()
        world.accepts(20)
    assert injected(log) == 1
    world.settle(healed_at=healed_at)
    # It was settled by opening the file again, within the same commit: nobody has to be called.
    assert len(world.alarms("")) <= 1, world.alarms("")
    assert len(world.alarms(REFUSES, mark)) == len(world.alarms(""))


@pytest.mark.fault("B2", "fsync fails for ever: EIO")
def test_fsync_fails_for_ever(world: World) -> None:
    driving(world)
    mark = world.mark()
    with world.failing("fdatasync,fsync:error=EIO") as log:
        world.until(lambda: world.alarms(REFUSES, mark), "the alarm")
        said = world.accepted()
        tries = injected(log)
        world.until(lambda: injected(log) > tries + 3, "it tries again")
        assert world.accepted() == said, "said to be on flash while no fsync worked"
        assert not world.healthy()
        healed_at = time.monotonic()
    world.accepts(50)
    world.settle(healed_at=healed_at)
    assert len(world.alarms("", mark)) == 1, world.alarms("")
