"""What a person meets: Ctrl-C, a taken port, status in each condition, captures on the wires."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.hil.conftest import ROOT, Simulate, processes_of

CAPTURES = ROOT.parent / "shared" / "data"


def brain(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent.cli.main", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )


def status(run_dir: Path) -> tuple[int, dict[str, object]]:
    done = brain("status", "--json", "--run-dir", str(run_dir))
    return done.returncode, json.loads(done.stdout) if done.stdout else {}


def test_ctrl_c_shows_the_books_and_leaves_no_process(run_dir: Path) -> None:
    command = [sys.executable, "-m", "agent.cli.main", "simulate", "--run-dir", str(run_dir)]
    run = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    assert run.stdout is not None
    lines = []
    for line in run.stdout:
        lines.append(line)
        if "0:03" in line:
            # As a terminal does it: to the whole group.
            os.killpg(run.pid, signal.SIGINT)
            break
    lines += run.stdout.readlines()
    assert run.wait(60) == 0, "".join(lines)
    assert "The books balance." in lines[-1]
    assert processes_of(run_dir) == []


def test_a_taken_port_is_one_line(run_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = brain("simulate", "--run-dir", str(run_dir), "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}: port is taken" in done.stderr


def test_status_while_all_runs_while_the_link_is_down_and_when_nothing_runs(
    run_dir: Path, simulate: Simulate
) -> None:
    seen: dict[str, tuple[int, dict[str, object]]] = {}
    finished = threading.Event()

    def look() -> None:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline and not finished.is_set():
            code, shown = status(run_dir)
            uplink = shown.get("uplink")
            if isinstance(uplink, dict):
                seen[str(uplink["state"])] = (code, shown)

    watcher = threading.Thread(target=look)
    watcher.start()
    outcome = simulate("--duration", "14", "--fault", "broker_kill@5+6")
    finished.set()
    watcher.join()
    outcome.assert_books()
    assert seen["up"][1]["drivers"].keys() == {"gnss", "fms"}  # type: ignore[attr-defined]
    assert seen["down"][0] == 1
    assert seen["down"][1]["health"] == "degraded"
    done = brain("status", "--run-dir", str(run_dir))
    assert done.returncode == 3
    assert "not running" in done.stderr and done.stderr.count("\n") == 1
    assert "brain up" in done.stderr


def candump(path: Path, seconds: int) -> int:
    """A capture of our own making: engine speed and road speed, 60 frames a second."""
    lines = []
    for i in range(seconds * 50):
        at_s = 1_700_000_000 + i / 50
        lines.append(f"({at_s:.6f}) can0 0CF00400#F07D84{4000 + i % 500:04X}00F084")
        if i % 5 == 0:
            lines.append(f"({at_s:.6f}) can0 18FEF100#FF00{i % 100:02X}FFFFFFFFFF")
    path.write_text("\n".join(lines) + "\n")
    return len(lines)


def test_a_capture_goes_through_the_same_wire(run_dir: Path, simulate: Simulate) -> None:
    capture = run_dir / "own.log"
    frames = candump(capture, 10)
    outcome = simulate("--duration", "12", "--replay", f"can={capture}")
    replayed = outcome.report["replayed"]["can"]
    assert replayed == {"written": frames, "emitted": frames, "read": frames, "rejected": 0}
    assert outcome.report["signals"]["Vehicle.Speed"]["count"] > 5
    assert outcome.code == 0, outcome.output


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="no folder ../shared/data with real captures")
def test_real_captures_go_through_the_same_wires(simulate: Simulate) -> None:
    outcome = simulate(
        *("--duration", "30", "--replay", f"can={CAPTURES}/can/css-truck-2021.log.gz"),
        *("--replay", f"nmea={CAPTURES}/gnss/quectel-eg25-g.log"),
    )
    for kind in ("can", "nmea"):
        replayed = outcome.report["replayed"][kind]
        assert replayed["written"] == replayed["read"] > 100, outcome.report["replayed"]
    assert outcome.code == 0, outcome.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not a frame\n", "line 1"),
        ("(1.0) can0 18FEF100#FF\n(2.0) can0 XYZ#\n", "line 2"),
    ],
)
def test_a_corrupt_capture_is_one_line(run_dir: Path, content: str, said: str) -> None:
    capture = run_dir / "bad.log"
    capture.write_text(content)
    done = brain("simulate", "--run-dir", str(run_dir), "--replay", f"can={capture}")
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert str(capture) in done.stderr and said in done.stderr
