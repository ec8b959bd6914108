"""`brain decode fms_j1939` says the same of a capture in every format."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from drivers.codecs import can_log, candump
from drivers.codecs.logged_frame import LoggedFrame
from drivers.fms_j1939.driver import FmsJ1939
from tests.drivers.fms_j1939.recordings import CAPTURES, FOLDER, needs_recordings

from .formats import WRITERS
from .test_can_log import BEGUN, made

BRAIN = Path(sys.executable).with_name("brain")


FRAMES = 15_000
"""Of each capture: asammdf takes a minute to write and read a whole one."""


@functools.cache
def frames(name: str) -> list[LoggedFrame]:
    assert FOLDER is not None
    return list(islice(can_log.read(FOLDER / f"{name}.log.gz"), FRAMES))


@functools.cache
def lines(name: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture.log"
        path.write_bytes(b"".join(map(candump.line, frames(name))))
        return [dict(line) for line in FmsJ1939.decode(path)]


@needs_recordings
@pytest.mark.parametrize("name", CAPTURES)
@pytest.mark.parametrize("kind", WRITERS)
def test_a_real_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str) -> None:
    # Pseudonyms of drivers have a key of the run.
    monkeypatch.setenv("BRAIN_DECODE_DRIVER_ID", "plain")
    path = tmp_path / ("capture.mf4" if kind == "mf4" else "capture")
    WRITERS[kind](path, frames(name))
    got = [dict(line) for line in FmsJ1939.decode(path)]
    assert lines(name)
    if kind == "asc":  # its date has milliseconds: all stamps are early by the same part of one
        early = lines(name)[0]["t"] - got[0]["t"]
        assert 0 <= early < 0.001
        for line, want in zip(got, lines(name), strict=True):
            assert line.pop("t") == pytest.approx(want["t"] - early, abs=2e-6)
        assert got == [{k: v for k, v in line.items() if k != "t"} for line in lines(name)]
    else:
        assert got == lines(name)


CCVS = made([(0x18FEF117, True, False, bytes.fromhex("ff0032ffffffffff"))] * 6)


def decode(path: Path) -> subprocess.CompletedProcess[str]:
    command = [BRAIN, "decode", "fms_j1939", path, "--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("kind", WRITERS)
def test_the_command(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("capture.mf4" if kind == "mf4" else "capture")
    WRITERS[kind](path, CCVS)
    done = decode(path)
    assert (done.returncode, done.stderr) == (0, "")
    speeds = [line for line in map(json.loads, done.stdout.splitlines()) if line["spn"] == 84]
    assert [line["value"] for line in speeds] == [50.0] * 6
    assert [line["t"] for line in speeds] == [BEGUN + n / 4 for n in range(6)]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_log_that_was_cut_off_is_told_and_nothing_whole_is_lost(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / ("capture.mf4" if kind == "mf4" else "capture")
    WRITERS[kind](path, CCVS)
    data = path.read_bytes()
    # ASC ends with a line that is no frame, BLF with a zlib checksum, MF4 with tables.
    path.write_bytes(data[: {"asc": -20, "mf4": -len(data) // 2}.get(kind, -4)])
    done = decode(path)
    # Of a log of lines all other frames are there; of the others nobody knows what is gone.
    assert done.returncode == (2 if kind in ("blf", "mf4") else 0)
    assert done.stderr.startswith(f"{path}:") and done.stderr.count("\n") == 1
    if kind != "mf4":
        assert '"spn":84' in done.stdout
        assert done.stdout.count('"spn":84') >= 5 - (kind == "asc")


def test_a_file_of_no_known_format(tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(200))
    done = decode(path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "no known format" in done.stderr and "candump" in done.stderr


def test_what_j1939_has_no_use_for_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "mixed.log"
    path.write_text(
        "(1.0) can0 18FEF117#FF0032FFFFFFFFFF\n"
        + "(1.0) can0 123#00\n" * 4
        + "(1.0) can0 18FEF117##1AABB\n(1.0) can0 123##1AABB\n"
        + "(1.0) can0 20000004#0000000000000000\n" * 3
        + "(1.0) can0 18FEF117#R8\n"
    )
    done = decode(path)
    assert done.returncode == 0
    assert '"spn":84' in done.stdout
    assert done.stderr == (
        f"{path}: left out, for J1939 has none: 4 11-bit frames, 2 CAN FD frames, "
        "3 error frames, 1 remote request\n"
    )
