"""Kills of agent, drivers, broker and cloud end in random order, under load, on a line that lies.

A driver's ring is RAM: a driver that is killed loses the last that it said, and nothing else. Of
all that live on, everything must arrive.

Chance seldom kills in the instant in which a wrong order shows: between the word to a driver and
the commit, or while a batch is lost whose successor is acknowledged. So here the line confirms and
loses batches, and beside the storm there are kills within a commit that takes long, and a look at
the order of the system calls.
"""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pytest

from tests.faults import order
from tests.faults.injection import failing
from tests.faults.liar import between
from tests.faults.losing import Losing
from tests.faults.world import World

KINDS = ("agent", "agent", "driver", "broker", "cloud")
WHAT = "kill -9 of agent, drivers, broker and cloud end in random order, under load"
WITHIN = "kill -9 of agent or cloud end within a commit that takes a second, life after life"
BROKEN = "a driver's connection breaks before a commit, and the agent is killed or lives on"
RATES = {"living": 400, "killed": 150}
"""Records a second of the driver that lives on and of the one that is killed."""
WORKING = 0.6
"""The share of kills before which the agent has recorded something; else it may just be starting.
"""
LOSES = 0.15
"""The share of batches that the line confirms and does not pass on."""


def storm(world: World, kills: int, seed: int) -> None:
    """`kills` kills, then the oracle; the seed decides what is killed and when."""
    draw, pause = random.Random(seed), threading.Event()
    with between(world) as liar:
        liar.up = losing = Losing(seed, LOSES)
        world.dial()
        world.start()
        for name, rate in RATES.items():
            world.feed(name, rate)
        for _ in range(kills):
            if draw.random() < WORKING:
                world.accepts(1)
            pause.wait(draw.uniform(0.05, 0.8))
            kill_one(world, draw.choice(KINDS))
        liar.up = None
        # Broker and cloud end may have met each other half-way: both anew, then all must come.
        world.cloud.kill()
        world.broker.kill()
        world.figures["runs"] = kills
        began = time.monotonic()
        world.kill()
        world.start()
        assert world.settle(healed_at=began, within_s=120.0).dropped == 0, f"seed {seed}"
    assert losing.lost or kills < 100


def kill_one(world: World, kind: str) -> None:
    """Kill a part; it comes back at once."""
    if kind == "agent":
        world.kill()
        world.spawn()
    elif kind == "driver":
        world.kill_driver("killed")
    else:
        process = world.broker if kind == "broker" else world.cloud
        process.kill()
        process.start()


@pytest.mark.fault("A3", WHAT, slice=True)
def test_some_kills_of_every_part(world: World) -> None:
    storm(world, 8, seed=1)


@pytest.mark.fault("A3", WHAT)
@pytest.mark.timeout(1500)
def test_two_hundred_kills(world: World) -> None:
    seed = int(os.environ.get("BRAIN_FAULTS_SEED", "2"))
    storm(world, int(os.environ.get("BRAIN_FAULTS_KILLS", "200")), seed)


def killed_while_it_commits(world: World, lives: int) -> None:
    """Each write of a commit takes long, and the agent is killed between two of them.

    What the drivers were told before it was on flash is lost then. In each second life it is the
    second such commit, so that much has come while the first was made.
    """
    log_file = [world.state_dir / "outbox.db-wal"]
    world.dial()
    world.start()
    world.feed("one", 300)
    world.feed("two", 40)
    for life in range(lives):
        world.accepts(50)
        with world.failing("pwrite64:delay_enter=150000", files=log_file) as log:
            mark = world.mark()
            if life % 2:
                world.until(lambda mark=mark: "on flash" in world.log(mark), "a slow commit")
            before = writes(log)
            world.until(lambda log=log, n=before: writes(log) > n, "a commit has begun")
            world.kill()
        world.spawn()
    world.figures["runs"] = lives
    began = time.monotonic()
    assert world.settle(healed_at=began).dropped == 0


def writes(log: Path) -> int:
    """How many writes strace has seen."""
    return log.read_text(errors="replace").count("pwrite64(")


@pytest.mark.fault("A3.1", WITHIN, slice=True)
def test_killed_while_it_commits(world: World) -> None:
    killed_while_it_commits(world, 4)


@pytest.mark.fault("A3.1", WITHIN)
@pytest.mark.timeout(600)
def test_killed_within_many_commits(world: World) -> None:
    killed_while_it_commits(world, 30)


@pytest.mark.fault("A3.1", WITHIN)
def test_the_cloud_end_is_killed_within_a_commit(world: World) -> None:
    """What it acknowledged before it was on its disk is lost then."""
    log, wal = world.directory / "cloud.strace", world.ledger.with_name("ledger.db-wal")
    world.dial()
    world.start()
    world.feed(rate=200)
    for _ in range(5):
        there = world.delivered()
        world.until(lambda there=there: world.delivered() > there + 50, "some more are booked")
        assert world.cloud.pid is not None
        with failing(world.cloud.pid, "pwrite64:delay_enter=150000", files=[wal], log=log):
            world.until(lambda: writes(log) >= 3, "it is in the midst of a commit")
            world.cloud.kill()
        world.cloud.start()
    world.figures["runs"] = 5
    assert world.settle(healed_at=time.monotonic()).dropped == 0


@pytest.mark.fault("A3.2", "no driver is told `durable` before an fsync of the log", slice=True)
def test_durable_comes_after_the_fsync(world: World) -> None:
    log = world.directory / "order.strace"
    world.dial()
    world.start(*order.command(log))
    world.feed()
    world.accepts(200)
    assert world.settle().dropped == 0
    told = list(order.words(log, "count"))
    assert len(told) >= 10, "too few words were seen"
    assert [word for word in told if word[0] > word[1]] == []


@pytest.mark.fault("A3.3", BROKEN)
def test_connections_that_break(world: World) -> None:
    """What was taken and is not on flash yet comes again: it must not be kept twice, nor forgotten.

    Commits are rare, so that there is much of it: no acks hurry them.
    """
    world.configure(store="commit_interval_s = 4.0\n")
    world.start()
    feeder = world.feed(rate=200)
    feeder.tell("events 0")
    log = world.directory / "breaks.strace"
    for life in range(4):
        world.accepts(100)
        mark = world.mark()
        # Again and again: where it meets a report, nothing is to be sent anew.
        reset = "sendto:error=ECONNRESET:when=20+7"
        broken = failing(feeder.process.pid, reset, files=[], log=log)
        with broken:
            world.until(
                lambda mark=mark: "count: counting 1 connected" in world.log(mark), "it is back"
            )
        if life % 2:
            world.kill()
            world.spawn()
    world.figures["runs"] = 4
    began = time.monotonic()
    assert world.settle(healed_at=began).dropped == 0
