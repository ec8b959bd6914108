"""The agent's process ends, stops, starts twice or hangs: at any moment, at chosen ones, at random.

Feeders, broker and cloud end live on, so nothing that was emitted may be missing.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from simulator.processes import brain
from tests.contracts.outbox_judge import judge, run
from tests.faults.injection import command, failpoint, hanging, killed, outbox_files
from tests.faults.world import World

CALLS = ("pwrite64", "fdatasync", "openat", "ftruncate", "unlink", "fsync", "pread64", "mmap")
TOO_MANY = 400
STOPPED_S = 65
"""Longer than the keep-alive, and than any loop may go without a beat."""


def killed_at(call: str, n: int, directory: Path, figures: dict[str, Any]) -> bool:
    """Kill a writer of an outbox at its nth `call` on the files; False where it does not come."""
    state, log = directory / f"{call}-{n}", directory / f"{call}-{n}.strace"
    before = command(f"{call}:signal=KILL:when={n}", files=outbox_files(state), log=log)
    told = run(state, "--commits", "9", "--quota", "9000", before=before)
    upto = judge(state, told)
    told += run(state, "--begin", str(upto), "--commits", "3", "--quota", "9000")
    judge(state, told)
    dropped = sum(line.get("dropped", 0) for line in told)
    for name, value in {"runs": 1, "accepted": upto, "dropped": dropped}.items():
        figures[name] = figures.get(name, 0) + value
    figures["delivered"] = figures["accepted"] - figures["dropped"]
    # The judge raises where something is missing, comes twice or is not what was written.
    figures["lost"] = figures["invented"] = 0
    return killed(log)


@pytest.mark.fault("A1", "kill -9 at a storage system call, each in turn", slice=True)
@pytest.mark.parametrize(("call", "n"), [("pwrite64", 30), ("fdatasync", 4)])
def test_killed_at_a_storage_call(
    call: str, n: int, tmp_path: Path, figures: dict[str, Any]
) -> None:
    assert killed_at(call, n, tmp_path, figures)


@pytest.mark.fault("A1", "kill -9 at a storage system call, each in turn")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_each_storage_call(call: str, tmp_path: Path, figures: dict[str, Any]) -> None:
    n = 1
    while killed_at(call, n, tmp_path, figures):
        n += 1
        assert n < TOO_MANY, "it never ends by itself"


@pytest.mark.fault("A1", "kill -9 at a storage system call, each in turn")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_agent_killed_at_each_storage_call(call: str, world: World) -> None:
    """The whole agent, life after life: the nth life ends at its nth call."""
    world.dial()
    world.start()
    world.feed()
    world.accepts(20)
    world.kill()
    lives, most = 0, 24
    for n in range(1, most + 1):
        before = command(
            f"{call}:signal=KILL:when={n}",
            files=outbox_files(world.state_dir),
            log=world.directory / "strace.log",
        )
        world.spawn(*before)
        world.ends()
        assert killed(world.directory / "strace.log"), f"{call} {n} did not come"
        lives += 1
    began = time.monotonic()
    world.start()
    world.figures["runs"] = lives
    found = world.settle(healed_at=began)
    assert found.dropped == 0


POINTS = [
    ("agent.store.engine:Engine._adopt", "before", 6),  # committed, and nobody knows
    ("agent.ingest:Ingest.durable", "before", 4),  # committed, the driver was not told
    ("agent.ingest:Ingest.durable", "after", 4),
    ("agent.pipeline:Pipeline.acknowledge", "before", 2),  # the far end has it, we do not know
    ("agent.pipeline:Pipeline.acknowledge", "after", 2),
    ("agent.uplink.sending:Sender._publish", "before", 3),
    ("agent.uplink.sending:Sender._publish", "after", 3),
    ("agent.uplink.delivery:Delivery.confirm", "before", 2),  # PUBACK, not noted yet
    ("agent.store.transaction:Transaction.finish", "after", 5),  # all written, not committed
]


@pytest.mark.parametrize(
    ("method", "when", "n"),
    [
        pytest.param(*point, marks=pytest.mark.fault("A2", WHAT, slice=at == 3))
        for WHAT in ["kill -9 at a chosen point between commit, reply, send and ack"]
        for at, point in enumerate(POINTS)
    ],
)
def test_killed_at_a_failpoint(method: str, when: str, n: int, world: World) -> None:
    world.dial()
    world.env = failpoint(method, when, n)
    world.spawn()
    world.until(lambda: (world.run_dir / "ingest.sock").exists(), "the door is open")
    world.feed()
    assert world.ends() == -signal.SIGKILL, world.log()[-3000:]
    world.env = {}
    began = time.monotonic()
    world.start()
    world.accepts(20)
    assert world.settle(healed_at=began).dropped == 0


def storm(world: World, seconds: float, seed: int) -> None:
    draw, pause = random.Random(seed), threading.Event()
    world.dial()
    world.start()
    world.feed("one", 100)
    world.feed("two", 30)
    kills, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        pause.wait(draw.uniform(0.2, 3.0))
        world.kill()
        kills += 1
        world.spawn()
    world.kill()
    began = time.monotonic()
    assert world.start() < 5.0
    world.figures["runs"] = kills
    assert world.settle(healed_at=began).dropped == 0


@pytest.mark.fault("A3", "kill -9 again and again, at random")
@pytest.mark.timeout(400)
def test_a_storm_of_kills(world: World) -> None:
    storm(world, float(os.environ.get("BRAIN_FAULTS_STORM_S", "120")), seed=4)


@pytest.mark.fault("A8", "ignition off: SIGTERM, and 2 s to live", slice=True)
def test_two_seconds_to_live(world: World) -> None:
    world.dial()
    world.start()
    world.feed(rate=400)
    world.accepts(400)
    world.offline()
    began = time.monotonic()
    assert world.stop(2.0) == 0
    took_s = time.monotonic() - began
    assert took_s < 2.0
    began = time.monotonic()
    world.start()
    assert "(clean)" in world.log().splitlines()[-1] or "(clean)" in world.log()
    world.accepts(100)
    assert world.settle(healed_at=began).dropped == 0


@pytest.mark.fault("A10", "stopped for longer than the keep-alive, then continued")
def test_stopped_and_continued(world: World) -> None:
    world.configure(uplink=world.sections["uplink"] + "keepalive_s = 5\n")
    world.dial()
    world.start()
    world.feed()
    world.accepts(30)
    pid = world.pid
    world.kill(signal.SIGSTOP)
    threading.Event().wait(STOPPED_S)
    world.kill(signal.SIGCONT)
    continued_at = time.monotonic()
    world.accepts(30)
    assert world.pid == pid
    assert world.settle(healed_at=continued_at).dropped == 0
    assert not world.alarms("stalled"), "the time it did not run is not its loops' fault"


def spent_s() -> float:
    """The processor time of all children that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


