"""Random combinations of faults, from a seed, until the minutes are over: `make soak MINUTES=n`.

One world lives through all of it. An episode is one to three faults at once, then healing; after
each the oracle judges everything since the beginning. Prints the seed first and a line an episode;
a run with the same seed tries the same faults in the same order (their instants differ). It leaves
no process behind; one that it finds is an error too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from simulator.processes import ask
from tests.faults.clocks import Wall
from tests.faults.injection import NotHere
from tests.faults.liar import Liar, between
from tests.faults.losing import Losing
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

QUOTA_MB = "history = 2\nalarm = 4\n"
"""So little that a flood while offline has to be thinned and dropped, with accounts."""


@dataclass(frozen=True)
class Place:
    """A world and its line to the broker."""

    world: World
    liar: Liar


Fault = Callable[[Place, random.Random], AbstractContextManager[object]]


def say(line: str) -> None:
    """At once: whoever waits sees what it was at when it hung."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def agent_killed(place: Place, draw: random.Random) -> Iterator[None]:
    """SIGKILL once or some times, each followed by the next life."""
    for _ in range(draw.randint(1, 3)):
        place.world.kill()
        place.world.spawn()
        threading.Event().wait(draw.uniform(0.1, 1.5))
    yield


@contextlib.contextmanager
def ignition_off(place: Place, draw: random.Random) -> Iterator[None]:
    """SIGTERM, 2 s to live, and a while without an agent."""
    place.world.kill(signal.SIGTERM)
    with contextlib.suppress(Exception):
        place.world.ends(2.0)
    place.world.kill()
    yield
    place.world.spawn()


@contextlib.contextmanager
def agent_stopped(place: Place, draw: random.Random) -> Iterator[None]:
    """SIGSTOP until healed."""
    place.world.kill(signal.SIGSTOP)
    try:
        yield
    finally:
        place.world.kill(signal.SIGCONT)


@contextlib.contextmanager
def broker_gone(place: Place, draw: random.Random) -> Iterator[None]:
    """Killed with all its sessions."""
    place.world.offline()
    yield
    place.world.dial()


@contextlib.contextmanager
def broker_flaps(place: Place, draw: random.Random) -> Iterator[None]:
    """Killed and back, some times."""
    for _ in range(draw.randint(2, 4)):
        place.world.offline()
        place.world.dial()
    yield


@contextlib.contextmanager
def cloud_gone(place: Place, draw: random.Random) -> Iterator[None]:
    """The application is away: the broker confirms, nobody acknowledges."""
    place.world.cloud.kill()
    yield
    place.world.dial()


@contextlib.contextmanager
def flood(place: Place, draw: random.Random) -> Iterator[None]:
    """Ten times the load, with padding."""
    feeder = place.world.feeders["count"]
    feeder.tell(f"pad {draw.choice([0, 200, 2000])}")
    feeder.tell("rate 500")
    yield
    feeder.tell("pad 0")
    feeder.tell("rate 50")


@contextlib.contextmanager
def storage_fails(place: Place, draw: random.Random) -> Iterator[None]:
    """A system call of storage fails or takes its time, while this process lives."""
    with place.world.failing(draw.choice(STORAGE)):
        yield


@contextlib.contextmanager
def driver_killed(place: Place, draw: random.Random) -> Iterator[None]:
    """SIGKILL of one driver, some times; each is followed by its next life."""
    for _ in range(draw.randint(1, 3)):
        place.world.kill_driver("killed")
        threading.Event().wait(draw.uniform(0.1, 1.5))
    yield


@contextlib.contextmanager
def line_loses(place: Place, draw: random.Random) -> Iterator[None]:
    """Some batches are confirmed and lost."""
    place.liar.up = Losing(draw.randrange(1_000_000), draw.choice([0.1, 0.5, 1.0]))
    yield
    place.liar.up = None


@contextlib.contextmanager
def line_stalls(place: Place, draw: random.Random) -> Iterator[None]:
    """Half-open: in one direction nothing passes any more; connections are cut when it heals."""
    way = draw.choice([place.liar.reading, place.liar.speaking])
    way.clear()
    yield
    way.set()
    place.liar.cut()


