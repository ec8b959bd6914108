"""Brokers: that confirm and lose, refuse, limit, throw out, take somebody else for us."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from simulator.processes import Process
from tests.faults.injection import NotHere
from tests.faults.liar import (
    CONNACK,
    CONNECT,
    PUBACK,
    PUBLISH,
    Liar,
    Line,
    Packet,
    between,
    connack,
    goodbye,
    puback,
)
from tests.faults.world import VEHICLE, World

CLIENT_ID = f"brain-{VEHICLE}"


@pytest.fixture
def liar(world: World) -> Iterator[Liar]:
    with between(world) as made:
        yield made


def begin(world: World, n: int = 30) -> None:
    """All is well, and `n` records have arrived."""
    world.dial()
    world.start()
    world.feed()
    world.until(lambda: world.delivered() >= n, f"{n} records arrived")


def use_mosquitto(world: World, *lines: str) -> None:
    """Debian's broker instead of the embedded one, with lines of configuration. Raises NotHere."""
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        raise NotHere("faults: not run: mosquitto is missing: apt install mosquitto")
    config = world.directory / "mosquitto.conf"
    whole = [f"listener {world.port} 127.0.0.1", "allow_anonymous true", "user root", *lines]
    config.write_text("\n".join(whole) + "\n")
    argv = [found, "-c", str(config)]
    world.broker = Process("mosquitto", argv, world.directory / "mosquitto.log")


def only_3_1_1(one: Packet, line: Line) -> bytes | None:
    """A broker that does not know MQTT 5."""
    if one.type == CONNECT and one.v5:
        line.answer(connack(0x84))
        line.cut()
        return None
    return one.raw


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
    world.settle(healed_at=time.monotonic())
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
    world.settle(healed_at=time.monotonic())
    assert len(world.alarms("")) == 1


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
    world.settle(healed_at=time.monotonic())
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
    world.settle(healed_at=time.monotonic())
    assert not world.alarms("")


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
    world.settle()
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


def _poisoned(world: World) -> None:
    """Some records that the broker does not take, between many that it does."""
    feeder = world.feeders["count"]
    feeder.tell("rate 5")
    feeder.tell("pad 4000")
    begun = feeder.emitted()
    world.until(lambda: feeder.emitted() >= begun + 4, "some are emitted")
    feeder.tell("pad 0")
    feeder.tell("rate 50")
    # Nobody waits for what is to be found out.
    delivered = world.delivered()
    world.until(lambda: world.delivered() >= delivered + 300, "the others flow", 60)


def _given_up(world: World) -> None:
    found = world.settle(healed_at=time.monotonic(), within_s=150)
    assert 1 <= found.dropped < found.accepted / 3
    assert "cannot be delivered, dropped" in world.log()


@pytest.mark.fault("G7", "records are refused (0x99): split, given up with an account", slice=True)
def test_refused_records(world: World, liar: Liar) -> None:
    world.configure(store="commit_interval_s = 0.05\n")

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
    world.configure(store="commit_interval_s = 0.05\n")

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
    world.configure(store="commit_interval_s = 0.05\n")
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
    world.configure(store="commit_interval_s = 0.05\n")
    begin(world)
    _poisoned(world)
    _given_up(world)


class Clone:
    """Another client of our name, which comes back as soon as it is thrown out."""

    def __init__(self, port: int, protocol: MQTTProtocolVersion) -> None:
        self.connects = 0
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=CLIENT_ID, protocol=protocol
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._count
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _count(self, *_: Any) -> None:
        self.connects += 1

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.mark.fault("G15", "a second client of our name, nobody says so: one alarm, no ping-pong")
@pytest.mark.parametrize("version", [5, 4])
def test_taken_over(world: World, version: int) -> None:
    use_mosquitto(world)
    with between(world) as liar:
        if version == 4:
            liar.up = only_3_1_1
        begin(world)
        before = sum(not line.v5 or version == 5 for line in liar.lines)
        protocol = MQTTProtocolVersion.MQTTv5 if version == 5 else MQTTProtocolVersion.MQTTv311
        clone = Clone(world.port, protocol)
        until = time.monotonic() + 40
        world.until(lambda: world.alarms("second box"), "the alarm", 60)
        world.until(lambda: time.monotonic() > until, "40 s pass", 60)
        attempts = sum(not line.v5 or version == 5 for line in liar.lines) - before
        world.figures["attempts_in_40_s"] = attempts
        assert attempts <= 9
        clone.stop()
        world.settle(healed_at=time.monotonic())
        assert len(world.alarms("")) == 1
        assert not world.answer("audit")["dropped"], "no record is to blame"


@pytest.mark.fault(
    "G15", "the broker throws us out with a reason that is no message's fault", slice=True
)
@pytest.mark.parametrize(("code", "times"), [(0x8B, 4), (0x97, 4), (0x98, 4), (0x8E, 2)])
def test_thrown_out(world: World, liar: Liar, code: int, times: int) -> None:
    thrown: list[int] = []

    def throw(one: Packet, line: Line) -> bytes | None:
        if one.batch and len(thrown) < times:
            thrown.append(one.mid)
            line.answer(goodbye(code))
            line.cut()
            return None
        return one.raw

    liar.up = throw
    world.dial()
    world.start()
    world.feed()
    world.until(lambda: len(thrown) == times, "thrown out", 60)
    found = world.settle(healed_at=time.monotonic())
    assert not found.dropped
    assert len(world.alarms("")) == len(world.alarms("second box")) == (code == 0x8E)
