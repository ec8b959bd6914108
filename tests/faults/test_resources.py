"""What the box has too little of: CPU, descriptors, an environment; and a long run, compressed."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulator.processes import ask
from tests.faults.brokers import begin
from tests.faults.injection import failing, injected, strace
from tests.faults.liar import Liar
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


WARM_UP, ROUNDS, OF_A_ROUND = 5, 10, 2_000
MOST_BYTES_A_RECORD = 30.0
"""Of a short run; see the test."""
WARM_RECORDS, RECORDS = 100_000, 220_000
BYTES_A_RECORD_OF_1_MB_A_DAY = 12.0
"""With a record a second."""


@pytest.mark.fault("H5", "hours of records in minutes, with outages: nothing grows")
@pytest.mark.timeout(1800)
def test_a_long_run_compressed(world: World) -> None:
    """Memory where nothing is under way, round by round, and the line through it.

    In so few records the allocator has not settled: 15 to 24 bytes a record were measured, with a
    standard error of 2, and ever less as the run went on. So the bound is 30, which shows what is
    kept for each record, if it is an object of its own, or 500 bytes a message.
    """
    world.dial()
    world.start()
    feeder = world.feed(rate=500)
    samples: list[tuple[int, int]] = []
    _, fds, threads = sizes(world.pid)
    file_bytes = 0
    for n in range(WARM_UP + ROUNDS):
        world.accepts(OF_A_ROUND, 90)
        world.offline()
        world.accepts(OF_A_ROUND // 2, 90)
        world.dial()
        feeder.tell("rate 0")
        world.until(lambda: not world._outstanding(), "all is delivered", 180)
        if n == WARM_UP - 1:
            _, fds, threads = sizes(world.pid)
            file_bytes = (world.state_dir / "outbox.db").stat().st_size
        if n >= WARM_UP - 1:
            samples.append((world.accepted(), anonymous_kb(world.pid)))
        feeder.tell("rate 500")
    slope, error = line_through(samples)
    world.figures["bytes_a_record"] = round(1024 * slope, 1)
    world.figures["bytes_a_record_error"] = round(1024 * error, 1)
    _, after_fds, after_threads = sizes(world.pid)
    assert after_fds <= fds + 2 and after_threads <= threads
    assert (world.state_dir / "outbox.db").stat().st_size <= file_bytes + (2 << 20)
    assert world.settle().dropped == 0
    assert 1024 * slope < MOST_BYTES_A_RECORD, samples


@pytest.mark.fault("H5", "two days and a half of records in minutes: less than 1 MB a day")
@pytest.mark.timeout(1200)
def test_days_of_records_compressed(world: World) -> None:
    """The line through the last 120,000 records. 7 bytes a record were measured, with a standard
    error of 0.5, and 0.7 in a run that went on to 450,000: nothing is kept.
    """
    world.dial()
    world.start()
    feeder = world.feed()
    samples: list[tuple[int, int]] = []
    delivered = 0
    while delivered < RECORDS:
        feeder.tell("rate 1500")
        want = delivered + 3 * OF_A_ROUND
        world.until(lambda want=want: world.delivered() >= want, "delivered", 120)  # type: ignore[misc]
        feeder.tell("rate 0")
        world.until(lambda: not world._outstanding(), "all is delivered", 180)
        delivered = world.delivered()
        if delivered >= WARM_RECORDS:
            samples.append((delivered, anonymous_kb(world.pid)))
    slope, error = line_through(samples)
    world.figures["bytes_a_record"] = round(1024 * slope, 1)
    world.figures["bytes_a_record_error"] = round(1024 * error, 1)
    assert world.settle().dropped == 0
    assert 1024 * (slope + 2 * error) < BYTES_A_RECORD_OF_1_MB_A_DAY, samples


def anonymous_kb(pid: int) -> int:
    """Resident kB that belong to no file: what a leak would be in."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("RssAnon")).split()[1])


