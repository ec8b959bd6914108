"""The contract of the control door's commands: each is answered once, soon, and holds up nobody.

A real coordinator, real drivers' processes, real sockets; the client is this test.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
DEADLINE_S = 20.0
CONFIG = 'schema = 1\n[vehicle]\nid = "bus-1"\n[uplink]\nenabled = false\n'


class House:
    """A coordinator, its drivers, and questions to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "brain.toml").write_text(CONFIG)
        where = ["--config", str(directory / "brain.toml"), "--run-dir", str(directory)]
        where += ["--state-dir", str(directory / "state")]
        self.coordinator = self._start("-m", "agent.cli.main", "run", *where)
        self.until(lambda: (directory / "control.sock").exists())

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, *arguments], stderr=subprocess.DEVNULL)

    def driver(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        script = str(HERE / "command_driver.py")
        process = self._start(script, str(self.directory), name, *options)
        self.until(lambda: self.connected(name))
        return process

    def connected(self, name: str) -> bool:
        return bool(self.ask("status")["result"]["drivers"].get(name, {}).get("connected"))

    def until(self, fact: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        pause = threading.Event()
        while not fact():
            assert time.monotonic() < deadline
            pause.wait(0.02)

    def ask(self, verb: str, **arguments: object) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE_S)
            sock.connect(str(self.directory / "control.sock"))
            sock.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            return dict(json.loads(sock.makefile().readline()))

    def command(self, source: str, command: str, **more: object) -> dict[str, Any]:
        return self.ask("command", source=source, command=command, **more)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        house = House(Path(name))
        processes = [house.coordinator]
        try:
            processes += [house.driver("good"), house.driver("deaf", "--deaf")]
            yield house
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(10)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def error(answer: dict[str, Any]) -> str:
    assert answer["ok"] is False, answer
    assert answer.keys() == {"ok", "error"}
    text = str(answer["error"])
    assert "\n" not in text and "Traceback" not in text
    return text


def test_a_result_need_not_be_signals_and_comes_as_it_was(house: House) -> None:
    args = {"n": 1, "x": 0.5, "mask": True, "path": "/tmp/ä"}
    answer = house.command("good", "echo", args=args, timeout_s=5)
    assert answer == {"ok": True, "result": {"said": "echo", **args}}
    accepted = house.ask("status")["result"]["outbox"]["alarm"]["accepted"]
    assert accepted == 0, "it is no record"


@pytest.mark.parametrize(
    ("source", "command", "args", "said"),
    [
        ("goood", "echo", {}, 'no driver "goood" is connected, did you mean "good"?'),
        ("can9", "echo", {}, 'no driver "can9" is connected, connected: deaf, good'),
        ("good", "ecko", {}, "no verb 'ecko', it has: break, echo, huge, leave"),
        ("deaf", "echo", {}, "deaf: echo: Deaf takes no commands"),
        ("good", "refuse", {}, "good: refuse: seconds: expected 1..60, got 99"),
        ("good", "break", {}, "good: break: KeyError: 'port'"),
        ("good", "break", {"port": 1}, "good: break: /dev/x: gone"),
        ("good", "nonsense", {"nan": True}, "result 'odd': expected a finite number, got nan"),
        ("good", "nonsense", {}, "result 'odd': a list is no text or number"),
        ("good", "huge", {}, "a result of 70"),
    ],
)
def test_what_goes_wrong_is_told(
    house: House, source: str, command: str, args: dict[str, object], said: str
) -> None:
    assert said in error(house.command(source, command, args=args, timeout_s=5))


def test_a_verb_that_takes_too_long_is_given_up(house: House) -> None:
    slow = house.driver("slow")
    try:
        answer = house.command("slow", "wait", args={"seconds": 30}, timeout_s=0.3)
        assert error(answer) == "slow did not answer wait within 0.3 s; it may still be done"
    finally:
        slow.kill()
        slow.wait(10)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({}, "source: expected a text of 1 to 64 characters"),
        ({"source": 3, "command": "echo"}, "source: expected a text"),
        ({"source": "good"}, "command: expected a text"),
        ({"source": "good", "command": "x" * 65}, "command: expected a text"),
        ({"source": "good", "command": "echo", "args": []}, "args: expected an object"),
        ({"source": "good", "command": "echo", "args": {"a": [1]}}, "args: 'a': expected a text"),
        ({"source": "good", "command": "echo", "args": {"a": None}}, "args: 'a': expected"),
        ({"source": "good", "command": "echo", "args": {"a": 1 << 64}}, "args: 'a': expected"),
        ({"source": "good", "command": "echo", "args": {"a": float("nan")}}, "args: 'a'"),
        ({"source": "good", "command": "echo", "timeout_s": 0}, "timeout_s: expected a number"),
        ({"source": "good", "command": "echo", "timeout_s": "5"}, "timeout_s: expected a number"),
        ({"source": "good", "command": "echo", "timeout_s": True}, "timeout_s: expected a number"),
        ({"source": "good", "command": "echo", "timeout_s": 1e9}, "timeout_s: expected a number"),
    ],
)
def test_a_malformed_request_is_refused(
    house: House, request_: dict[str, object], said: str
) -> None:
    assert said in error(house.ask("command", **request_))