FAULTS: dict[str, Fault] = {
    "agent killed": agent_killed,
    "ignition off": ignition_off,
    "agent stopped": agent_stopped,
    "broker gone": broker_gone,
    "broker flaps": broker_flaps,
    "cloud end gone": cloud_gone,
    "flood": flood,
    "storage fails": storage_fails,
    "driver killed": driver_killed,
    "line loses": line_loses,
    "line stalls": line_stalls,
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


def episode(place: Place, draw: random.Random, wall: Wall | None) -> str:
    """Some faults at once, then healed and judged; what it was."""
    world = place.world
    names, seconds = chosen(draw), draw.uniform(*EPISODE_S)
    text = draw.choice(WALLS)
    if wall is not None:
        wall.set(text)
        names.append(f"clock {text}")
    try:
        with ExitStack() as stack:
            for name in names:
                if name in FAULTS:
                    stack.enter_context(FAULTS[name](place, draw))
            threading.Event().wait(seconds)
        _judged(place)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        raise AssertionError(f"{', '.join(names)}: {type(error).__name__} {error}") from error
    for feeder in world.feeders.values():
        feeder.tell("rate 50")
    return ", ".join(names)


def _judged(place: Place) -> None:
    """All is whole again, and the books say so."""
    world = place.world
    if world.agent is not None and world.agent.poll() is not None:
        world.spawn()
    try:
        world.settle(healed_at=time.monotonic(), within_s=120)
    except AssertionError as error:
        raise AssertionError(f"{ask(world.run_dir, 'status')}\n{error}") from error
    # It goes on stating how it is: what counts is that the queue was empty once.
    world.until(lambda: not world.answer("audit").get("queued", 1), "nothing is queued")


def resident_mb(pid: int) -> float:
    """What a process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def left_behind(directory: Path) -> list[str]:
    """Command lines of processes that name `directory`."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            if str(directory).encode() in words:
                found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def soak(minutes: float, seed: int) -> int:
    """Exit code 0 where every judgement was good."""
    say(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        world = World(Path(name))
        world.configure(store__quota_mb=QUOTA_MB)
        world.env["BRAIN_DIE_WITH"] = str(os.getpid())
        try:
            with between(world) as liar:
                number, largest_mb = _episodes(Place(world, liar), minutes, random.Random(seed))
        except AssertionError as error:
            say(f"     BAD  seed {seed}\n{error}")
            return 1
        finally:
            world.close()
        if left := left_behind(world.directory):
            say(f"     BAD  processes were left behind: {left}")
            return 1
    say(
        f"{number} episodes, nothing lost, nothing invented; "
        f"the agent had {largest_mb:.0f} MB at most; seed {seed}"
    )
    return 0


def _episodes(place: Place, minutes: float, draw: random.Random) -> tuple[int, float]:
    """How many there were, and the most memory that the agent had after one, in MB."""
    world, until = place.world, time.monotonic() + minutes * 60
    number, largest_mb = 0, 0.0
    wall = None
    try:
        wall = Wall(world)
        wall.set("+0")
    except NotHere as reason:
        say(f"{reason}: without clock jumps")
    world.dial()
    world.start()
    world.feed()
    world.feed("killed")
    world.accepts(30)
    while time.monotonic() < until:
        number += 1
        began = time.monotonic()
        what = episode(place, draw, wall)
        figures, rss_mb = world.figures, resident_mb(world.pid)
        largest_mb = max(largest_mb, rss_mb)
        say(
            f"{number:4} ok {time.monotonic() - began:5.0f} s  accepted "
            f"{figures['accepted']} delivered {figures['delivered']} dropped "
            f"{figures['dropped']} lost {figures['lost']} invented {figures['invented']}  "
            f"healthy after {figures['heal_ms']} ms  {rss_mb:.0f} MB  {what}"
        )
    return number, largest_mb


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="by default another one each time")
    args = parser.parse_args()
    # A soak that is ended leaves no more behind than one that is over.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = random.SystemRandom().randrange(1_000_000) if args.seed is None else args.seed
    raise SystemExit(soak(args.minutes, seed))


if __name__ == "__main__":
    main()
