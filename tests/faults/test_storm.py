"""200 kills of agent, drivers, broker and cloud end in random order, under load.

A driver's ring is RAM, so of a driver that was killed a beginning must be there, without a hole,
and nothing that it did not say. Of all that live on, everything must.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from tests.faults.feeder import COUNT
from tests.faults.world import World

KINDS = ("agent", "agent", "driver", "broker", "cloud")
WHAT = "kill -9 of agent, drivers, broker and cloud end in random order, under load"


def storm(world: World, kills: int, seed: int) -> None:
    """`kills` kills, then the oracle; the seed decides what is killed and when."""
    draw, pause = random.Random(seed), threading.Event()
    world.dial()
    world.start()
    world.feed("one", 150)
    world.feed("victim-0", 100)
    gone: dict[str, int] = {}
    for number in range(kills):
        pause.wait(draw.uniform(0.1, 1.2))
        kind = draw.choice(KINDS)
        if kind == "agent":
            world.kill()
            world.spawn()
        elif kind == "driver":
            name = next(name for name in world.feeders if name.startswith("victim"))
            feeder = world.feeders.pop(name)
            feeder.process.kill()
            feeder.process.wait()
            gone[name] = feeder.emitted()
            feeder.close()
            world.feed(f"victim-{number + 1}", 100)
        else:
            process = world.broker if kind == "broker" else world.cloud
            process.kill()
            process.start()
    # Broker and cloud end may have met each other half-way: both anew, then all must come.
    world.cloud.kill()
    world.broker.kill()
    world.figures["runs"] = kills
    began = time.monotonic()
    world.kill()
    assert world.start() < 10.0
    assert world.settle(healed_at=began, within_s=120.0).dropped == 0, f"seed {seed}"
    _beginnings(world, gone)


def _beginnings(world: World, gone: dict[str, int]) -> None:
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        for name, last in gone.items():
            rows = db.execute("SELECT vals FROM record WHERE source = ?", (name,)).fetchall()
            numbers = sorted(json.loads(text)[COUNT] for (text,) in rows)
            assert numbers == list(range(1, len(numbers) + 1)), f"{name}: {numbers[-9:]}"
            assert len(numbers) <= last, f"{name}: more than it said"


@pytest.mark.fault("A3", WHAT, slice=True)
def test_some_kills_of_every_part(world: World) -> None:
    storm(world, 8, seed=1)


@pytest.mark.fault("A3", WHAT)
@pytest.mark.timeout(1200)
def test_two_hundred_kills(world: World) -> None:
    storm(world, int(os.environ.get("BRAIN_FAULTS_KILLS", "200")), seed=2)
