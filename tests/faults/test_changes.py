"""Changes of the configuration from afar that go wrong: the old one comes back."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.faults.orders import Orders, path_of
from tests.faults.test_configuration import SAME, WHAT_RESTARTS
from tests.faults.world import World

TRIAL = "a change from afar that cuts the line, or dies half-way: the old one comes back"


@pytest.mark.fault("I6", TRIAL)
@pytest.mark.timeout(600)
def test_a_change_that_cuts_the_line_is_taken_back(world: World, orders: Orders) -> None:
    """Ten minutes, of which each start costs half a one: 20 kills are enough."""
    world.dial()
    world.start()
    world.feed()
    world.accepts(30)
    with orders.broker() as send:
        world.until(world.healthy, "the line is up")
        claims = orders.claims("config.set", {"set": {"uplink.enabled": False}})
        send(orders.signed(json.dumps(claims).encode()))
        world.until(path_of(world).exists, "the change is written", 60)
        world.until(lambda: "uplink.enabled" in world.log(), "the change is applied", 60)
        lives = 0
        while path_of(world).exists():
            lives += 1
            assert lives <= 21, world.log()[-3000:]
            world.kill()
            world.start()
            world.accepts(5)
        assert lives >= 19, "it was taken back too soon"
        cid = str(claims["cid"])
        world.until(lambda: "failed" in orders.states(cid), "it is answered", 60)
        assert orders.replies()[cid][-1]["code"] == "rolled_back"
        world.figures["runs"] = lives
        assert world.settle(healed_at=time.monotonic()).dropped == 0
        assert len(world.alarms("is taken back")) == 1


CHANGE_POINTS = [
    ("agent.store.journal:Journal.begin_trial", "before", 1),
    ("agent.store.journal:Journal.begin_trial", "after", 1),
    ("agent.commands.trial:replace", "after", 1),  # the note of the old text
    ("agent.commands.trial:replace", "after", 2),  # the new text, not applied
    ("agent.app:Coordinator._reload", "after", 1),
    ("agent.store.journal:Journal.finish", "before", 1),
]


@pytest.mark.fault("I6", TRIAL)
@pytest.mark.parametrize("point", CHANGE_POINTS)
def test_a_change_dies_half_way(world: World, orders: Orders, point: tuple[str, str, int]) -> None:
    """The file is the old one or the new one; the change is confirmed, or taken back and said."""
    old = "[store]\nalarm_commit_ms = 40\n"
    path_of(world).parent.mkdir()
    path_of(world).write_text(old)
    orders.doomed(*point)
    with orders.broker() as send:
        world.until(lambda: orders.told().get("state") == "on", "commands are heard")
        world.until(world.healthy, "the line is up")
        claims = orders.claims("config.set", {"set": {"store.alarm_commit_ms": 45}})
        send(orders.signed(json.dumps(claims).encode()))
        assert world.ends(60) == -signal.SIGKILL, world.log()[-3000:]
        found = path_of(world).read_text()
        assert found == old or "alarm_commit_ms = 45" in found, "torn"
        world.env = {}
        began = time.monotonic()
        world.start()
        cid = str(claims["cid"])

        def ended() -> bool:
            return {"done", "failed"} & set(orders.states(cid)) != set()

        world.until(ended, "it is answered", 90)
        last = orders.replies()[cid][-1]
        confirmed = (last["state"], last["code"]) == ("done", "confirmed")
        assert confirmed or last["code"] == "rolled_back", last
        assert ("45" in path_of(world).read_text()) is confirmed
        note = path_of(world).parent / ".zz-remote.before"
        world.until(lambda: not note.exists(), "no note is left")
        assert world.settle(healed_at=began).dropped == 0


@pytest.mark.fault("I6", TRIAL)
@pytest.mark.parametrize("harm", [b"", b"\0\0\0", b"[store\n", b"[uplink]\nbroker = 7\n"])
def test_flash_harms_the_change(world: World, orders: Orders, harm: bytes) -> None:
    """A start with a file that cannot be read goes on without it, and says so once."""
    world.dial()
    world.start()
    world.feed()
    with orders.broker() as send:
        world.until(world.healthy, "the line is up")
        send(orders.order("config.set", {"set": {"store.alarm_commit_ms": 45}}))
        world.until(lambda: "done" in str(orders.replies()), "it is confirmed", 90)
        world.kill()
        path_of(world).write_bytes(harm)
        began = time.monotonic()
        world.start()
        assert len(world.alarms("is put aside")) == (0 if not harm else 1)
        assert world.settle(healed_at=began).dropped == 0


@pytest.mark.fault("I7", SAME)
def test_the_same_again_from_afar(world: World, orders: Orders) -> None:
    """A new command each time, as a fleet's tool sends it: answered, not written, not applied."""
    world.dial()
    world.start()
    world.feed()
    with orders.broker() as send:
        world.until(world.healthy, "the line is up")
        change = {"set": {"store.alarm_commit_ms": 45}}
        first = orders.claims("config.set", change)
        send(orders.signed(json.dumps(first).encode()))
        world.until(lambda: "done" in orders.states(str(first["cid"])), "it is confirmed", 90)
        assert orders.replies()[str(first["cid"])][-1]["code"] == "confirmed"
        world.accepts(10)
        mark, pid, before = world.mark(), world.pid, path_of(world).stat()
        for _ in range(3):
            claims = orders.claims("config.set", change)
            cid = str(claims["cid"])
            send(orders.signed(json.dumps(claims).encode()))
            world.until(lambda cid=cid: orders.states(cid), "it is answered", 60)  # type: ignore[misc]
            (said,) = orders.replies()[cid]
            assert (said["state"], said["code"]) == ("done", "unchanged"), said
            world.accepts(10)
        after = path_of(world).stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert world.pid == pid
        said_of = [*WHAT_RESTARTS, "configuration read again"]
        assert [word for word in said_of if word in world.log(mark)] == []
        assert world.settle().dropped == 0
