"""Little CPU, and a long run in a short time: nothing is lost, nothing grows."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.faults.world import World

PERIOD_S, SHARE = 0.1, 0.1


@pytest.mark.fault("H2", "a tenth of the CPU for 15 s: 1 Hz without a loss", slice=True)
def test_little_cpu(world: World) -> None:
    """Stopped for 90 of each 100 ms, as a quota of the scheduler does it."""
    world.dial()
    world.start()
    world.feed(rate=5)
    world.accepts(10)
    pid, pause = world.pid, threading.Event()
    until = time.monotonic() + 15
    accepted = world.accepted()
    while time.monotonic() < until:
        os.kill(pid, signal.SIGSTOP)
        pause.wait(PERIOD_S * (1 - SHARE))
        os.kill(pid, signal.SIGCONT)
        pause.wait(PERIOD_S * SHARE)
    healed_at = time.monotonic()
    assert world.accepted() > accepted, "nothing came on flash meanwhile"
    assert world.settle(healed_at=healed_at).dropped == 0
    assert not world.alarms("stalled")


def sizes(pid: int) -> tuple[int, int, int]:
    """Resident kB, open files, threads."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    rss = int(next(line for line in status if line.startswith("VmRSS")).split()[1])
    return (
        rss,
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
        len(list(Path(f"/proc/{pid}/task").iterdir())),
    )


@pytest.mark.fault("H5", "hours of records in two minutes, with outages: nothing grows")
@pytest.mark.timeout(400)
def test_a_long_run_compressed(world: World) -> None:
    world.dial()
    world.start()
    feeder = world.feed(rate=500)

    def round_of(n: int) -> None:
        world.accepts(n, 90)
        world.offline()
        world.accepts(n // 2, 90)
        world.dial()
        feeder.tell("rate 0")
        world.until(lambda: not world._outstanding(), "all is delivered", 90)
        feeder.tell("rate 500")

    for _ in range(2):
        round_of(2_000)
    rss_kb, fds, threads = sizes(world.pid)
    file_bytes = (world.state_dir / "outbox.db").stat().st_size
    for _ in range(6):
        round_of(2_000)
    after_kb, after_fds, after_threads = sizes(world.pid)
    world.figures["rss_kb"], world.figures["rss_growth_kb"] = after_kb, after_kb - rss_kb
    assert after_kb - rss_kb < 6_000 and after_kb < 70_000
    assert after_fds <= fds + 2 and after_threads <= threads
    assert (world.state_dir / "outbox.db").stat().st_size <= file_bytes + (2 << 20)
    assert world.settle().dropped == 0
