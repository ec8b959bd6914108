"""What the broker confirms and the cloud application never acknowledges: no refusal, no loss."""

from __future__ import annotations

import time

import pytest

from tests.faults.brokers import begin
from tests.faults.liar import Liar, Line, Packet, puback
from tests.faults.padded import padded
from tests.faults.world import World

EACH = 25
"""One record in so many is one that never arrives."""
LARGE = 1_500


class Swallower:
    """Confirms batches and passes none on that `takes` says no to."""

    def __init__(self, liar: Liar, largest: int = LARGE) -> None:
        self.swallowed: list[int] = []
        self._largest = largest
        liar.up = self._up

    def _up(self, one: Packet, line: Line) -> bytes | None:
        if one.batch and len(one.raw) > self._largest:
            self.swallowed.append(len(one.raw))
            line.answer(puback(one.mid))
            return None
        return one.raw


def _problem(world: World, text: str) -> bool:
    return any(text in problem for problem in world.answer("status").get("problems", ()))


@pytest.mark.timeout(400)
@pytest.mark.fault(
    "G7", "records are confirmed and swallowed: their neighbours flow, they are kept", slice=True
)
def test_swallowed_records(world: World, liar: Liar) -> None:
    world.configure(store="commit_interval_s = 0.5\n")
    broker = Swallower(liar)
    begin(world)
    padded(world, EACH, 8)
    poison = range(7, 11)

    def absent() -> int:
        return world.accepted() - world.delivered()

    began = time.monotonic()
    world.until(lambda: _problem(world, "never acknowledged"), "somebody is told", 90)
    world.until(lambda: absent() in poison, "all others have arrived", 90)
    world.figures["swallowed_bytes"] = sum(broker.swallowed)
    world.figures["others_ms"] = round((time.monotonic() - began) * 1000)
    # 8 to 10 records of 4 kB in as many messages: each goes three times with its neighbours, twice
    # with ever fewer of them, and thrice alone.
    assert sum(broker.swallowed) < 400_000
    # More than they are is in the window, and nothing waits for them.
    before = world.delivered()
    world.until(lambda: world.delivered() >= before + 500, "live data flows", 20)
    assert len(liar.lines) == 1 and len(world.alarms("is never acknowledged")) == 1
    liar.up = None
    healed_at = time.monotonic()
    world.until(lambda: not _problem(world, "never acknowledged"), "all are heard of", 150)
    assert world.settle(calls=1, healed_at=healed_at).dropped == 0


@pytest.mark.fault("G7", "the far end is away for a minute: nothing is split to pieces, no alarm")
def test_a_far_end_that_is_away(world: World, liar: Liar) -> None:
    world.configure(uplink=f"port = {liar.port}\nlinger_s = 0.1\nack_timeout_s = 1.0\n")
    broker = Swallower(liar, 1 << 20)
    begin(world)
    broker._largest = 0
    world.accepts(50 * 60, 90)
    sent, nbytes = len(broker.swallowed), sum(broker.swallowed)
    world.figures["swallowed_bytes"] = nbytes
    assert sent <= 60, "the window, one message in pieces, and a probe now and then"
    liar.up = None
    healed_at = time.monotonic()
    assert world.settle(calls=0, healed_at=healed_at, within_s=90).dropped == 0
    assert "never acknowledged" not in world.log()