@pytest.mark.fault("A11", "two agents on one state directory")
def test_a_second_agent_names_the_first(world: World) -> None:
    world.dial()
    world.start()
    world.feed()
    world.accepts(20)
    where = ["--config", str(world.config), "--run-dir", str(world.directory / "second")]
    began, before_s = time.monotonic(), spent_s()
    second = subprocess.run(
        brain("run", *where, "--state-dir", str(world.state_dir)),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    world.figures["refused_ms"] = round((time.monotonic() - began) * 1000)
    # Of its own time: what it takes where no other test has the processor.
    assert spent_s() - before_s < 1.0
    assert second.returncode == 75
    assert f"pid {world.pid}" in second.stderr and len(second.stderr.splitlines()) == 1
    world.accepts(20)
    assert world.settle().dropped == 0


@pytest.mark.fault("A12", "one loop hangs, the others live")
def test_a_loop_that_hangs_stops_the_watchdog(world: World) -> None:
    """We are PID 1: READY and WATCHDOG=1 come to us, and we end what does not feed it."""
    world.dial()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(world.directory / "notify"))
        notify.settimeout(0.2)
        own = {"NOTIFY_SOCKET": str(world.directory / "notify"), "WATCHDOG_USEC": "4000000"}
        world.env = {**hanging("agent.ingest:Ingest._turn"), **own}
        world.start()
        world.feed()
        world.accepts(20)
        fed_at = time.monotonic()
        world.kill(signal.SIGUSR1)

        def starved() -> bool:
            nonlocal fed_at
            try:
                while True:
                    if b"WATCHDOG=1" in notify.recv(4096):
                        fed_at = time.monotonic()
            except TimeoutError:
                return time.monotonic() - fed_at > 4.0

        world.until(starved, "the watchdog is not fed", 40)
    world.kill(signal.SIGABRT)
    assert world.ends() == -signal.SIGABRT
    assert "stalled: ingest" in world.log() and "Fatal Python error: Aborted" in world.log()
    assert len(world.alarms("stalled")) == 1
    world.env = {}
    began = time.monotonic()
    world.start()
    world.accepts(20)
    assert world.settle(healed_at=began).dropped == 0
