"""The line is cut after each byte of a packet, one byte after the other, in both directions."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.faults.injection import constants
from tests.faults.liar import CONNACK, PUBACK, PUBLISH, Liar, Line, Packet
from tests.faults.world import World

TITLE = "the line is cut after each byte of a batch, an ack, a PUBACK and a CONNACK"
QUICK = {
    "agent.uplink.pace:MIN_PAUSE_S": 0.02,
    "agent.uplink.pace:FIRST_CAP_S": 0.04,
    "agent.uplink.pace:MAX_PAUSE_S": 0.04,
    "agent.uplink.pace:ANSWERED_PAUSE_S": 0.04,
    "agent.uplink.pace:BARE_CUTS": 1_000_000,
}
"""Hundreds of cuts in minutes: no road has them, and a second client would be suspected."""


def acks(one: Packet) -> bool:
    return one.type == PUBLISH and one.topic.endswith("dn/acks")


WHICH: dict[str, tuple[str, Callable[[Packet], bool]]] = {
    "a batch": ("up", lambda one: one.batch and one.topic.endswith("telemetry")),
    "an ack": ("down", acks),
    "a PUBACK": ("down", lambda one: one.type == PUBACK),
    "a CONNACK": ("down", lambda one: one.type == CONNACK),
}


class Cutter:
    """Passes the first `n` bytes of a packet of one kind to whom it is for, then cuts.

    `cuts`: bytes passed, and the size of each packet that was cut. `heard`: whether an ack has
    passed whole on a connection since the last cut.
    """

    def __init__(self, liar: Liar, direction: str, which: Callable[[Packet], bool]) -> None:
        self._which, self._at = which, -1
        self.cuts: list[tuple[int, int]] = []
        self.heard = False
        self._cut_line: Line | None = None
        self._cuts_upwards = direction == "up"
        liar.up, liar.down = self._up, self._down

    def arm(self, n: int) -> None:
        """The next one is cut after `n` bytes; `n` may be all of them."""
        self.heard = False
        self._at = n

    def _up(self, one: Packet, line: Line) -> bytes | None:
        if not self._cuts_upwards:
            return one.raw
        return self._passed(one, line)

    def _down(self, one: Packet, line: Line) -> bytes | None:
        passed = one.raw if self._cuts_upwards else self._passed(one, line)
        if passed and acks(one) and self._at < 0 and line is not self._cut_line:
            self.heard = True
        return passed

    def _passed(self, one: Packet, line: Line) -> bytes | None:
        if line is self._cut_line:
            return None
        if self._at < 0 or not self._which(one):
            return one.raw
        n, self._at, self._cut_line = self._at, -1, line
        (line.broker if self._cuts_upwards else line.agent).sendall(one.raw[:n])
        line.cut()
        self.cuts.append((n, len(one.raw)))
        return None


@pytest.mark.fault("G5", TITLE)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("what", WHICH)
def test_cut_after_each_byte(world: World, liar: Liar, what: str) -> None:
    """From none of its bytes to all of them; acks pass again between two cuts."""
    cutter = Cutter(liar, *WHICH[what])
    world.env = constants(QUICK)
    world.dial()
    world.start()
    world.feed(rate=20)
    world.until(lambda: cutter.heard, "an ack")
    for n in range(10_000):
        cutter.arm(n)
        if what == "a CONNACK":
            liar.cut()
        world.until(lambda n=n: len(cutter.cuts) > n, f"{what} is cut after {n} bytes")  # type: ignore[misc]
        world.until(lambda: cutter.heard, f"an ack after {what} was cut after {n} bytes")
        if n >= cutter.cuts[-1][1]:
            break
    passed = [n for n, _ in cutter.cuts]
    assert passed == list(range(len(passed))) and passed[-1] >= 4, "each byte"
    world.figures["runs"] = len(passed)
    assert world.settle(calls=0, healed_at=time.monotonic()).dropped == 0
