"""`brain up` plays PID 1: restarts, watchdog, refusal, orderly end, with real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.supervised import Child, Limits, Phase

LIMITS = Limits(start_s=5, watchdog_s=0.5, restart_s=0.05, stop_s=2)

CHILD = """
import os, socket, sys, time, select
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def say(text): notify.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
what = sys.argv[1]
if what == "config": sys.exit(2)
if what == "sockets":
    listener = socket.socket(fileno=3)
    say("STATUS=" + os.environ["LISTEN_FDNAMES"] + " " + listener.getsockname())
say("READY=1")
if what == "exit": sys.exit(1)
while what != "silent":
    say("WATCHDOG=1")
    select.select([], [], [], 0.1)
select.select([], [], [])
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        yield Path(name)


def live(child: Child, until: Callable[[], bool], within_s: float = 8) -> None:
    """Step the child until a fact holds."""
    deadline = time.monotonic() + within_s
    pause, _keep = socket.socketpair()
    pause.settimeout(0.01)
    while not until():
        assert time.monotonic() < deadline, child.view()
        child.step(time.monotonic())
        child.hear()
        try:
            pause.recv(1)
        except TimeoutError:
            continue


@pytest.fixture
def make(directory: Path) -> Iterator[Callable[..., Child]]:
    made: list[Child] = []

    def make(what: str, **sockets: socket.socket) -> Child:
        argv = [sys.executable, "-c", CHILD, what]
        made.append(Child("x", argv, LIMITS, directory, sockets))
        return made[-1]

    yield make
    for child in made:
        child.terminate()
        child.kill()
        child.close()


def test_ready_and_alive(make: Callable[..., Child]) -> None:
    child = make("good")
    live(child, lambda: child.phase is Phase.READY)
    first = child.pid
    ended = time.monotonic() + 1.2
    live(child, lambda: time.monotonic() > ended)
    assert child.pid == first and child.restarts == 0


def test_a_killed_child_comes_back(make: Callable[..., Child]) -> None:
    child = make("good")
    live(child, lambda: child.phase is Phase.READY)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    live(child, lambda: child.restarts == 1 and child.phase is Phase.READY)


@pytest.mark.parametrize("what", ["silent", "stopped"])
def test_the_watchdog_ends_a_hung_child(make: Callable[..., Child], what: str) -> None:
    child = make("silent" if what == "silent" else "good")
    live(child, lambda: child.phase is Phase.READY)
    if what == "stopped":
        assert child.pid is not None
        os.kill(child.pid, signal.SIGSTOP)
    live(child, lambda: child.restarts == 1)


def test_a_refused_configuration_is_not_tried_again(make: Callable[..., Child]) -> None:
    child = make("config")
    live(child, lambda: child.phase is Phase.REFUSED)
    ended = time.monotonic() + 0.3
    live(child, lambda: time.monotonic() > ended)
    assert child.pid is None and child.restarts == 0


def test_sockets_are_passed_by_name(make: Callable[..., Child], directory: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(directory / "door.sock"))
        listener.listen()
        child = make("sockets", door=listener)
        live(child, lambda: child.phase is Phase.READY)
        assert child.status == f"door {directory / 'door.sock'}"


def test_children_end_with_a_killed_parent(directory: Path) -> None:
    config = directory / "brain.toml"
    config.write_text('schema = 1\n[vehicle]\nid = "bus-1"\n[uplink]\nenabled = false\n')
    command = [sys.executable, "-m", "agent.cli.main", "up", "--config", str(config)]
    up = subprocess.Popen([*command, "--run-dir", str(directory)])
    shown = directory / "up.json"
    deadline = time.monotonic() + 20
    pid = None
    while pid is None and time.monotonic() < deadline:
        if shown.exists() and json.loads(shown.read_text())["run"]["state"] == "ready":
            pid = json.loads(shown.read_text())["run"]["pid"]
    assert pid is not None
    descriptor = os.pidfd_open(pid)
    up.kill()
    up.wait()
    import select

    readable, _, _ = select.select([descriptor], [], [], 10)
    os.close(descriptor)
    assert readable, "the coordinator outlived brain up"


HANGUP = """
import fcntl, os, sys, termios
os.setsid()
if sys.argv[1] == "terminal":
    fcntl.ioctl(os.open(sys.argv[2], os.O_RDWR), termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "agent.cli.main", "up", *sys.argv[3:]])
"""


def ready(directory: Path, up: subprocess.Popen[bytes]) -> None:
    shown = directory / "up.json"
    deadline = time.monotonic() + 30
    while not (shown.exists() and json.loads(shown.read_text())["run"]["state"] == "ready"):
        assert time.monotonic() < deadline and up.poll() is None


@pytest.mark.parametrize("started_in", ["terminal", "service"])
def test_a_hang_up_is_a_reload_unless_the_terminal_is_gone(
    directory: Path, started_in: str
) -> None:
    config = directory / "brain.toml"
    config.write_text('[vehicle]\nid = "bus-1"\n[uplink]\nenabled = false\n')
    master, slave = os.openpty()
    log = directory / "log"
    argv = [sys.executable, "-c", HANGUP, started_in, os.ttyname(slave)]
    argv += ["--config", str(config), "--run-dir", str(directory)]
    with log.open("wb") as out:
        up = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    os.close(slave)
    try:
        ready(directory, up)
        for times in (1, 2):
            up.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 20
            while log.read_text().count("configuration read again") < times:
                assert time.monotonic() < deadline and up.poll() is None, log.read_text()
        os.close(master)
        if started_in == "service":
            # Nothing to it: it has no terminal that could go.
            up.send_signal(signal.SIGHUP)
            while log.read_text().count("configuration read again") < 3:
                assert time.monotonic() < deadline and up.poll() is None, log.read_text()
            up.terminate()
        assert up.wait(20) == 0, log.read_text()
    finally:
        up.kill()
        up.wait()


def test_a_child_that_is_told_to_stop_is_gone_in_time_and_stays_away(
    make: Callable[..., Child],
) -> None:
    child = make("good")
    live(child, lambda: child.phase is Phase.READY)
    assert child.pid is not None
    child.terminate()
    os.kill(child.pid, signal.SIGSTOP)
    live(child, lambda: child.pid is None)
    assert child.phase is Phase.STOPPED and child.restarts == 0


def test_a_reload_starts_a_refused_child_again(make: Callable[..., Child]) -> None:
    child = make("config")
    live(child, lambda: child.phase is Phase.REFUSED)
    child._argv[-1] = "good"
    child.reload()
    live(child, lambda: child.phase is Phase.READY)
