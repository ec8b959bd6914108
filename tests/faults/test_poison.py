"""Records that a broker does not take: found out, given up with an account, the rest flows."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing

import pytest

from tests.faults.brokers import begin, only_3_1_1, use_mosquitto
from tests.faults.feeder import COUNT, PAD
from tests.faults.liar import Liar, Line, Packet, between, goodbye, puback
from tests.faults.padded import padded
from tests.faults.world import World

EACH = 25
"""One record in so many is one that the broker does not take."""


def _poisoned(world: World) -> None:
    """Some records that the broker does not take, between many that it does, in the same rows."""
    padded(world, EACH, 4)
    # Nobody waits for what is to be found out.
    delivered = world.delivered()
    world.until(lambda: world.delivered() >= delivered + 300, "the others flow", 60)


def _given_up(world: World) -> None:
    found = world.settle(healed_at=time.monotonic(), within_s=150)
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        delivered = [json.loads(vals) for (vals,) in db.execute("SELECT vals FROM record")]
        accounts = db.execute("SELECT first, last, count, reason FROM dropped").fetchall()
    numbers = {values[COUNT] for values in delivered if COUNT in values}
    absent = set(range(1, world.feeders["count"].emitted() + 1)) - numbers
    assert not [values for values in delivered if PAD in values], "the broker takes none of them"
    assert {number % EACH for number in absent} == {3}, "what stood beside them has arrived"
    assert 3 <= len(absent) <= 6 and found.dropped == len(absent)
    assert sum(count for _, _, count, _ in accounts) == len(absent)
    assert all((first, count, why) == (last, 1, "refused") for first, last, count, why in accounts)
    audit = world.answer("audit")
    assert audit["dropped"] == len(absent), "the vehicle's own books say the same"
    assert audit["acknowledged"] == audit["accepted"] - len(absent)
    assert len(world.alarms("cannot be delivered, dropped")) == 1


@pytest.mark.fault("G7", "records are refused (0x99): split, given up with an account", slice=True)
def test_refused_records(world: World, liar: Liar) -> None:
    world.configure(store="commit_interval_s = 0.5\n")

    def refuse(one: Packet, line: Line) -> bytes | None:
        if one.batch and len(one.raw) > 1_500:
            line.answer(puback(one.mid, 0x99))
            return None
        return one.raw

    liar.up = refuse
    begin(world)
    _poisoned(world)
    _given_up(world)
    assert len(liar.lines) == 1


@pytest.mark.fault("G7", "the broker hangs up and says why (0x95): split, given up with an account")
def test_too_large(world: World, liar: Liar) -> None:
    world.configure(store="commit_interval_s = 0.5\n")

    def hang_up(one: Packet, line: Line) -> bytes | None:
        if one.batch and len(one.raw) > 1_500:
            line.answer(goodbye(0x95))
            line.cut()
            return None
        return one.raw

    liar.up = hang_up
    begin(world)
    _poisoned(world)
    _given_up(world)


@pytest.mark.fault("G7", "MQTT 3.1.1: the broker hangs up on some records: alone, then given up")
def test_poison_without_a_reason(world: World) -> None:
    use_mosquitto(world)
    world.configure(store="commit_interval_s = 0.5\n")
    with between(world) as liar:

        def hang_up(one: Packet, line: Line) -> bytes | None:
            if one.batch and len(one.raw) > 1_500:
                line.cut()
                return None
            return only_3_1_1(one, line)

        liar.up = hang_up
        begin(world)
        _poisoned(world)
        _given_up(world)
        assert "second box" not in world.log()


@pytest.mark.fault("G7", "mosquitto's message_size_limit, which it does not announce")
def test_mosquitto_hangs_up(world: World) -> None:
    use_mosquitto(world, "message_size_limit 1500")
    world.configure(store="commit_interval_s = 0.5\n")
    begin(world)
    _poisoned(world)
    _given_up(world)
