"""Configurations that are cut, huge, foreign or the same again; secrets that must stay secret."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.config import leaves, load, read
from agent.config_last import FILE
from simulator.processes import ask, brain
from tests.faults.world import World

REFUSED = "configuration not taken"
LAST_USED = "the last one that ran is used"
CANARY = "canary-7f3a91c2e5"


def rss_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def reload(world: World, what: str) -> None:
    """SIGHUP, and wait until that was dealt with."""
    mark = world.mark()
    world.kill(signal.SIGHUP)
    words = ("configuration read again", REFUSED)
    world.until(lambda: any(word in world.log(mark) for word in words), f"an answer to {what}")


@pytest.mark.fault("I5", "a configuration that is cut at each byte: refused, or read as it is")
def test_cut_at_every_byte(world: World) -> None:
    """Each is refused with a line of text, or says nothing but what the whole one says.

    What is cut within its last value may say another one: `port = 1` is no less TOML.
    """
    text = world.config.read_bytes()
    whole = dict(leaves(read(world.config).values))
    refused = 0
    for end in range(len(text)):
        world.config.write_bytes(text[:end])
        loaded = load(world.config)
        assert (loaded.config is None) == bool(loaded.problems), end
        refused += loaded.config is None
        assert all(str(world.config) in problem.file for problem in loaded.problems), end
        said = list(leaves(loaded.tree.values))
        wrong = [path for path, value in said if value and whole.get(path) != value]
        assert wrong in ([], [said[-1][0]] if said else []), (end, wrong)
    assert len(text) // 4 < refused < len(text)
    world.config.write_bytes(text)
    world.figures["runs"] = len(text)
    world.dial()
    world.start()
    world.feed()
    world.accepts(20)
    assert world.settle().dropped == 0


def unreadable(path: Path, _text: bytes) -> None:
    path.unlink()
    path.mkdir()


BAD: dict[str, Callable[[Path, bytes], object]] = {
    "empty": lambda path, text: path.write_bytes(b""),
    "cut": lambda path, text: path.write_bytes(text[: len(text) // 2]),
    "not UTF-8": lambda path, text: path.write_bytes(text + b"\xff\xfe = 1\n"),
    "NUL": lambda path, text: path.write_bytes(text + b"\0"),
    "unknown key": lambda path, text: path.write_bytes(text + b"[uplink2]\nx = 1\n"),
    "old schema": lambda path, text: path.write_bytes(b"schema = 0\n" + text),
    "newer schema": lambda path, text: path.write_bytes(b"schema = 99\n" + text),
    "deep": lambda path, text: path.write_bytes(text + b"x = " + b"[" * 50_000 + b"\n"),
    "100 MB": lambda path, text: path.write_bytes(text + b"#" * (100 << 20)),
    "a directory": unreadable,
    "gone": lambda path, text: path.unlink(),
}


@pytest.mark.fault("I5", "a configuration that is cut, empty, huge or foreign: the last good stays")
@pytest.mark.timeout(300)
def test_the_last_good_one_stays(world: World) -> None:
    world.dial()
    world.start()
    world.feed()
    world.accepts(30)
    good, pid, before_kb = world.config.read_bytes(), world.pid, rss_kb(world.pid)
    for what, spoil in BAD.items():
        world.config.write_bytes(good)
        spoil(world.config, good)
        mark = world.mark()
        reload(world, what)
        assert REFUSED in world.log(mark), what
        assert "Traceback" not in world.log(mark), what
        assert world.pid == pid and world.agent is not None and world.agent.poll() is None
        world.accepts(5)
        if world.config.is_dir():
            world.config.rmdir()
    assert rss_kb(world.pid) - before_kb < 40_000, "what is refused must not be kept"
    world.figures["runs"] = len(BAD)
    world.config.write_bytes(good)
    mark = world.mark()
    reload(world, "the good one")
    assert REFUSED not in world.log(mark)
    assert world.settle(healed_at=time.monotonic(), again=True).dropped == 0


@pytest.mark.fault("I5", "a start with a configuration that is no good: the last one that ran")
@pytest.mark.timeout(400)
def test_a_start_with_a_bad_one_uses_the_last_that_ran(world: World) -> None:
    """Flash spoils the file between two drives: the vehicle records, and calls."""
    world.dial()
    world.start()
    world.feed()
    world.accepts(30)
    good, kept = world.config.read_bytes(), world.state_dir / FILE
    world.until(kept.exists, "the configuration is kept")
    assert kept.stat().st_mode & 0o777 == 0o600
    for what, spoil in BAD.items():
        world.stop()
        spoil(world.config, good)
        mark = world.mark()
        world.start()
        assert len(world.alarms(LAST_USED, mark)) == 1, what
        assert "Traceback" not in world.log(mark), what
        world.accepts(5)
        status = ask(world.run_dir, "status")
        assert status and any("configuration not taken" in p for p in status["problems"]), what
        check = subprocess.run(
            brain("check", "--config", str(world.config)), capture_output=True, check=False
        )
        assert check.returncode == 2, what
        if world.config.is_dir():
            world.config.rmdir()
        world.config.write_bytes(good)
        reload(world, what)
        world.until(world.healthy, f"all is well after {what}")
    world.figures["runs"] = len(BAD)
    world.settle(healed_at=time.monotonic())
    assert "config_refused" in world.told()


SAME = "the same configuration again: nothing restarts"
WHAT_RESTARTS = ("uplink up:", "count: counting 1 connected, pid", "uplink down:", "count: left:")
"""What the log says of a line or a driver that comes and goes."""


@pytest.mark.fault("I7", SAME, slice=True)
def test_the_same_again(world: World) -> None:
    world.dial()
    world.start()
    world.feed()
    world.accepts(20)
    pid, feeder = world.pid, world.feeders["count"].process.pid
    text, mark = world.config.read_text(), world.mark()
    for word in WHAT_RESTARTS[:2]:
        assert world.log().count(word) == 1, "these are the words"
    for again in (text, text, f"# pushed again\n\n{text}"):
        world.config.write_text(again)
        reload(world, "the same")
        world.accepts(10)
    assert world.pid == pid and world.feeders["count"].process.pid == feeder
    assert [word for word in WHAT_RESTARTS if word in world.log(mark)] == []
    assert world.settle().dropped == 0


def everything(world: World) -> dict[str, bytes]:
    """All that leaves the process or is shown to anybody."""
    found = {}
    for argv in (["status"], ["audit"], ["check"], ["doctor"], ["outbox", "verify"], ["bundle"]):
        where = ["--run-dir", str(world.run_dir), "--config", str(world.config)]
        done = subprocess.run(
            brain(*argv, *where), capture_output=True, timeout=60, check=False, env=secret_env()
        )
        found["brain " + " ".join(argv)] = done.stdout + done.stderr
    for path in world.directory.rglob("*"):
        if path.is_file() and path.name not in ("password", "bad-password"):
            found[str(path)] = path.read_bytes()
    return found


def secret_env() -> dict[str, str]:
    return {**os.environ, "BRAIN_TEST_SECRET": CANARY}


@pytest.mark.fault("I12", "planted secrets are in no log, answer, file or message", slice=True)
@pytest.mark.parametrize("how", ["file", "env"])
def test_secrets_stay_secret(how: str, world: World) -> None:
    password = world.directory / "password"
    password.write_text(CANARY + "\n")
    reference = f"file:{password}" if how == "file" else "env:BRAIN_TEST_SECRET"
    world.env = {"BRAIN_TEST_SECRET": CANARY}
    world.configure(
        uplink=world.sections["uplink"] + f'username = "bus"\npassword = "{reference}"\n'
    )
    world.dial()
    world.start()
    world.feed()
    world.accepts(30)
    world.offline()
    world.until(lambda: "uplink down" in world.log(), "the line is down")
    world.dial()
    assert world.settle(healed_at=time.monotonic()).dropped == 0
    world.kill(signal.SIGABRT)  # a crash dump shows stacks
    world.ends()
    for where, content in everything(world).items():
        assert CANARY.encode() not in content, where


@pytest.mark.fault("I12", "planted secrets are in no log, answer, file or message")
@pytest.mark.parametrize("line", ['password = "{}\n', "password = {}\n", 'password "{}"\n'])
def test_a_secret_in_a_line_that_is_no_toml(line: str, world: World) -> None:
    good = dict(world.sections)
    world.configure(uplink=world.sections["uplink"] + line.format(CANARY))
    done = subprocess.run(
        brain("check", "--config", str(world.config)), capture_output=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert CANARY.encode() not in done.stdout + done.stderr
    world.configure(**good)
    world.dial()
    world.start()
    world.feed()
    world.accepts(20)
    assert world.settle().dropped == 0


@pytest.mark.fault("I12", "planted secrets are in no log, answer, file or message")
def test_a_secret_in_the_wrong_place_is_not_repeated(world: World) -> None:
    """Written as it is instead of by reference: refused, and the refusal does not say it."""
    world.configure(uplink=world.sections["uplink"] + f'password = "{CANARY}"\n')
    world.spawn()
    assert world.ends() != 0
    done = subprocess.run(
        brain("check", "--config", str(world.config)), capture_output=True, timeout=60, check=False
    )
    assert CANARY not in world.log()
    assert CANARY.encode() not in done.stdout + done.stderr
    assert b"uplink.password" in done.stdout + done.stderr
    world.configure(uplink=world.sections["uplink"].replace(f'password = "{CANARY}"\n', ""))
    world.dial()
    world.start()
    world.feed()
    world.accepts(20)
    assert world.settle().dropped == 0
