"""`brain record` with somebody else's driver: through a running agent, and without one."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hil.conftest import ROOT, processes_of

PACKAGE = ROOT / "tests" / "thirdparty" / "recorder"
DEADLINE_S = 30.0


class Place:
    """A configuration with that driver, where `brain` runs with the package installed."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        site = run_dir / "site"
        site.mkdir()
        shutil.copy(PACKAGE / "brain_recorder.py", site)
        info = site / "brain_recorder-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: brain-recorder\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(
            "[brain.drivers]\nrecorder = brain_recorder:Recorder\n"
        )
        self.environ = {**os.environ, "PYTHONPATH": str(site)}
        self.device = run_dir / "device"
        self.device.write_text("secret 51.5\n")
        self.here = run_dir / "here"
        self.here.mkdir()
        (run_dir / "brain.toml").write_text(
            'schema = 1\n[vehicle]\nid = "bus-1"\n[uplink]\nenabled = false\n'
            f'[drivers.dev]\ntype = "recorder"\npath = {json.dumps(str(self.device))}\n'
        )

    def command(self, *arguments: str) -> list[str]:
        where = ["--config", str(self.run_dir / "brain.toml"), "--run-dir", str(self.run_dir)]
        return [sys.executable, "-m", "agent.cli.main", *arguments, *where]

    def brain(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.here,
            env=self.environ,
        )

    def start(self, *arguments: str, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=self.here,
            env=self.environ,
        )


def until(fact: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not fact():
        assert time.monotonic() < deadline
        pause.wait(0.05)


@pytest.fixture
def place(run_dir: Path) -> Place:
    return Place(run_dir)


@pytest.fixture
def running(place: Place) -> Iterator[Place]:
    """The same, with `brain up`."""
    up = place.start("up")

    def connected() -> bool:
        done = place.brain("status", "--json")
        status = json.loads(done.stdout or "{}") if done.returncode in (0, 1) else {}
        return bool(status.get("drivers", {}).get("dev", {}).get("records"))

    try:
        until(connected)
        yield place
    finally:
        up.terminate()
        up.communicate(timeout=15)
    assert processes_of(place.run_dir) == []


def test_through_the_agent(running: Place) -> None:
    done = running.brain("record", "dev", "--seconds", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("dev-recorder-record.log  ")
    assert done.stdout.endswith(" 1 s, NOT masked: it may hold positions and names\n")
    lines = (running.here / "dev-recorder-record.log").read_text().splitlines()
    assert lines[0] == "# recorder" and set(lines[1:]) == {"secret 51.5"}
    assert 5 <= len(lines) <= 25

    again = running.brain("record", "dev", "--seconds", "1")
    assert again.returncode == 1
    assert again.stderr.startswith("dev-recorder-record.log: File exists; it lies in ")

    out = running.here / "masked.log"
    done = running.brain("record", "dev", "--past", "60", "--mask", "--out", str(out), "--json")
    result = json.loads(done.stdout)
    lines = out.read_text().splitlines()
    assert set(lines[1:]) == {"x" * 11}
    assert result == {
        "source": "dev",
        "masked": True,
        "path": str(out),
        "lines": len(lines),
        "bytes": out.stat().st_size,
        "seconds": 60.0,
        "copied": True,
    }
    # nothing of it went into the outbox
    audit = json.loads(running.brain("audit", "--json").stdout)
    assert audit["by_class"]["alarm"]["accepted"] == 0

    done = running.brain("record", "dve")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'no driver "dve" is connected, did you mean "dev"?' in done.stderr
    assert done.stderr.count("\n") == 1


def test_ctrl_c_leaves_a_running_driver_to_finish(running: Place) -> None:
    terminal, behind = pty.openpty()
    run = running.start("record", "dev", "-s", "20", stderr=behind)
    os.close(behind)
    said = b""
    while b"recording 1 of 20 s" not in said:
        said += os.read(terminal, 1000)
    run.send_signal(signal.SIGINT)
    assert run.wait(20) == 130
    while b"--past 60" not in said:
        said += os.read(terminal, 1000)
    os.close(terminal)
    assert run.communicate()[0] == ""
    assert b"dev goes on recording for 1" in said
    assert list(running.here.iterdir()) == []


def test_without_an_agent_the_driver_runs_here(place: Place) -> None:
    out = place.here / "own.log"
    done = place.brain("record", "dev", "-s", "1", "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert set(out.read_text().splitlines()[1:]) == {"secret 51.5"}
    assert sorted(path.name for path in place.here.iterdir()) == ["own.log"]


def test_ctrl_c_keeps_what_came(place: Place) -> None:
    out = place.here / "own.log"
    terminal, behind = pty.openpty()
    run = place.start("record", "dev", "-s", "600", "-o", str(out), stderr=behind)
    os.close(behind)
    said = b""
    # A driver takes a second or two to open its device, on a busy machine more.
    while b"recording 8 of 600 s" not in said:
        said += os.read(terminal, 1000)
    run.send_signal(signal.SIGINT)
    shown, _ = run.communicate(timeout=20)
    os.close(terminal)
    assert run.returncode == 0
    assert shown.startswith(f"{out}  ")
    lines = out.read_text().splitlines()
    assert lines[0] == "# recorder" and len(lines) > 20
    assert set(lines[1:]) == {"secret 51.5"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("dve",), 2, 'no section [drivers.dve], did you mean "dev"?'),
        (("dev", "--past", "5"), 2, "brain is not running, so nothing of the past is kept"),
        (("dev", "--past", "5", "--seconds", "5"), 2, "expected one of them"),
        (("dev", "--out", "no/where.log"), 2, "no/where.log: its folder does not exist"),
        (("dev", "--out", "../device"), 2, "../device: exists already"),
        (("dev", "--seconds", "0"), 2, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_is_one_line(
    place: Place, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = place.brain("record", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_absent_device_is_one_line(place: Place) -> None:
    place.device.unlink()
    done = place.brain("record", "dev")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"dev: {place.device}: No such file or directory\n"


def test_a_driver_without_the_verb_cannot_record(place: Place) -> None:
    (place.run_dir / "site" / "brain_recorder.py").write_text(
        (PACKAGE / "brain_recorder.py").read_text().replace('"record": 3600', "")
    )
    done = place.brain("record", "dev")
    assert (done.returncode, done.stderr) == (2, "dev: driver type recorder cannot record\n")


def test_a_file_outside_the_drivers_folder_is_not_copied(running: Place) -> None:
    """A driver could name any file that the user of this command may read, and it may not."""
    foreign = running.run_dir / "foreign.log"
    foreign.write_text("not the driver's\n")
    captures = running.run_dir / "state" / "drivers" / "dev" / "captures"
    captures.mkdir()
    (captures / "recorder-dump.log").symlink_to(foreign)
    done = running.brain("record", "dev", "--past", "1", "--out", "copy.log")
    assert done.returncode == 1
    assert "is not in the folder of dev" in done.stderr
    assert not (running.here / "copy.log").exists()
