"""After an outage: when it is tried again, what goes first, how long an alarm takes."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from tests.faults.brokers import begin
from tests.faults.liar import Liar, Line, Packet
from tests.faults.world import World

EVENT_EVERY = 10  # of what a feeder emits


@pytest.mark.fault("G1", "the broker goes up and down once a second for 15 s", slice=True)
def test_a_broker_that_flaps(world: World, liar: Liar) -> None:
    begin(world)
    before, until = len(liar.lines), time.monotonic() + 15
    while time.monotonic() < until:
        world.offline()
        world.accepts(25)
        world.broker.start()
        world.accepts(25)
    world.dial()
    attempts = liar.accepted - before
    world.figures["attempts"] = attempts
    # Pauses of 1 s at least, growing with the age of the trouble.
    assert 1 <= attempts <= 16
    world.settle(healed_at=time.monotonic())
    assert not world.alarms("")


@pytest.mark.fault("G1.1", "after an outage the newest goes first while the backlog drains")
def test_fresh_first(world: World, liar: Liar) -> None:
    world.configure(store="commit_interval_s = 0.05\n")
    world.start()
    feeder = world.feed(rate=500)
    world.accepts(4_000)
    liar.crawl(6_000, 0.1)
    newest, seen = feeder.emitted(), []

    def note(one: Packet, line: Line) -> bytes:
        if one.batch and one.topic.endswith("telemetry"):
            seen.append(one)
        return one.raw

    liar.up = note
    world.dial()
    world.until(lambda: _delivered_after(world, newest), "something newer than the outage", 60)
    behind = feeder.emitted() - world.delivered()
    world.figures["behind_when_fresh"] = behind
    assert behind > 500, "the backlog was there still"
    liar.bytes_per_s, liar.delay_s = None, 0.0
    liar.cut()
    world.settle(healed_at=time.monotonic())


def _delivered_after(world: World, number: int) -> bool:
    if not world.ledger.exists():
        return False
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        query = (
            "SELECT count(*) FROM record WHERE json_extract(vals, '$.\"Vehicle.Test.Count\"') > ?"
        )
        return bool(db.execute(query, (number,)).fetchone()[0])


@pytest.mark.fault("G11", "alarms during catch-up on 384 kbit/s: bounded by what is under way")
def test_alarms_overtake_a_backlog(world: World, liar: Liar) -> None:
    world.configure(store="commit_interval_s = 0.2\n")
    world.start()
    feeder = world.feed(rate=200)
    feeder.tell("pad 400")  # text that does not compress
    world.accepts(9_000, within_s=90)
    feeder.tell("rate 10")
    liar.crawl(48_000, 0.3)
    old = feeder.emitted() // EVENT_EVERY
    world.dial()
    # Alarms of the outage go first, the oldest first; then only samples are behind.
    world.until(
        lambda: world.ledger.exists() and len(_latencies(world, 0)) >= old, "old alarms", 90
    )
    mark = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    latencies: list[int] = []

    def enough() -> bool:
        nonlocal latencies
        latencies = _latencies(world, mark)
        return len(latencies) >= 15

    world.until(enough, "15 alarms while the backlog drains", 90)
    backlog = feeder.emitted() - world.delivered()
    latencies.sort()
    world.figures["alarm_p50_ms"] = latencies[len(latencies) // 2]
    world.figures["alarm_max_ms"] = latencies[-1]
    world.figures["backlog"] = backlog
    assert backlog > 500, "the backlog was there still"
    assert latencies[-1] < 3_500
    liar.bytes_per_s, liar.delay_s = None, 0.0
    liar.cut()
    feeder.tell("pad 0")
    world.settle(healed_at=time.monotonic())


def _latencies(world: World, since_boottime_ms: int) -> list[int]:
    """From capture to arrival of the alarms captured since, in ms."""
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        query = (
            "SELECT received_boottime_ms - boottime_ms FROM record "
            "WHERE kind = 'event' AND boottime_ms > ?"
        )
        return [row[0] for row in db.execute(query, (since_boottime_ms,))]
