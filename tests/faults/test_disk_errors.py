"""Storage that says no: errors of fsync, write and read, and a disk that takes its time."""

from __future__ import annotations

import time

import pytest

from tests.books import accepted_in
from tests.faults.injection import first_injected_s, injected, outbox_files
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
    # Mostly opening the file again settles it, within the same commit: nobody has to be called.
    refused = world.log(mark).count("the outbox accepts again")
    assert refused <= 1
    world.settle(calls=refused, healed_at=healed_at)
    assert len(world.alarms(REFUSES, mark)) == refused


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
        # A commit whose fsync failed may well be there as long as the power is: nobody may say so.
        since_s = first_injected_s(log)
        assert not world.said_on_flash(since_s - 0.001, time.time())
        healed_at = time.monotonic()
    world.accepts(50)
    world.settle(calls=1, healed_at=healed_at)
    assert len(world.alarms("", mark)) == 1, world.alarms("")


@pytest.mark.fault("B1", "fsync fails once: EIO")
@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_fsync_fails_at_another_moment(n: int, world: World) -> None:
    driving(world)
    with world.failing(f"fdatasync,fsync:error=EIO:when={n}") as log:
        world.until(lambda: injected(log), "a failed fsync")
        healed_at = time.monotonic()
        world.accepts(20)
    assert world.settle(healed_at=healed_at).dropped == 0


@pytest.mark.fault("B3", "fsync takes 3 s each time, or 30 s once")
def test_one_fsync_takes_very_long(world: World) -> None:
    """What comes meanwhile waits in the rings, and the watchdog is fed: a slow disk is no hang."""
    driving(world)
    emitted = world.feeders["count"].emitted()
    with world.failing("fdatasync:delay_enter=30000000:when=1"):
        world.until(lambda: world.feeders["count"].emitted() > emitted + 1_400, "30 s", 90)
        world.accepts(50, 60)
        healed_at = time.monotonic()
    assert not world.alarms("")
    assert world.settle(calls=0, healed_at=healed_at).dropped == 0


@pytest.mark.fault("B15", "a slow disk: 20 KB a second")
def test_a_slow_disk(world: World) -> None:
    """Each page takes 0.2 s, in the log and again in the file: commits become few and large."""
    world.configure(store="commit_interval_s = 1.0\n")
    driving(world)
    files = outbox_files(world.state_dir)[:2]
    emitted = world.feeders["count"].emitted()
    with world.failing("pwrite64:delay_enter=200000", files=files):
        world.until(lambda: world.feeders["count"].emitted() > emitted + 2_500, "50 s", 120)
        world.accepts(200, 90)
        assert not world.alarms("stalled")
        healed_at = time.monotonic()
    assert world.settle(healed_at=healed_at).dropped == 0


@pytest.mark.fault("B3", "fsync takes 3 s each time, or 30 s once")
def test_fsync_takes_long(world: World) -> None:
    driving(world)
    emitted = world.feeders["count"].emitted()
    with world.failing("fdatasync:delay_enter=3000000"):
        world.accepts(150, 60)
        world.until(lambda: world.feeders["count"].emitted() > emitted + 250, "the feeder goes on")
        assert not world.alarms("stalled")
        healed_at = time.monotonic()
    assert world.settle(healed_at=healed_at).dropped == 0


@pytest.mark.fault("B4", "the disk is full (ENOSPC): alarms still flow")
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT"])
def test_writes_fail_for_a_while(error: str, world: World) -> None:
    driving(world)
    mark = world.mark()
    with world.failing(f"pwrite64:error={error}") as log:
        world.until(lambda: world.alarms(REFUSES, mark), "the alarm")
        said = world.accepted()
        tries = injected(log)
        world.until(lambda: injected(log) > tries + 3, "it tries again")
        assert world.accepted() == said
        healed_at = time.monotonic()
    world.accepts(50)
    found = world.settle(healed_at=healed_at)
    assert found.dropped == 0, "nothing is given up for a disk that has room"
    assert len(world.alarms(REFUSES, mark)) == 1


@pytest.mark.fault("B7", "a page of the database cannot be read: EIO")
def test_pages_cannot_be_read(world: World) -> None:
    """The file is moved aside and its rows are brought back; the agent goes on in a new one."""
    driving(world)
    world.offline()
    world.accepts(200)
    database = [world.state_dir / "outbox.db"]
    epochs = set(accepted_in([world.log()]))
    with world.failing("pread64:error=EIO", files=database):
        world.dial()
        world.until(lambda: list(world.state_dir.glob("outbox.corrupt-*")), "it is moved aside")
        healed_at = time.monotonic()
    assert world.accepts(50) < 10
    assert set(accepted_in([world.log()])) > epochs, "numbers go on in another epoch"
    world.until(world.salvaged, "all that was damaged is looked through", 60)
    world.settle(healed_at=healed_at)
