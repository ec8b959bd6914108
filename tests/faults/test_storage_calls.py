"""Every system call by which the outbox reaches its disk, each with every error that it may give.

The agent is at work: it commits, empties its log, opens and closes; or it starts and replaces a
damaged file. What fails once must cost nothing; what fails for some seconds must not cost a record.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.faults.injection import (
    command,
    detach,
    from_the_start,
    injected,
    killed,
    outbox_files,
)
from tests.faults.test_damage import PAGE, backlog
from tests.faults.world import World

ERRORS = {
    "pwrite64": ("EIO", "ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EINTR"),
    "fdatasync": ("EIO", "ENOSPC", "EDQUOT", "EROFS"),
    "ftruncate": ("EIO", "ENOSPC", "EROFS"),
    "pread64": ("EIO", "EINTR"),
    "fcntl": ("EIO", "ENOLCK"),
    "newfstatat": ("EIO", "EACCES"),
    "statfs": ("EIO",),
}
"""At work."""
AT_START = {
    "openat": ("EIO", "EACCES", "EMFILE", "EROFS"),
    "fsync": ("EIO", "ENOSPC"),
    "unlink": ("EIO", "EACCES", "EROFS"),
    "rename": ("EIO", "EACCES", "EROFS"),
    "mmap": ("ENOMEM", "EACCES"),
}
"""What only a start calls, most of it where a damaged file is replaced."""
WHAT = "each storage system call fails: once, then for some seconds"
REFUSES = "nothing can be written"
IDS = {"ENOSPC": "B4", "EDQUOT": "B6", "EFBIG": "B6", "EROFS": "B8"}
SECONDS = 2.5


def cases(calls: Mapping[str, Sequence[str]]) -> list[object]:
    found = []
    for call, errors in calls.items():
        for error in errors:
            mark = pytest.mark.fault(f"{IDS.get(error, 'B1')}.calls", f"{WHAT}: {error}")
            found.append(pytest.param(call, error, marks=mark))
    return found


@pytest.mark.parametrize(("call", "error"), cases(ERRORS))
def test_a_storage_call_fails(call: str, error: str, world: World) -> None:
    world.configure(store="commit_interval_s = 0.05\n")
    world.dial()
    world.start()
    feeder = world.feed(rate=200)
    feeder.tell("pad 800")
    world.accepts(100)
    mark, tried = world.mark(), []
    for when in ("when=1", "when=2", "when=3", "when=1+"):
        with world.failing(f"{call}:error={error}:{when}") as log:
            deadline = time.monotonic() + SECONDS
            once = when != "when=1+"
            while time.monotonic() < deadline and not (once and injected(log)):
                threading.Event().wait(0.05)
            tried.append(injected(log))
        healed_at = time.monotonic()
        world.accepts(100)
    assert tried[0] and tried[-1], f"nothing was injected: {tried}"
    world.until(world.salvaged, "all that was damaged is looked through", 60)
    world.figures["injected"] = sum(tried)
    found = world.settle(healed_at=healed_at, within_s=90)
    if error not in ("ENOSPC", "EDQUOT", "EFBIG") and (call, error) != ("pread64", "EIO"):
        assert found.dropped == 0, "nothing was full, and all of it could be read"
    assert "Traceback" not in world.log()
    # One alarm each time that it refuses, not one a try.
    assert len(world.alarms(REFUSES, mark)) <= 6


@pytest.mark.parametrize(("call", "error"), cases(AT_START))
def test_a_storage_call_fails_at_a_start(call: str, error: str, world: World) -> None:
    """The first, second or third of a life fails, then all for some seconds; each life is killed.

    An agent that ends is started again, as systemd does it. What the damage took has an account.
    """
    world.configure(store="commit_interval_s = 0.05\n")
    backlog(world, 120)
    rng, log, tried = random.Random(call), world.directory / "strace.log", []
    for when in ("when=1", "when=2", "when=3", "when=1+"):
        world.kill()
        if call != "mmap":
            overwrite(world.state_dir / "outbox.db", rng)
        log.unlink(missing_ok=True)
        mark, files = world.mark(), aside(world.state_dir)
        agent = world.spawn(*from_the_start(f"{call}:error={error}:{when}", files=files, log=log))
        until = time.monotonic() + SECONDS
        world.until(
            lambda mark=mark, agent=agent, until=until, once="+" not in when: (  # type: ignore[misc]
                agent.poll() is not None
                or (once and "recording for" in world.log(mark))
                or time.monotonic() > until
            ),
            "it records, or has ended, or this has lasted for long enough",
        )
        tried.append(injected(log))
        healed_at = time.monotonic()
        if agent.poll() is None:
            detach(agent.pid)
            world.until(lambda mark=mark: "recording for" in world.log(mark), "it records")
        else:
            world.start()
        world.accepts(20)
    assert tried[0] and tried[-1], f"nothing was injected: {tried}"
    world.until(world.salvaged, "all that was damaged is looked through", 60)
    world.figures["injected"] = sum(tried)
    found = world.settle(healed_at=healed_at, within_s=90, again=True)
    assert call != "mmap" or found.dropped == 0
    assert "Traceback" not in world.log()


LIVES = 8
MOVES = ("rename", "unlink", "openat", "fsync", "pwrite64")


@pytest.mark.fault("B7.kills", "kill -9 at each storage call while a damaged database is replaced")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("call", MOVES)
def test_killed_while_a_damaged_file_is_replaced(call: str, world: World) -> None:
    """Each life finds a damaged file and ends at its first call, the next at its second, ..."""
    backlog(world, 120)
    world.stop()
    rng, kills, nth = random.Random(call), 0, 1
    log = world.directory / "strace.log"
    for _ in range(LIVES):
        overwrite(world.state_dir / "outbox.db", rng)
        log.unlink(missing_ok=True)
        mark = world.mark()
        world.spawn(
            *command(f"{call}:signal=KILL:when={nth}", files=aside(world.state_dir), log=log)
        )
        world.until(
            lambda mark=mark: killed(log) or "recording for" in world.log(mark),
            "it is killed, or it records",
        )
        if killed(log):
            kills, nth = kills + 1, nth + 1
        else:
            nth = 1
            # strace stands before it. A log that is left would hide what is overwritten next.
            os.kill(world.pid, signal.SIGTERM)
        world.ends()
    assert kills >= 2
    world.figures["runs"] = kills
    began = time.monotonic()
    world.start()
    world.accepts(20)
    world.until(world.salvaged, "all that was damaged is looked through", 60)
    world.settle(healed_at=began, within_s=90)


def overwrite(path: Path, rng: random.Random) -> None:
    """Some of every second page, and of the table of tables."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        for page in range(2, path.stat().st_size // PAGE, 2):
            file.seek(page * PAGE)
            file.write(rng.randbytes(64))
        if path.stat().st_size:
            file.seek(100)
            file.write(rng.randbytes(32))


def aside(state_dir: Path) -> list[Path]:
    """All that a replacement touches."""
    names = [f"outbox.corrupt-{n}.db{suffix}" for n in (1, 2, 3) for suffix in ("", "-wal", "-shm")]
    return [*outbox_files(state_dir), *(state_dir / name for name in names)]