def test_a_slow_driver_holds_up_nobody_and_two_commands_are_done_in_turn(
    house: House, pool: ThreadPoolExecutor
) -> None:
    first = pool.submit(house.command, "good", "wait", args={"seconds": 2}, timeout_s=10)
    second = pool.submit(house.command, "good", "echo", args={"n": 2}, timeout_s=10)
    asked = 0
    while not first.done():
        began = time.monotonic()
        assert house.ask("status")["ok"]
        assert time.monotonic() - began < 1.0
        asked += 1
    assert asked >= 5
    assert first.result()["ok"] and second.result()["result"]["n"] == 2


def test_who_waits_behind_another_command_is_told_so(
    house: House, pool: ThreadPoolExecutor
) -> None:
    first = pool.submit(house.command, "good", "wait", args={"seconds": 3}, timeout_s=10)
    text = ""
    while not first.done() and "comes first" not in text:
        # It may still come before the first one.
        answer = house.command("good", "wait", args={"seconds": 0}, timeout_s=0.5)
        text = "" if answer["ok"] else error(answer)
    assert "good did not answer wait within 0.5 s; wait, asked" in text
    assert first.result()["ok"]
    # what was given up is not done late: its deadline has passed in the driver, too
    assert house.command("good", "echo", timeout_s=5)["ok"]


def test_pending_commands_are_bounded(house: House, pool: ThreadPoolExecutor) -> None:
    asked: list[Future[dict[str, Any]]] = [
        pool.submit(house.command, "good", "wait", args={"seconds": 0.2}, timeout_s=10)
        for _ in range(20)
    ]
    answers = [one.result() for one in asked]
    refused = [error(answer) for answer in answers if not answer["ok"]]
    assert len(answers) - len(refused) >= 8
    assert refused and all("commands wait for good already" in text for text in refused)


def test_a_driver_that_leaves_fails_what_it_was_asked(
    house: House, pool: ThreadPoolExecutor
) -> None:
    fragile = house.driver("fragile")
    waits = pool.submit(house.command, "fragile", "wait", args={"seconds": 30}, timeout_s=60)
    pause = threading.Event()
    pause.wait(0.3)
    began = time.monotonic()
    fragile.kill()
    assert error(waits.result()) == "fragile left before it answered wait; brain status says why"
    assert time.monotonic() - began < 5
    fragile.wait(10)
    house.until(lambda: not house.connected("fragile"))
    again = house.driver("fragile")
    assert "fragile left before it answered leave" in error(
        house.command("fragile", "leave", timeout_s=20)
    )
    again.wait(10)


def test_a_client_that_hangs_up_or_asks_ahead_costs_nobody_anything(house: House) -> None:
    path = str(house.directory / "control.sock")
    request = {"verb": "command", "source": "good", "command": "wait", "args": {"seconds": 0.5}}
    with socket.socket(socket.AF_UNIX) as rude:
        rude.connect(path)
        rude.sendall(json.dumps(request).encode() + b"\n")
    with socket.socket(socket.AF_UNIX) as ahead:
        ahead.settimeout(DEADLINE_S)
        ahead.connect(path)
        lines = [request, {"verb": "status"}, {**request, "args": {"seconds": 0}}]
        ahead.sendall("".join(json.dumps(line) + "\n" for line in lines).encode())
        stream = ahead.makefile()
        answers = [json.loads(stream.readline())["result"] for _ in lines]
    # In order, although the second could have been answered at once.
    assert [("said" in answer, "health" in answer) for answer in answers] == [
        (True, False),
        (False, True),
        (True, False),
    ]
