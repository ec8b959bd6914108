"""Brokers that confirm and lose: killed, full, denied without a word."""

from __future__ import annotations

import time

import pytest

from tests.faults.brokers import begin, only_3_1_1, use_mosquitto
from tests.faults.liar import Liar, Line, Packet, between, puback
from tests.faults.world import World


@pytest.mark.fault(
    "G4", "9 batches are confirmed and lost: sent until they are acknowledged", slice=True
)
def test_confirmed_and_lost(world: World, liar: Liar) -> None:
    lost: list[int] = []

    def lose(one: Packet, line: Line) -> bytes | None:
        if one.batch and len(lost) < 9:
            lost.append(one.mid)
            line.answer(puback(one.mid))
            return None
        return one.raw

    liar.up = lose
    world.dial()
    world.start()
    world.feed()
    world.until(lambda: len(lost) == 9, "9 batches are lost", 90)
    world.settle(calls=0, healed_at=time.monotonic())
    assert not world.alarms("")


@pytest.mark.fault("G4", "mosquitto confirms, queues for a cloud end that is away, and is killed")
def test_killed_with_a_queue(world: World) -> None:
    use_mosquitto(world)
    begin(world)
    for _ in range(3):
        world.cloud.kill()
        world.accepts(60)
        world.broker.kill()
        world.dial()
    world.settle(healed_at=time.monotonic())


@pytest.mark.fault("G4", "mosquitto confirms more than it queues")
def test_a_queue_that_is_full(world: World) -> None:
    use_mosquitto(world, "max_queued_messages 3", "max_inflight_messages 1")
    begin(world)
    world.cloud.kill()
    world.accepts(200)
    world.settle(healed_at=time.monotonic())


@pytest.mark.fault("G4", "mosquitto, MQTT 3.1.1: a denied topic is confirmed, and lost")
def test_denied_and_confirmed(world: World) -> None:
    rules = world.directory / "rules"
    allowed = "topic readwrite brain/#\n"
    rules.write_text("topic deny brain/v1/bus-4021/up/telemetry\n" + allowed)
    rules.chmod(0o600)
    use_mosquitto(world, f"acl_file {rules}")
    with between(world) as liar:
        liar.up = only_3_1_1
        world.dial()
        world.start()
        world.feed()
        world.until(lambda: world.delivered() >= 10, "events arrive")
        rules.write_text(allowed)
        world.broker.kill()
        world.dial()
        world.settle(healed_at=time.monotonic())
