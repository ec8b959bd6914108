"""`brain decode TYPE FILE`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .conftest import BRAIN, Brain


@pytest.fixture
def capture(tmp_path: Path, plugins: Path) -> Path:
    path = tmp_path / "capture.log"
    path.write_text("Vehicle.Speed\nVehicle.IsMoving\n")
    return path


def test_json_is_one_object_a_line(process: Brain, capture: Path) -> None:
    done = process("decode", "probe", capture, "--json")
    assert (done.code, done.err) == (0, "")
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {
            "t": 1635188455.25,
            "signal": "Vehicle.Speed",
            "value": 0.30000000000000004,
            "state": None,
        },
        {
            "t": 1635188456.25,
            "signal": "Vehicle.IsMoving",
            "value": 0.30000000000000004,
            "state": None,
        },
    ]


def test_text_is_in_columns(brain: Brain, capture: Path) -> None:
    assert brain("decode", "probe", capture).out.splitlines() == [
        "t              signal         value  state",
        "1635188455.25  Vehicle.Speed  0.3",
        "1635188456.25  Vehicle.IsMoving  0.3",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["probe", "no.log"], "no.log: No such file or directory"),
        (["probe", "."], "Is a directory"),
        (["prob", "x"], 'unknown driver type "prob", did you mean "probe"?'),
        (["broken", "x"], "no_such_module"),
        (["probe"], "Missing argument 'FILE'"),
    ],
)
def test_an_error_is_one_line(brain: Brain, capture: Path, arguments: list[str], says: str) -> None:
    done = brain("decode", *arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert done.err.count("\n") == 1


def test_a_corrupt_capture_shows_what_was_read_and_names_the_line(
    brain: Brain, capture: Path
) -> None:
    capture.write_text("Vehicle.Speed\nbad\n")
    done = brain("decode", "probe", capture, "--json")
    assert done.code == 2
    assert done.out.count("\n") == 1
    assert done.err == f"{capture}: line 2: bad\n"


def test_a_closed_pipe_is_quiet(capture: Path) -> None:
    capture.write_text("Vehicle.Speed\n" * 50_000)
    command = [BRAIN, "decode", "probe", str(capture), "--json"]
    decode = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert decode.stdout is not None and decode.stderr is not None
    decode.stdout.readline()
    decode.stdout.close()
    assert decode.stderr.read() == b""
    assert decode.wait(20) == 141
    decode.stderr.close()
