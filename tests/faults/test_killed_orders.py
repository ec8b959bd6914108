"""Orders of the owner across kills of the agent: done at most once, answered always."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.injection import command, killed
from tests.faults.orders import Orders
from tests.faults.world import VEHICLE, World

ONCE = "a command is killed between any two steps: done at most once, answered always"


POINTS = [
    # (method, when, which call, effects, state of the answer)
    ("agent.commands.gate:Gate.admit", "after", 1, 1, "done"),  # judged, not written down
    ("agent.store.journal:Journal.intend", "after", 1, 0, "unknown"),
    ("agent.commands.operations:_Ordinary.dump", "after", 1, None, "unknown"),
    ("agent.commands.outgoing:Outgoing.send", "before", 1, 1, "unknown"),
    ("agent.spool:Spool.take", "after", 1, 1, "unknown"),  # a file without a record
    ("agent.store.journal:Journal.finish", "before", 1, 1, "unknown"),
    ("agent.store.journal:Journal.finish", "after", 1, 1, "done"),
    ("agent.commands.replies:Signer.record", "after", 1, 1, "done"),
]


@pytest.mark.parametrize(
    ("method", "when", "n", "effects", "state"),
    [
        pytest.param(*point, marks=pytest.mark.fault("I10", ONCE, slice=at == 1))
        for at, point in enumerate(POINTS)
    ],
)
def test_killed_between_two_steps(
    world: World, orders: Orders, method: str, when: str, n: int, effects: int | None, state: str
) -> None:
    """The broker gives the command again after each start, as it may."""
    orders.doomed(method, when, n)
    with orders.driver(), orders.broker() as send:
        world.until(lambda: orders.told().get("state") == "on", "commands are heard")
        world.until(world.healthy, "the line is up")
        cid, message = orders.dump()
        send(message)
        assert world.ends(60) == -signal.SIGKILL, world.log()[-3000:]
        world.env = {}
        began = time.monotonic()
        world.start()
        world.until(lambda: orders.connected("raw"), "the driver is connected again")
        for _ in range(3):
            send(message)
        world.until(lambda: orders.states(cid), "it is answered", 60)
        other, message = orders.dump()
        send(message)
        world.until(lambda: orders.states(other) == ["done"], "the next one is done", 60)
        assert set(orders.states(cid)) == {state}, "one answer, however often"
        found = orders.effects() - 1
        assert found == effects if effects is not None else found <= 1
        assert world.settle(healed_at=began).dropped == 0
        assert other in orders.files()


@pytest.mark.fault("I10", "kill -9 at each storage call of a command's journal: at most once")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("call", ["fdatasync,fsync", "pwrite64,write"])
def test_killed_at_each_call_of_the_journal(world: World, orders: Orders, call: str) -> None:
    """The whole agent; a life a call, until a command goes through without being killed.

    Between two such lives is one that nothing is done to: the broker gives it the command again.
    """
    world.dial()
    world.start()
    world.feed()
    log, given = world.directory / "strace.log", 0
    with orders.driver(), orders.broker() as send:
        for n in range(1, MOST_CALLS):
            world.kill()
            cid, message = orders.dump(seconds=n)
            ended = _killed_at(world, orders, f"{call}:signal=KILL:when={n}", log, send, message)
            given += 1
            began = time.monotonic()
            world.start()
            world.until(lambda: orders.connected("raw") and world.healthy(), "it takes commands")
            for _ in range(2):
                send(message)
            world.until(lambda cid=cid: orders.states(cid), "it is answered", 60)  # type: ignore[misc]
            (state,) = set(orders.states(cid))
            effects = orders.asked()[n]
            assert effects <= 1, f"done {effects} times, killed at call {n}"
            assert state in ("done", "unknown") and effects >= (state == "done"), (n, state)
            if ended:
                break
        else:
            raise AssertionError("it never ended by itself")
        other, message = orders.dump(seconds=MOST_CALLS)
        send(message)
        world.until(lambda: orders.states(other) == ["done"], "the next one is done", 60)
        found = world.settle(healed_at=began)
    assert given > 3, "nothing was injected"
    assert max(orders.asked().values()) == 1 and orders.asked()[MOST_CALLS] == 1
    assert all(len({one["state"] for one in said}) == 1 for said in orders.replies().values())
    world.figures["runs"] = given
    assert found.dropped == 0


MOST_CALLS = 60
"""A command's number is the seconds of its dump, of which 60 are the most."""
JOURNAL = ("commands.db", "commands.db-journal", "commands.mark", "commands.mark.new")


def _killed_at(
    world: World,
    orders: Orders,
    injection: str,
    log: Path,
    send: Callable[[bytes], None],
    message: bytes,
) -> bool:
    """A life under strace that is given a command; True where it answered and was not killed."""
    log.unlink(missing_ok=True)
    files = [world.state_dir / name for name in JOURNAL]
    agent, said = world.spawn(*command(injection, files=files, log=log)), len(orders.replies())

    def ready() -> bool:
        return agent.poll() is not None or (world.healthy() and orders.connected("raw"))

    def over() -> bool:
        return agent.poll() is not None or len(orders.replies()) > said

    world.until(ready, "it takes commands, or is dead", 60)
    send(message)
    world.until(over, "it is answered, or the agent is dead", 60)
    if agent.poll() is not None or killed(log):
        world.ends()
        return False
    os.kill(world.pid, signal.SIGKILL)  # not strace, which stands before it
    world.ends()
    return True


@pytest.mark.fault("I10", "a support archive is asked for and the agent dies: one file, whole")
@pytest.mark.parametrize(
    ("point", "when"),
    [
        ("agent.spool:_sync", "after"),  # in the spool, without a record
        ("agent.commands.outgoing:Outgoing._take", "after"),
        ("agent.store.journal:Journal.finish", "before"),  # its record is on flash
    ],
)
def test_an_archive_survives_a_kill(world: World, orders: Orders, point: str, when: str) -> None:
    orders.doomed(point, when, 1)
    with orders.broker() as send:
        world.until(lambda: orders.told().get("state") == "on", "commands are heard")
        world.until(world.healthy, "the line is up")
        claims = orders.claims("bundle")
        send(orders.signed(json.dumps(claims).encode()))
        assert world.ends(60) == -signal.SIGKILL, world.log()[-3000:]
        world.env = {}
        began = time.monotonic()
        world.start()
        cid = str(claims["cid"])
        world.until(lambda: orders.states(cid), "it is answered", 60)
        world.until(lambda: orders.files(), "the file is there", 60)
        (said, *more) = orders.replies()[cid]
        assert said["state"] == "done" and all(s["result"] == said["result"] for s in more)
        sha256 = said["result"]["file"]["sha256"]
        assert orders.files() == {cid: sha256}
        landed = world.ledger.with_name("ledger.db.files") / VEHICLE
        assert [path.name for path in landed.iterdir()] == [sha256], "one archive, not two"
        assert world.settle(healed_at=began).dropped == 0