def line_through(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The slope of the line of least squares, and its standard error."""
    n = len(points)
    mean_x, mean_y = (sum(point[at] for point in points) / n for at in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    return slope, float((rest / (n - 2) / spread) ** 0.5)


@pytest.mark.fault(
    "H3", "no file descriptor is left when the line is cut: it waits, it does not spin"
)
def test_no_descriptor_left(world: World, liar: Liar) -> None:
    begin(world)
    mark = world.mark()
    fds = len(list(Path(f"/proc/{world.pid}/fd").iterdir()))
    soft, hard = resource.prlimit(world.pid, resource.RLIMIT_NOFILE)
    # The reader of the outbox and look-ups come and go: none for them either.
    resource.prlimit(world.pid, resource.RLIMIT_NOFILE, (max(3, fds // 2), hard))
    liar.cut()
    world.until(lambda: "Too many open files" in world.log(mark), "it is said")
    before = _cpu_s(world.pid)
    world.accepts(100)
    spent = _cpu_s(world.pid) - before
    world.figures["cpu_ms"] = round(spent * 1000)
    assert spent < 2.0
    resource.prlimit(world.pid, resource.RLIMIT_NOFILE, (soft, hard))
    world.settle(healed_at=time.monotonic())


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.fault("H4", "no thread can be started when the line is cut: back all the same")
def test_no_thread_left(world: World, liar: Liar) -> None:
    """A look-up of the broker's name has a thread of its own; its last address needs none."""
    begin(world)
    with no_threads(world):
        mark = world.mark()
        liar.cut()
        world.until(lambda: "uplink up" in world.log(mark), "back by the address it knows")
        world.accepts(100)
    heals(world)


@pytest.mark.fault("H4", "no thread can be started for the first look-up: said, then healed")
def test_no_thread_for_the_first_look_up(world: World) -> None:
    world.start()
    world.feed()
    world.accepts(30)
    with no_threads(world) as log:
        world.dial()
        said = "no thread for the name look-up"
        world.until(lambda: said in str(ask(world.run_dir, "status")), "it is said")
        tried = injected(log)
        world.until(lambda: injected(log) > tried, "it tries again", 60)
        world.accepts(100)
    heals(world)


@pytest.mark.fault("H4", "no thread can be started at all: it says so and ends, and starts later")
def test_no_thread_at_the_start(world: World) -> None:
    begin(world)
    world.stop()
    mark, log = world.mark(), world.directory / "strace.log"
    argv = [strace(), "-f", "-qq", "-o", str(log), "-e", "trace=clone,clone3"]
    world.spawn(*argv, "-e", "signal=none", "-e", "inject=clone,clone3:error=EAGAIN")
    assert world.ends() > 0
    assert injected(log), "nothing was injected"
    said = world.log(mark)
    assert "Traceback" not in said and "thread" in said, said
    world.start()
    world.accepts(30)
    assert world.settle(healed_at=time.monotonic()).dropped == 0


@contextmanager
def no_threads(world: World) -> Iterator[Path]:
    """The agent cannot start any; yields the log of the system calls that failed."""
    log = world.directory / "strace.log"
    with failing(world.pid, "clone,clone3:error=EAGAIN", files=(), log=log):
        yield log
    assert injected(log)


def heals(world: World) -> None:
    world.settle(calls=0, healed_at=time.monotonic())
    assert "Traceback" not in world.log()


@pytest.mark.fault("H6", "no HOME, locale C, umask 0, no temporary folder: it starts", slice=True)
def test_a_bare_environment(world: World) -> None:
    world.env = {"LC_ALL": "C", "LANG": "C", "TMPDIR": "/nowhere"}
    world.dial()
    world.start("sh", "-c", 'unset HOME; umask 0; exec "$@"', "sh")
    world.feed()
    world.accepts(30)
    world.settle(calls=0)
    open_to_all = [p.name for p in world.state_dir.iterdir() if p.stat().st_mode & 0o002]
    assert not open_to_all, "nobody else may write what the agent keeps"


@pytest.mark.fault("H7", "the journal dies, D-Bus and the supervisor's socket lead nowhere")
def test_nobody_listens(world: World) -> None:
    """What is not logged cannot be judged by the log: the feeder's numbers must all arrive."""
    nowhere = str(world.directory / "gone.sock")
    world.env = {"NOTIFY_SOCKET": nowhere, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={nowhere}"}
    world.dial()
    journal = f'exec "$@" > >(exec cat >> {world.log_file}) 2>&1'
    world.start("bash", "-c", journal, "bash")
    world.feed(rate=200)
    world.accepts(50)
    (cat,) = world._children()
    os.kill(cat, signal.SIGKILL)
    emitted = world.feeders["count"].emitted()
    world.until(lambda: world.delivered() > emitted + 400, "it goes on", 60)
    assert world.settle(healed_at=time.monotonic()).dropped == 0
    world.stop()
