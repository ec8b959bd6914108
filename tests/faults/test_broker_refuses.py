"""Brokers that refuse, are busy, limit: their reason decides what goes on."""

from __future__ import annotations

import threading
import time

import pytest

from tests.faults.brokers import begin
from tests.faults.liar import (
    CONNACK,
    CONNECT,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    Liar,
    Line,
    Packet,
    connack,
    puback,
)
from tests.faults.orders import Orders
from tests.faults.world import World


@pytest.mark.fault(
    "G6", "a topic is not allowed (0x87): parked with one alarm, others flow", slice=True
)
def test_not_authorised(world: World, liar: Liar) -> None:
    denied: list[int] = []

    def deny(one: Packet, line: Line) -> bytes | None:
        if one.batch and one.topic.endswith("telemetry"):
            denied.append(one.mid)
            line.answer(puback(one.mid, 0x87))
            return None
        return one.raw

    liar.up = deny
    world.dial()
    world.start()
    world.feed()
    world.until(lambda: world.delivered() >= 30, "30 events arrive")
    assert len(denied) == 1, "it is not asked again soon"
    assert len(liar.lines) == 1, "and no connection is given up for it"
    assert len(world.alarms("does not allow")) == 1
    liar.cut()
    world.until(lambda: len(denied) >= 2, "a new connection may have other rules")
    liar.up = None
    liar.cut()
    world.settle(calls=1, healed_at=time.monotonic())
    assert len(world.alarms("")) == 1


@pytest.mark.fault("G6", "it hangs up at each SUBSCRIBE: one alarm, not at the first; then healed")
def test_hangs_up_at_the_subscription(world: World, liar: Liar) -> None:
    """So do brokers whose rules forbid it; a road does so once, which calls nobody."""
    asked: list[int] = []

    def hang_up(one: Packet, line: Line) -> bytes | None:
        if one.type != SUBSCRIBE:
            return one.raw
        asked.append(len(world.alarms("")))
        line.cut()
        return None

    liar.up = hang_up
    world.dial()
    world.start()
    world.feed()
    world.until(lambda: len(asked) >= 4, "it tries again", 60)
    assert asked[:2] == [0, 0] and asked[3] == 1, "called at the second in a row"
    liar.up = None
    world.settle(calls=1, healed_at=time.monotonic())
    assert len(world.alarms("gave no answer to the subscription")) == 1


@pytest.mark.fault("G6", "the quota is exceeded (0x97): slower, and faster again", slice=True)
def test_quota_exceeded(world: World, liar: Liar) -> None:
    refused: list[float] = []

    def refuse(one: Packet, line: Line) -> bytes | None:
        if one.batch and len(refused) < 8:
            refused.append(time.monotonic())
            line.answer(puback(one.mid, 0x97))
            return None
        return one.raw

    liar.up = refuse
    world.dial()
    world.start()
    world.feed()
    world.until(lambda: len(refused) == 8, "8 are refused", 60)
    world.figures["refused_within_ms"] = round((refused[-1] - refused[0]) * 1000)
    assert refused[-1] - refused[0] >= 4.0
    world.settle(calls=0, healed_at=time.monotonic())
    assert len(liar.lines) == 1 and not world.alarms("")


@pytest.mark.fault("G6", "the server is busy (0x89): come back later, jittered", slice=True)
def test_server_busy(world: World, liar: Liar) -> None:
    def busy(one: Packet, line: Line) -> bytes | None:
        if one.type == CONNECT:
            line.answer(connack(0x89))
            line.cut()
            return None
        return one.raw

    liar.up = busy
    world.dial()
    world.start()
    world.feed()
    world.until(lambda: len(liar.lines) >= 4, "it comes back", 30)
    gaps = [b - a for a, b in zip(liar.attempts, liar.attempts[1:], strict=False)]
    assert min(gaps) >= 0.9
    liar.up = None
    world.settle(calls=0, healed_at=time.monotonic())
    assert not world.alarms("")


