"""Random combinations of faults, from a seed, until the minutes are over: `make soak MINUTES=n`.

One world lives through all of it. An episode is one to three faults at once, then healing; after
each the oracle judges everything since the beginning. Prints the seed first and a line an episode;
a run with the same seed tries the same faults in the same order (their instants differ).
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from tests.faults.clocks import Wall
from tests.faults.injection import NotHere
from tests.faults.world import World

EPISODE_S = (2.0, 8.0)
AT_ONCE = 3
STORAGE = (
    "fdatasync,fsync:error=EIO:when=1",
    "fdatasync,fsync:error=EIO",
    "pwrite64:error=ENOSPC",
    "pwrite64:error=EIO:when=3",
    "fdatasync:delay_enter=1000000",
    "pread64:error=EIO:when=2+9",
)
WALLS = ("+0", "-1h", "+1h", "+10y", "-10y", "@1970-01-01 00:10:00")

Fault = Callable[[World, random.Random], AbstractContextManager[object]]


def say(line: str) -> None:
    """At once: whoever waits sees what it was at when it hung."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def agent_killed(world: World, draw: random.Random) -> Iterator[None]:
    """SIGKILL once or some times, each followed by the next life."""
    for _ in range(draw.randint(1, 3)):
        world.kill()
        world.spawn()
        threading.Event().wait(draw.uniform(0.1, 1.5))
    yield


@contextlib.contextmanager
def ignition_off(world: World, draw: random.Random) -> Iterator[None]:
    """SIGTERM, 2 s to live, and a while without an agent."""
    world.kill(signal.SIGTERM)
    with contextlib.suppress(Exception):
        world.ends(2.0)
    world.kill()
    yield
    world.spawn()


@contextlib.contextmanager
def agent_stopped(world: World, draw: random.Random) -> Iterator[None]:
    """SIGSTOP until healed."""
    world.kill(signal.SIGSTOP)
    try:
        yield
    finally:
        world.kill(signal.SIGCONT)


@contextlib.contextmanager
def broker_gone(world: World, draw: random.Random) -> Iterator[None]:
    """Killed with all its sessions."""
    world.offline()
    yield
    world.dial()


@contextlib.contextmanager
def broker_flaps(world: World, draw: random.Random) -> Iterator[None]:
    """Killed and back, some times."""
    for _ in range(draw.randint(2, 4)):
        world.offline()
        world.dial()
    yield


@contextlib.contextmanager
def cloud_gone(world: World, draw: random.Random) -> Iterator[None]:
    """The application is away: the broker confirms, nobody acknowledges."""
    world.cloud.kill()
    yield
    world.dial()


@contextlib.contextmanager
def flood(world: World, draw: random.Random) -> Iterator[None]:
    """Ten times the load, with padding."""
    feeder = world.feeders["count"]
    feeder.tell(f"pad {draw.choice([0, 200, 2000])}")
    feeder.tell("rate 500")
    yield
    feeder.tell("pad 0")
    feeder.tell("rate 50")


@contextlib.contextmanager
def storage_fails(world: World, draw: random.Random) -> Iterator[None]:
    """A system call of storage fails or takes its time, while this process lives."""
    with world.failing(draw.choice(STORAGE)):
        yield


FAULTS: dict[str, Fault] = {
    "agent killed": agent_killed,
    "ignition off": ignition_off,
    "agent stopped": agent_stopped,
    "broker gone": broker_gone,
    "broker flaps": broker_flaps,
    "cloud end gone": cloud_gone,
    "flood": flood,
    "storage fails": storage_fails,
}
# Each needs the agent's process for itself.
EXCLUSIVE = ("agent killed", "ignition off", "agent stopped", "storage fails")


def chosen(draw: random.Random) -> list[str]:
    """One to three faults that can be had together."""
    names = draw.sample(sorted(FAULTS), draw.randint(1, AT_ONCE))
    first = next((name for name in names if name in EXCLUSIVE), None)
    rest = [name for name in names if name not in EXCLUSIVE]
    if "broker gone" in rest and "broker flaps" in rest:
        rest.remove("broker flaps")
    return [*rest, *([first] if first else [])]


def episode(world: World, draw: random.Random, wall: Wall | None) -> str:
    """Some faults at once, then healed and judged; what it was."""
    names, seconds = chosen(draw), draw.uniform(*EPISODE_S)
    text = draw.choice(WALLS)
    if wall is not None:
        wall.set(text)
        names.append(f"clock {text}")
    with ExitStack() as stack:
        for name in names:
            if name in FAULTS:
                stack.enter_context(FAULTS[name](world, draw))
        threading.Event().wait(seconds)
    if world.agent is not None and world.agent.poll() is not None:
        world.spawn()
    world.settle(healed_at=time.monotonic(), within_s=120)
    audit = world.answer("audit")
    assert not audit["queued"], f"queued for ever: {audit} {world.answer('status')}"
    for feeder in world.feeders.values():
        feeder.tell("rate 50")
    return ", ".join(names)


def soak(minutes: float, seed: int) -> int:
    """Exit code 0 where every judgement was good."""
    draw, until, number = random.Random(seed), time.monotonic() + minutes * 60, 0
    say(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        world = World(Path(name))
        try:
            wall: Wall | None = Wall(world)
            assert wall is not None
            wall.set("+0")
        except NotHere as reason:
            say(f"{reason}: without clock jumps")
            wall = None
        try:
            world.dial()
            world.start()
            world.feed()
            world.accepts(30)
            while time.monotonic() < until:
                number += 1
                began = time.monotonic()
                what = episode(world, draw, wall)
                figures = world.figures
                say(
                    f"{number:4} ok {time.monotonic() - began:5.0f} s  accepted "
                    f"{figures['accepted']} delivered {figures['delivered']} dropped "
                    f"{figures['dropped']} lost {figures['lost']} invented {figures['invented']}  "
                    f"healthy after {figures['heal_ms']} ms  {what}"
                )
        except AssertionError as error:
            say(f"{number:4} BAD  seed {seed}\n{error}")
            return 1
        finally:
            world.close()
    say(f"{number} episodes, nothing lost, nothing invented; seed {seed}")
    return 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="by default another one each time")
    args = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if args.seed is None else args.seed
    raise SystemExit(soak(args.minutes, seed))


if __name__ == "__main__":
    main()
