"""Clocks that are wrong, jump, disagree or wrap: they decide no order, no loss and no deletion."""

from __future__ import annotations

import time

import pytest

from tests.faults.clocks import (
    Wall,
    booted_for,
    captured_ms,
    clock_source,
    misdated_ms,
    offset_rows,
    receiver,
)
from tests.faults.world import World

AT_BOOT = "the wall clock is wrong at boot: 1970, ten years behind or ahead"
WEEK_S = 604_800.0
DISAGREE = "two clocks disagree"
DATED_MS = 2_000
"""Serial latency, the rounding of fixes and a busy machine."""


@pytest.mark.parametrize(
    ("wall", "source"),
    [
        pytest.param(*case, marks=pytest.mark.fault("C1", AT_BOOT, slice=case[1] == "none"))
        for case in [("@1970-01-01 00:10:00", "none"), ("-10y", "none"), ("+10y", "rtc")]
    ],
)
def test_a_wrong_clock_at_boot(wall: str, source: str, world: World) -> None:
    """Nothing ages, nothing is given up, and the first fix dates all that was before it."""
    world.configure(store__quota_hours="history = 1\nalarm = 1\n")
    Wall(world).set(wall)
    world.start()
    world.feed()
    world.accepts(50)
    assert clock_source(world) == source
    world.dial()
    with receiver(world) as hush:
        world.until(lambda: clock_source(world) == "gnss", "GNSS is followed")
        hush()
        assert world.settle(healed_at=time.monotonic()).dropped == 0
    worst = misdated_ms(world)
    assert worst is not None and worst <= DATED_MS


@pytest.mark.fault("C1", AT_BOOT)
def test_a_wrong_clock_life_after_life(world: World) -> None:
    """Each life has another year; the backlog of all of them is sent by the last."""
    world.configure(store__quota_hours="history = 1\nalarm = 1\n")
    wall = Wall(world)
    world.figures["runs"] = 0
    for text in ("+10y", "@1970-01-01 00:10:00", "-10y", "+19y", "+0"):
        wall.set(text)
        world.start()
        if "count" not in world.feeders:
            world.feed()
        world.accepts(30)
        world.kill()
        world.figures["runs"] += 1
    began = time.monotonic()
    world.start()
    assert world.settle(healed_at=began).dropped == 0


@pytest.mark.fault("C2", "the wall clock steps back and forth while driving", slice=True)
def test_the_clock_steps_while_driving(world: World) -> None:
    world.configure(store__quota_hours="history = 1\nalarm = 1\n")
    wall = Wall(world)
    wall.set("+0")
    world.dial()
    world.start()
    world.feed()
    world.accepts(20)
    for text in ("-1h", "+1h", "-10y", "+10y"):
        wall.set(text)
        world.accepts(60)  # more than a second: by then the new time counts
    wall.set("+0")
    assert world.settle(healed_at=time.monotonic()).dropped == 0
    at_ms = captured_ms(world)
    assert at_ms == sorted(at_ms), "a duration below zero"


@pytest.mark.fault("C5", "two receivers an hour apart: one is followed, and nothing is lost")
@pytest.mark.parametrize("apart_s", [3600.0, -WEEK_S])
def test_two_clocks_disagree(apart_s: float, world: World) -> None:
    world.configure(arbitration__clock='order = ["gnss:Vehicle.Bus.Utc", "*:Vehicle.Bus.Utc"]\n')
    world.dial()
    world.start()
    world.feed()
    with receiver(world, apart_s, "second") as other, receiver(world) as hush:
        world.until(lambda: clock_source(world) == "gnss", "GNSS is followed")
        world.accepts(300)
        told = world.answer("explain", "clock")
        names = {one["source"].partition(":")[0] for one in told["candidates"]}
        assert {"gnss", "second"} <= names, told
        assert str(told["followed"]).startswith("gnss:"), told
        world.until(lambda: world.alarms(DISAGREE), "the alarm", 20)
        hush()
        other()
        assert world.settle(healed_at=time.monotonic(), calls=1).dropped == 0
    assert "clocks_disagree" in world.told()
    worst = misdated_ms(world)
    assert worst is not None and worst <= DATED_MS, "the second one is never believed"
    assert len(offset_rows(world)) <= 2, "it goes back and forth"


@pytest.mark.fault("C7", "time zones, daylight saving, none set: UTC only")
@pytest.mark.parametrize("zone", ["America/New_York", "", "No/Such", ":/etc/localtime"])
def test_time_zones(zone: str, world: World) -> None:
    world.env = {"TZ": zone}
    world.dial()
    world.start()
    world.feed()
    world.accepts(50)
    assert world.settle(healed_at=time.monotonic()).dropped == 0
    worst = misdated_ms(world)
    assert worst is not None and worst <= DATED_MS
    utc = str(world.answer("status").get("clock", {}).get("utc"))
    assert utc.endswith("Z"), utc


@pytest.mark.fault("C8", "boot time passes 2^32 ms (49.7 days)")
def test_up_for_fifty_days(world: World) -> None:
    edge_ms = 1 << 32
    world.within = booted_for(edge_ms // 1000 - 3)
    world.dial()
    world.start()
    world.feed()
    world.accepts(250)
    assert world.settle(healed_at=time.monotonic()).dropped == 0
    at_ms = captured_ms(world)
    assert at_ms[0] < edge_ms < at_ms[-1] and at_ms == sorted(at_ms)
