"""Brokers that flood: packets without end, acks without number."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from tests.faults.brokers import begin
from tests.faults.liar import CONNECT, PUBLISH, Liar, Line, Packet, packet
from tests.faults.soundness import Sizes
from tests.faults.world import World


@pytest.mark.fault("I11", "the broker announces packets of 256 MB, and sends them", slice=True)
def test_packets_without_end(world: World, liar: Liar) -> None:
    begin(world)
    before_kb = _peak_kb(world.pid)
    floods = []

    def flood(agent: socket.socket) -> None:
        floods.append(agent)
        agent.recv(4_096)
        agent.sendall(b"\x20\x03\x00\x00\x00" + b"\x30\xff\xff\xff\x7f")
        for _ in range(256):
            agent.sendall(bytes(1 << 20))

    liar.instead = flood
    liar.cut()
    world.until(lambda: len(floods) >= 2, "it came twice", 30)
    liar.instead = None
    world.settle(healed_at=time.monotonic())
    grown = _peak_kb(world.pid) - before_kb
    world.figures["rss_grown_kb"] = grown
    assert grown < 16_000


ACKS = 30_000


@pytest.mark.fault("I11", f"the broker floods a subscribed topic with {ACKS:,} acks of 60 kB")
@pytest.mark.timeout(600)
def test_a_flood_of_acks(world: World, liar: Liar) -> None:
    """All of them are taken: 1.8 GB."""
    topic, text = "brain/v1/bus-4021/dn/acks", b'{"epoch": "' + b"e" * 60_000 + b'", "ranges": []}'
    _flood(world, liar, lambda n: publish(topic, text), ACKS)


@pytest.mark.fault("I11", "the broker floods 5,000 topics that nobody subscribed to; then retained")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("retained", [False, True])
def test_a_flood_of_topics(world: World, liar: Liar, retained: bool) -> None:
    def one(n: int) -> bytes:
        return publish(f"{TOPICS[n % len(TOPICS)]}/{n % 5_000}", b"x" * 2_000, retained=retained)

    _flood(world, liar, one, 50_000)


TOPICS = ("brain/v1/bus-4021/dn/acks", "brain/v1/bus-4021/dn/need", "home/kitchen", "$SYS/broker")


def publish(topic: str, payload: bytes, *, retained: bool = False) -> bytes:
    """A PUBLISH of QoS 0, MQTT 5."""
    name = topic.encode()
    first = PUBLISH << 4 | retained
    return packet(first, len(name).to_bytes(2, "big") + name + b"\0" + payload)


def _flood(world: World, liar: Liar, one: Callable[[int], bytes], times: int) -> None:
    """Send so many on one connection, which holds; telemetry flows on, memory stays."""
    begin(world)
    before_kb, delivered, line = _peak_kb(world.pid), world.delivered(), liar.lines[-1]
    for n in range(times):
        line.answer(one(n))
        assert line.open, f"the line broke after {n} of {times}"
    # What is said last is answered when all of it was read.
    world.until(lambda: world.delivered() > delivered + 50, "records are delivered meanwhile")
    assert liar.lines[-1] is line and line.open
    world.figures["sent"] = times
    world.settle(healed_at=time.monotonic())
    grown = _peak_kb(world.pid) - before_kb
    world.figures["rss_grown_kb"] = grown
    assert grown < 16_000
    assert liar.lines[-1] is line and line.open


RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE = 0x21, 0x27
NUMBER_BYTES = {RECEIVE_MAXIMUM: 2, MAXIMUM_PACKET_SIZE: 4, 0x11: 4, 0x22: 2, 0x17: 1, 0x19: 1}
"""Of the properties of a CONNECT whose value is a number (MQTT 5, 3.1.2.11)."""


@pytest.mark.fault("I11", "the CONNECT says how large a packet may be, and how many at once")
def test_the_connect_sets_limits(world: World, liar: Liar) -> None:
    heard: list[dict[int, int]] = []

    def listen(one: Packet, line: Line) -> bytes:
        if one.type == CONNECT:
            heard.append(properties(one.body))
        return one.raw

    liar.up = listen
    begin(world)
    liar.cut()
    world.until(lambda: len(heard) >= 2, "a second CONNECT")
    for found in heard:
        assert 0 < found[MAXIMUM_PACKET_SIZE] <= 256 * 1024
        assert 0 < found[RECEIVE_MAXIMUM] <= 100
    world.settle(healed_at=time.monotonic())


def properties(body: bytes) -> dict[int, int]:
    """The numbers among the properties of a CONNECT of MQTT 5."""
    at = 2 + int.from_bytes(body[:2], "big") + 1 + 1 + 2
    assert body[:6] == b"\0\4MQTT" and body[6] == 5 and body[at] < 128
    end, found = at + 1 + body[at], {}
    at += 1
    while at < end:
        size = NUMBER_BYTES[body[at]]
        found[body[at]] = int.from_bytes(body[at + 1 : at + 1 + size], "big")
        at += 1 + size
    return found


def _peak_kb(pid: int) -> int:
    return Sizes.of(pid).peak_kb
