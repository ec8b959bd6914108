"""What counts as delivered: the application's ack of what was sent, and nothing else."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise

import pytest

from tests.books import accepted_in
from tests.faults.liar import PUBLISH, Liar, Line, Packet, packet, puback
from tests.faults.world import VEHICLE, World

ACKS = f"brain/v1/{VEHICLE}/dn/acks".encode()


def ack(epoch: str, *ranges: tuple[int, int]) -> bytes:
    """A PUBLISH to the vehicle that acknowledges numbers."""
    text = json.dumps({"epoch": epoch, "ranges": ranges}).encode()
    return packet(0x30, len(ACKS).to_bytes(2, "big") + ACKS + b"\x00" + text)


@pytest.mark.fault("G4", "batches are confirmed and lost, then the agent is killed", slice=True)
def test_confirmed_lost_and_killed(world: World, liar: Liar) -> None:
    """The next life knows nothing of what the last one sent: only the outbox has it."""
    lost: list[int] = []

    def lose(one: Packet, line: Line) -> bytes | None:
        if one.batch:
            lost.append(one.mid)
            line.answer(puback(one.mid))
            return None
        return one.raw

    liar.up = lose
    world.dial()
    world.start()
    world.feed()
    world.until(lambda: len(lost) >= 4, "some batches are lost")
    # What is acknowledged alone is deleted within a second.
    world.accepts(100)
    world.kill()
    liar.up = None
    began = time.monotonic()
    world.start()
    assert world.settle(healed_at=began).dropped == 0


@pytest.mark.fault("G3", "acks of what was never sent, of another epoch, of no number", slice=True)
def test_acks_of_what_was_never_sent(world: World, liar: Liar) -> None:
    """What was sent is believed to be delivered, nothing beyond it."""
    world.dial()
    world.start()
    world.feed(rate=100)
    world.until(lambda: world.delivered() >= 30, "30 records arrived")
    # What is sent from now on waits on the line, and the window is soon full.
    liar.reading.clear()
    world.accepts(400)
    (epoch,) = accepted_in([world.log()])
    line = liar.lines[-1]
    line.answer(ack("e" * 32, (1, 1_000_000)))
    line.answer(ack(epoch, (0, 0), (-5, 5), (9, 3), (1 << 62, 1 << 63)))
    line.answer(ack(epoch, (1, 1_000_000)))
    world.accepts(100)
    liar.reading.set()
    assert world.settle(healed_at=time.monotonic()).dropped == 0
    assert len(liar.lines) == 1, "all that was sent on it was passed on"


@pytest.mark.fault("G3", "acks of all of a row but its last number, then the agent is killed")
def test_acks_of_a_part_of_a_row(world: World, liar: Liar) -> None:
    """Nothing arrives, and most of it is acknowledged: no row may go before all of it is."""

    def lose(one: Packet, line: Line) -> bytes | None:
        if one.batch:
            line.answer(puback(one.mid))
            return None
        return one.raw

    liar.up = lose
    world.dial()
    world.start()
    world.feed(rate=100).tell("events 0")
    world.accepts(200)
    ends = [int(number) for number in re.findall(r"on flash: epoch \w+ to (\d+)", world.log())]
    rows = [(a + 1, b) for a, b in pairwise([0, *ends]) if b > a + 2]
    assert len(rows) >= 5, ends
    (epoch,) = accepted_in([world.log()])
    liar.lines[-1].answer(ack(epoch, *((first, last - 1) for first, last in rows)))
    # What is acknowledged alone is deleted within a second.
    world.accepts(200)
    world.kill()
    liar.up = None
    began = time.monotonic()
    world.start()
    assert world.settle(healed_at=began).dropped == 0


@pytest.mark.fault(
    "G3", "acks are lost, then batches hold what arrived and what did not", slice=True
)
def test_known_and_new_in_one_batch(world: World, liar: Liar) -> None:
    """The next life packs its rows anew; the far end books what is new and acknowledges all."""

    def unheard(one: Packet, line: Line) -> bytes | None:
        return None if one.type == PUBLISH and one.topic.endswith("dn/acks") else one.raw

    world.dial()
    world.start()
    # Without events its numbers follow each other from row to row.
    world.feed().tell("events 0")
    world.until(lambda: world.delivered() >= 30, "30 records arrived")
    liar.down = unheard
    # A window full of batches, and no more.
    before = world.delivered()
    world.until(lambda: world.delivered() >= before + 20, "20 more, unknown to the agent")
    world.offline()
    world.accepts(100)
    world.kill()
    liar.down = None
    began = time.monotonic()
    world.start()
    assert world.settle(healed_at=began).dropped == 0
    assert "cannot be written" not in (world.directory / "cloud.log").read_text()
