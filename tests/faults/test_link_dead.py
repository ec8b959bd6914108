"""Connections that die without a word or at any byte, and confirmations that lie."""

from __future__ import annotations

import time

import pytest

from tests.faults.brokers import begin
from tests.faults.liar import PINGREQ, PUBACK, PUBLISH, Liar, Line, Packet, between, puback
from tests.faults.world import World

HALF_OPEN_S = 45.0


@pytest.mark.fault("G2", "half-open: what the vehicle sends is not taken any more")
def test_half_open_upwards(world: World, liar: Liar) -> None:
    begin(world)
    _silenced(world, liar, reading=False)


@pytest.mark.fault("G2", "half-open: what the broker says does not arrive any more")
def test_half_open_downwards(world: World, liar: Liar) -> None:
    begin(world)
    _silenced(world, liar, speaking=False)


@pytest.mark.fault("G2", "half-open: the broker answers pings and nothing else")
def test_half_open_but_for_pings(world: World) -> None:
    with between(world, keepalive_s=5) as liar:
        begin(world)
        liar.down = lambda one, line: None if one.type == PUBACK else one.raw
        liar.up = lambda one, line: one.raw if one.type == PINGREQ else None
        _noticed(world, liar)
        liar.up = liar.down = None
        liar.cut()
        world.settle(healed_at=time.monotonic())


@pytest.mark.fault("G2", "half-open with nothing to send: noticed by the keep alive")
def test_half_open_at_rest(world: World) -> None:
    with between(world, keepalive_s=10) as liar:
        begin(world)
        world.feeders["count"].tell("rate 0")
        world.until(lambda: (world.answer("audit") or {"queued": 1})["queued"] == 0, "all is acked")
        liar.speaking.clear()
        took_s = _noticed(world, liar)
        assert took_s <= 15 + 3, "1.5 times the keep alive, and a step of the loop"
        liar.speaking.set()
        world.feeders["count"].tell("rate 50")
        world.settle(healed_at=time.monotonic())


def _silenced(world: World, liar: Liar, *, reading: bool = True, speaking: bool = True) -> None:
    if not reading:
        liar.reading.clear()
    if not speaking:
        liar.speaking.clear()
    _noticed(world, liar)
    world.accepts(20)
    liar.reading.set()
    liar.speaking.set()
    liar.cut()
    world.settle(calls=0, healed_at=time.monotonic())
    assert not world.alarms("")


def _noticed(world: World, liar: Liar) -> float:
    """Wait until the agent gives the connection up; the seconds that this took."""
    mark, began = world.mark(), time.monotonic()
    world.until(lambda: "uplink down" in world.log(mark), "it is noticed", HALF_OPEN_S)
    took_s = time.monotonic() - began
    world.figures["noticed_ms"] = round(took_s * 1000)
    return took_s


@pytest.mark.fault("G3", "confirmations doubled, of unknown messages, in another order", slice=True)
def test_confirmations_that_lie(world: World, liar: Liar) -> None:
    held: list[bytes] = []

    def lie(one: Packet, line: Line) -> bytes:
        if one.type != PUBACK:
            return one.raw
        held.append(one.raw)
        if len(held) < 3:
            return b""
        said = puback(60_000) + b"".join(reversed(held)) + one.raw
        held.clear()
        return said

    liar.down = lie
    begin(world, 100)
    liar.down = None
    liar.cut()
    world.settle(calls=0, healed_at=time.monotonic())
    assert not world.alarms("")


@pytest.mark.fault("G3", "confirmations never come: given up after 20 s, sent again, window kept")
def test_no_confirmation_ever(world: World, liar: Liar) -> None:
    world.dial()
    batches: list[tuple[Line, bytes]] = []

    def count(one: Packet, line: Line) -> bytes | None:
        if one.batch:
            batches.append((line, one.raw))
            return None
        return one.raw

    liar.up = count
    world.start()
    world.feed()
    world.until(lambda: liar.lines, "a connection")
    _noticed(world, liar)
    for line in liar.lines:
        sent = [raw for of, raw in batches if of is line]
        assert len(sent) <= 6, "the window"
        assert len(set(sent)) == len(sent), "nothing twice on one connection"
    liar.up = None
    liar.cut()
    world.settle(healed_at=time.monotonic())


@pytest.mark.fault("G3", "each ack comes 60 s late: nothing is lost, nothing is stored twice")
@pytest.mark.timeout(400)
def test_acks_a_minute_late(world: World) -> None:
    """The far end takes its time, the broker does not: the window is full, the line stands.

    What is sent again meanwhile is not more than the silence asks for: the pauses double.
    """
    with between(world) as liar:
        sent: list[int] = []

        def count(one: Packet, line: Line) -> bytes:
            if one.batch:
                sent.append(len(one.raw))
            return one.raw

        def late(one: Packet, line: Line) -> bytes | None:
            if one.type == PUBLISH and one.topic.endswith("dn/acks"):
                line.answer_late(one.raw, LATE_S)
                return None
            return one.raw

        liar.up, liar.down = count, late
        world.dial()
        world.start()
        world.feed(rate=10)
        began = time.monotonic()

        def acknowledged() -> bool:
            return int(world.answer("audit")["acknowledged"]) > 0

        world.until(acknowledged, "the first ack", LATE_S + 40)
        assert time.monotonic() - began >= LATE_S, "it was late"
        accepted = world.accepted()
        world.accepts(50)
        assert world.accepted() > accepted
        assert len(liar.lines) == 1 and "uplink down" not in world.log(), world.log()[-5000:]
        world.figures["batches"], world.figures["bytes_sent"] = len(sent), sum(sent)
        assert len(sent) <= 6 * 8, "a window, and few repetitions of it"
        liar.down = None
        assert world.settle(healed_at=time.monotonic(), within_s=120).dropped == 0
        assert not world.alarms("")


LATE_S = 60.0