@pytest.mark.fault(
    "G6", "subscriptions to files and commands are refused: said once, the rest flows"
)
def test_deaf_to_commands(world: World, liar: Liar, orders: Orders) -> None:
    told: list[bytes] = []

    def refuse(one: Packet, line: Line) -> bytes:
        if one.type != SUBACK:
            return one.raw
        told.append(one.raw)
        return one.raw[:-2] + b"\x87\x87"

    liar.down = refuse
    begin(world)
    world.until(lambda: told and len(told[-1]) == 8, "commands are subscribed to as well")

    def said() -> bool:
        found = [text for text in world.answer("status")["problems"] if text.startswith("uplink:")]
        return len(found) == 1 and "dn/need" in found[0] and "dn/commands" in found[0]

    world.until(said, "both are named in one problem")
    assert orders.told()["state"] == "not heard"
    n = len(told)
    liar.cut()
    world.until(lambda: len(told) > n, "another connection")
    world.accepts(30)
    liar.down = None
    liar.cut()
    world.until(lambda: orders.told()["state"] == "on", "commands are heard")
    world.settle(calls=1, healed_at=time.monotonic())


@pytest.mark.fault("G6.1", "the catalogue is larger than the broker takes: all is named")
def test_no_room_for_the_catalogue(world: World, liar: Liar) -> None:
    sent: list[str] = []

    def announce(one: Packet, line: Line) -> bytes:
        return connack(0, b"\x27\x00\x00\x00\xdc") if one.type == CONNACK else one.raw

    def keep_watch(one: Packet, line: Line) -> bytes:
        if one.type == PUBLISH:
            sent.append(f"{len(one.raw)} {one.topic}")
        return one.raw

    liar.down, liar.up = announce, keep_watch
    begin(world)
    assert not [one for one in sent if "/catalogue/" in one or int(one.split()[0]) > 220], sent
    world.settle(calls=0)
    assert "the broker takes no catalogue" in world.log()


LIMITS = (b"\x21\x00\x01", b"\x24\x00", b"\x25\x00", b"\x27\x00\x00\x02\x00", b"\x13\x00\x06")


@pytest.mark.fault(
    "G6.1", "what the CONNACK announces is kept: QoS, retain, packet, in flight", slice=True
)
def test_limits_of_the_server(world: World, liar: Liar) -> None:
    wrong: list[str] = []
    largest = 0

    def announce(one: Packet, line: Line) -> bytes:
        return connack(0, *LIMITS) if one.type == CONNACK else one.raw

    def keep_watch(one: Packet, line: Line) -> bytes:
        nonlocal largest
        if one.type == PUBLISH:
            largest = max(largest, len(one.raw))
            if one.qos or one.raw[0] & 1 or len(one.raw) > 512:
                wrong.append(f"{one.raw[0]:08b} {len(one.raw)} {one.topic}")
        return one.raw

    liar.down, liar.up = announce, keep_watch
    begin(world, 200)
    assert not wrong, wrong[:5]
    world.figures["largest_packet"] = largest
    world.settle(calls=0)
    assert not world.alarms("")


@pytest.mark.fault("G6.1", "Receive Maximum 1: never two unconfirmed")
def test_receive_maximum(world: World, liar: Liar) -> None:
    owed: list[int] = []
    most = 0

    def hold(one: Packet, line: Line) -> bytes:
        nonlocal most
        if one.type == PUBLISH and one.qos:
            owed.append(one.mid)
            most = max(most, len(owed))
        return one.raw

    slow = threading.Event()

    def announce(one: Packet, line: Line) -> bytes:
        if one.type == PUBACK:
            # The birth is a message too.
            if not slow.is_set():
                slow.wait(1.5)
                slow.set()
            owed.remove(one.mid)
        return connack(0, LIMITS[0]) if one.type == CONNACK else one.raw

    liar.up, liar.down = hold, announce
    begin(world, 100)
    assert most == 1
    world.settle()
