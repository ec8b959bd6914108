"""Brokers that throw us out: for a second client of our name, or for no fault of ours."""

from __future__ import annotations

import time
from typing import Any

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.faults.brokers import begin, only_3_1_1, use_mosquitto
from tests.faults.liar import Liar, Line, Packet, between, goodbye
from tests.faults.world import VEHICLE, World

CLIENT_ID = f"brain-{VEHICLE}"


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
        # Five cuts without a reason prove it, the pauses after that are 5 s at least.
        assert attempts <= 12
        clone.stop()
        healed_at = time.monotonic()
        # The third of these pauses is 40 s at most, the fourth does not begin in 40 s.
        world.until(world.healthy, "the pause is over", 45)
        world.settle(calls=1, healed_at=healed_at)
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
    found = world.settle(calls=int(code == 0x8E), healed_at=time.monotonic())
    assert not found.dropped
    assert len(world.alarms("")) == len(world.alarms("second box")) == (code == 0x8E)
