"""The contract of driver and door: nothing missing, nothing doubled, in order, whatever dies.

Both are real processes on a real socket whose listener outlives the coordinator, as PID 1 has it.
Random kills find neither a `durable` before the commit nor a missing dedupe; failpoints and cut
connections do. The last tests build those bugs in and show that they are found.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
POINTS = ("before-commit", "after-commit", "after-reply")
DEADLINE_S = 30.0


class Bench:
    """A listener, the processes at both ends, and the journal they leave."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "ingest.sock"
        self.journal = directory / "journal"
        self._directory = directory
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        self._processes: list[subprocess.Popen[bytes]] = []

    def coordinator(self, *options: str) -> subprocess.Popen[bytes]:
        fd = self._listener.fileno()
        script = [sys.executable, str(HERE / "ingest_coordinator.py"), str(self.journal)]

        def inherit() -> None:
            os.dup2(fd, 3)

        return self._start([*script, *options], inherit)

    def driver(self, *options: str, name: str = "count") -> subprocess.Popen[bytes]:
        script = [sys.executable, str(HERE / "ingest_driver.py"), str(self.path)]
        return self._start([*script, str(self._directory / name), "--name", name, *options], None)

    def _start(
        self, command: list[str], before: Callable[[], None] | None
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if before is None else None,
            preexec_fn=before,
            close_fds=before is None,
        )
        self._processes.append(process)
        return process

    def records(self) -> list[tuple[str, int]]:
        """(source, number) of all committed records, in order of the commits."""
        whole = self.journal.read_bytes() if self.journal.exists() else b""
        lines = whole[: whole.rfind(b"\n") + 1].splitlines()
        return [(r[0], r[2]) for line in lines for r in json.loads(line)["records"]]

    def numbers(self, source: str = "count") -> list[int]:
        return [number for name, number in self.records() if name == source]

    def wait_for(self, last: int, deadline_s: float = DEADLINE_S) -> list[int]:
        """The committed numbers once `last` is among them, or what there is at the deadline."""
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            numbers = self.numbers()
            if last in numbers[-500:]:
                return numbers
            select.select([], [], [], 0.05)
        return self.numbers()

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        self._listener.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def emitted(driver: subprocess.Popen[bytes]) -> None:
    assert driver.stdout is not None
    ready, _, _ = select.select([driver.stdout], [], [], DEADLINE_S)
    assert ready
    assert driver.stdout.readline() == b"emitted\n"


def run_with_failpoints(
    bench: Bench, driver: subprocess.Popen[bytes], points: tuple[str, ...], *options: str
) -> int:
    """Kill the coordinator at one point after the other until the driver is through."""
    for kills, point in enumerate(itertools.cycle(points)):
        after = str(2 + kills % 4)
        coordinator = bench.coordinator("--die", point, "--after", after, *options)
        while coordinator.poll() is None:
            assert driver.stdout is not None
            if select.select([driver.stdout], [], [], 0.02)[0]:
                emitted(driver)
                coordinator.kill()
                coordinator.wait()
                return kills
    raise AssertionError


def test_failpoints_in_the_commit(bench: Bench) -> None:
    driver = bench.driver("--last", "4000")
    kills = run_with_failpoints(bench, driver, POINTS)
    assert kills >= 5
    coordinator = bench.coordinator()
    assert bench.wait_for(4_000) == list(range(1, 4_001))
    driver.terminate()
    assert driver.wait(3) == 0
    coordinator.terminate()
    assert coordinator.wait(3) == 0


# A host reconnects after 0.1 s. What a late commit has not covered by then is sent twice.
LATE_COMMITS = ("--interval", "0.3")


def test_cut_connections_and_a_stopped_coordinator(bench: Bench) -> None:
    coordinator = bench.coordinator(*LATE_COMMITS)
    driver = bench.driver("--last", "4000")
    assert driver.stdout is not None
    cuts = 0
    while not select.select([driver.stdout], [], [], 0.08)[0]:
        if len(bench.numbers()) == 0:
            continue
        cuts += 1
        if cuts % 5 == 0:
            coordinator.send_signal(signal.SIGSTOP)
            select.select([], [], [], 0.3)
            coordinator.send_signal(signal.SIGCONT)
        coordinator.send_signal(signal.SIGUSR1)
    assert cuts >= 5
    assert bench.wait_for(4_000) == list(range(1, 4_001))


def test_two_drivers_and_a_killed_coordinator(bench: Bench) -> None:
    """Each driver's order holds, and the death of the one driver is the other's no affair."""
    coordinator = bench.coordinator()
    driver = bench.driver("--last", "2000")
    other = bench.driver("--last", "1000000", name="other")
    assert driver.stdout is not None
    while not select.select([driver.stdout], [], [], 0.2)[0]:
        coordinator.kill()
        coordinator.wait()
        other.kill()
        other.wait()
        other = bench.driver("--last", "1000000", name="other")
        coordinator = bench.coordinator()
    assert bench.wait_for(2_000) == list(range(1, 2_001))
    until = time.monotonic() + DEADLINE_S
    while not bench.numbers("other"):
        assert time.monotonic() < until, "nothing of the other driver"
        select.select([], [], [], 0.05)


def test_what_is_in_the_socket_of_a_driver_that_ended_counts(bench: Bench) -> None:
    """The driver is stopped while the coordinator sleeps; what it sent before is committed."""
    coordinator = bench.coordinator()
    driver = bench.driver("--last", "1000000")
    bench.wait_for(100)
    coordinator.send_signal(signal.SIGSTOP)
    select.select([], [], [], 0.2)
    driver.terminate()
    assert driver.wait(3) == 0
    coordinator.send_signal(signal.SIGCONT)
    bench.driver("--last", "20", name="other")
    until = time.monotonic() + DEADLINE_S
    while not bench.numbers("other") and time.monotonic() < until:
        select.select([], [], [], 0.05)
    numbers = bench.numbers()
    assert len(numbers) > 300
    assert numbers == list(range(1, len(numbers) + 1))


def test_found_a_ring_that_is_trimmed_on_send(bench: Bench) -> None:
    driver = bench.driver("--last", "2000", "--bug", "trims-on-send")
    assert run_with_failpoints(bench, driver, ("before-commit",)) >= 2
    bench.coordinator()
    numbers = bench.wait_for(2_000, 5.0)
    assert set(range(1, 2_001)) - set(numbers), "the bug went unnoticed"


def test_found_durable_before_the_commit(bench: Bench) -> None:
    driver = bench.driver("--last", "2000")
    assert run_with_failpoints(bench, driver, POINTS, "--bug", "early-durable") >= 2
    bench.coordinator()
    numbers = bench.wait_for(2_000, 5.0)
    assert set(range(1, 2_001)) - set(numbers), "the bug went unnoticed"


def test_found_a_missing_dedupe(bench: Bench) -> None:
    coordinator = bench.coordinator(*LATE_COMMITS, "--bug", "no-dedupe")
    driver = bench.driver("--last", "3000")
    assert driver.stdout is not None
    while not select.select([driver.stdout], [], [], 0.03)[0]:
        if bench.numbers():
            coordinator.send_signal(signal.SIGUSR1)
    numbers = bench.wait_for(3_000, 5.0)
    assert len(numbers) > len(set(numbers)), "the bug went unnoticed"
