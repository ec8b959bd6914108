"""Captures for bug reports: their lines, their stamps, their number, and what goes wrong."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from agent.sdk import Scalar, boottime_ms
from drivers.codecs import candump
from drivers.fms_j1939 import can_raw, recording
from drivers.fms_j1939.frames import Frame
from drivers.fms_j1939.raw_ring import RawRing

SPEED = Frame(0x18FEF117, bytes.fromhex("f3009600c0ff1fff"), True, False)
FRAMES = [
    SPEED,
    Frame(0x123, b"\xab", False, False),
    Frame(0x18EAFF00, b"", True, True),
    Frame(0x18FE6B00, b"AB12345*", True, False),
]


@pytest.fixture
def ring() -> RawRing:
    """Four frames, a second apart, the last one now."""
    ring = RawRing()
    for n, frame in enumerate(FRAMES):
        ring.can_frames([(can_raw.pack(frame), boottime_ms() - 3100 + 1000 * n)])
    return ring


def test_a_dump_reads_as_it_was(ring: RawRing, tmp_path: Path) -> None:
    before = time.time()
    result = recording.dump(ring, tmp_path / "captures", "can0", {})
    path = Path(str(result["path"]))
    assert path.parent == tmp_path / "captures"
    logged = list(candump.read(path))
    assert [(one.can_id, one.payload, one.extended, one.remote) for one in logged] == FRAMES
    assert {one.interface for one in logged} == {"can0"}
    assert logged[-1].t == pytest.approx(before, abs=0.5)
    gaps = [b.t - a.t for a, b in pairwise(logged)]
    assert gaps == pytest.approx([1.0] * 3, abs=0.05)
    assert result["lines"] == 4
    assert result["bytes"] == path.stat().st_size
    assert result["seconds"] == pytest.approx(3.0, abs=0.05)
    assert path.read_text().splitlines()[2].endswith(" can0 18EAFF00#R")


def test_only_so_many_seconds(ring: RawRing, tmp_path: Path) -> None:
    assert recording.dump(ring, tmp_path, "can0", {"seconds": 2})["lines"] == 2


def test_nothing_that_comes_after_it_began(ring: RawRing, tmp_path: Path) -> None:
    ring.can_frames([(can_raw.pack(SPEED), boottime_ms() + 30_000)])
    assert recording.dump(ring, tmp_path, "can0", {"seconds": 2})["lines"] == 2


def test_masked_where_asked_for(ring: RawRing, tmp_path: Path) -> None:
    for mask, want in ((False, b"AB12345*"), (True, b"XXXXXXX*")):
        result = recording.dump(ring, tmp_path, "can0", {"mask": mask})
        assert list(candump.read(Path(str(result["path"]))))[-1].payload == want


def test_nothing_heard(tmp_path: Path) -> None:
    result = recording.dump(RawRing(), tmp_path, "can0", {})
    assert (result["lines"], result["bytes"], result["seconds"]) == (0, 0, 0.0)
    assert Path(str(result["path"])).read_bytes() == b""


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"seconds": 0}, "seconds: 0 is not one of 1 to 60"),
        ({"seconds": 61}, "1 to 60"),
        ({"seconds": True}, "seconds: True"),
        ({"seconds": 1.5}, "seconds: 1.5"),
        ({"seconds": "9"}, "seconds: '9'"),
        ({"mask": 1}, "mask: 1 is neither"),
        ({"second": 5}, "'second' is no argument"),
    ],
)
def test_bad_arguments(args: dict[str, Scalar], why: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=why):
        recording.dump(RawRing(), tmp_path, "can0", args)
    assert list(tmp_path.iterdir()) == []


def test_a_recording_has_what_came_while_it_ran(tmp_path: Path) -> None:
    ring, stopped = RawRing(), threading.Event()
    ring.can_frames([(can_raw.pack(FRAMES[1]), boottime_ms() - 500)])
    results = []
    recorder = threading.Thread(
        target=lambda: results.append(
            recording.record(ring, tmp_path, "can0", {"seconds": 1}, stopped)
        )
    )
    began = time.monotonic()
    recorder.start()
    pause = threading.Event()
    said = 0
    while recorder.is_alive() and time.monotonic() - began < 5:
        ring.can_frames([(can_raw.pack(SPEED), boottime_ms())])
        said += 1
        pause.wait(0.01)
    recorder.join(5)
    assert 0.9 < time.monotonic() - began < 2
    logged = list(candump.read(Path(str(results[0]["path"]))))
    assert {one.can_id for one in logged} == {SPEED.can_id}
    assert said - 15 <= len(logged) <= said


def test_a_recording_ends_with_the_driver(tmp_path: Path) -> None:
    stopped = threading.Event()
    stopped.set()
    began = time.monotonic()
    result = recording.record(RawRing(), tmp_path, "can0", {"seconds": 3600}, stopped)
    assert time.monotonic() - began < 1
    assert result["lines"] == 0


def test_five_files_are_kept_and_the_oldest_go(ring: RawRing, tmp_path: Path) -> None:
    other = tmp_path / "mine.txt"
    other.write_text("stays")
    paths = [Path(str(recording.dump(ring, tmp_path, "can0", {})["path"])) for _ in range(8)]
    assert len(set(paths)) == 8
    assert [path.exists() for path in paths] == [False] * 3 + [True] * 5
    assert other.exists()


def test_size_is_bounded(ring: RawRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = int(str(recording.dump(ring, tmp_path, "can0", {})["bytes"]))
    monkeypatch.setattr(recording, "MAX_BYTES", 2 * one + 10)
    for _ in range(3):
        recording.dump(ring, tmp_path, "can0", {})
    assert len(list(tmp_path.iterdir())) == 2
    for n in range(20):
        ring.can_frames([(can_raw.pack(SPEED), boottime_ms() + n - 20)])
    result = recording.dump(ring, tmp_path, "can0", {})
    assert 0 < int(str(result["bytes"])) <= 2 * one + 10
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * one + 10


def test_a_disk_that_is_full_leaves_nothing_behind(
    ring: RawRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recording.Capture, "_line", full)
    with pytest.raises(OSError, match="No space left"):
        recording.dump(ring, tmp_path, "can0", {})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(ring: RawRing, tmp_path: Path) -> None:
    (tmp_path / "captures").write_text("a file")
    with pytest.raises(OSError, match="captures"):
        recording.dump(ring, tmp_path / "captures", "can0", {})
