"""The ring of the last minute and the files that bug reports get."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.sdk import Scalar, boottime_ms
from drivers.gnss_nmea0183 import recorder as module
from drivers.gnss_nmea0183.recorder import RING_BYTES, Recorder

Nmea = Callable[..., bytes]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "captures", "GNSS, /dev/gnss", json=False)


def content(result: object) -> bytes:
    assert isinstance(result, dict)
    data = Path(result["path"]).read_bytes()
    assert (len(data), data.count(b"\n")) == (result["bytes"], result["lines"])
    return data


def test_a_dump_is_the_last_seconds_as_they_came(recorder: Recorder) -> None:
    now_ms = boottime_ms()
    recorder.heard(b"$long ago\r\n", now_ms - 70_000)
    recorder.heard(b"$a while ago\r\n", now_ms - 30_000)
    recorder.heard(b"$now\r\n\xb5\x62\x00", now_ms)
    whole = recorder.command("dump", {})
    assert content(whole).splitlines() == [
        b"# GNSS, /dev/gnss, dump of 60 s, positions as they are",
        b"$a while ago",
        b"$now",
        b"\xb5\x62\x00",
    ]
    assert 30.0 <= float(whole["seconds"]) < 35.0
    short = recorder.command("dump", {"seconds": 10})
    assert b"a while ago" not in content(short)
    assert whole["path"] != short["path"]


def test_an_empty_ring_gives_an_empty_dump(recorder: Recorder) -> None:
    result = recorder.command("dump", {"seconds": 5})
    assert (result["seconds"], result["lines"]) == (0, 1)


def test_a_recording_is_what_comes(recorder: Recorder) -> None:
    recorder.heard(b"$before\r\n", boottime_ms())
    results: list[object] = []
    thread = threading.Thread(
        target=lambda: results.append(recorder.command("record", {"seconds": 1})), name="verbs"
    )
    thread.start()
    pause = threading.Event()
    while thread.is_alive():
        recorder.heard(b"$now\r\n", boottime_ms())
        pause.wait(0.02)
    (result,) = results
    data = content(result)
    assert b"$before" not in data
    assert data.count(b"$now\r\n") >= 5
    assert isinstance(result, dict) and 1.0 <= result["seconds"] < 2.0


def test_a_recording_ends_with_the_driver(recorder: Recorder) -> None:
    results: list[object] = []
    thread = threading.Thread(
        target=lambda: results.append(recorder.command("record", {"seconds": 3600})), name="verbs"
    )
    thread.start()
    pause, deadline = threading.Event(), time.monotonic() + 3
    while recorder._waiting is None:
        assert time.monotonic() < deadline
        pause.wait(0.01)
    recorder.stop()
    thread.join(3)
    assert results, "still recording"


def test_a_recording_is_bounded(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_MOST_BYTES", 10_000)
    done = threading.Event()

    def flood() -> None:
        while not done.is_set():
            recorder.heard(bytes(1000), boottime_ms())
            done.wait(0.001)

    thread = threading.Thread(target=flood, name="flood")
    thread.start()
    result = recorder.command("record", {"seconds": 60})
    done.set()
    thread.join()
    assert 10_000 < int(result["bytes"]) < 1_000_000
    assert float(result["seconds"]) < 30


def test_a_masked_dump(recorder: Recorder, nmea: Nmea) -> None:
    body = "GNRMC,120000.00,A,4404.10000,N,12118.80000,W,10.0,90.0,010127,,,A"
    recorder.heard(nmea(body)[:20], boottime_ms())
    recorder.heard(nmea(body)[20:], boottime_ms())
    data = content(recorder.command("dump", {"mask": True}))
    assert b"positions masked" in data
    assert b"GNRMC,120000.00,A," in data
    assert b"4404" not in data


def test_only_the_newest_five_stay(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "captures").mkdir()
    (tmp_path / "captures" / "000009-record.part").write_bytes(b"left by a power cut")
    for _ in range(12):
        recorder.command("dump", {})
    names = sorted(path.name for path in (tmp_path / "captures").iterdir())
    assert names == [f"{n:06d}-dump.log" for n in range(8, 13)]


def test_the_folder_is_bounded(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FOLDER_MOST_BYTES", 25_000)
    recorder.heard(bytes(10_000), boottime_ms())
    for _ in range(4):
        recorder.command("dump", {})
    assert len(list((tmp_path / "captures").iterdir())) == 2


@pytest.mark.parametrize(
    ("verb", "args", "text"),
    [
        ("erase", {}, "expected dump or record"),
        ("dump", {"seconds": 61}, r"expected a whole number 1\.\.60"),
        ("dump", {"seconds": 0}, r"1\.\.60"),
        ("dump", {"seconds": True}, r"1\.\.60"),
        ("dump", {"seconds": 2.5}, r"1\.\.60"),
        ("record", {"seconds": 3601}, r"1\.\.3600"),
        ("record", {"seconds": "60"}, r"1\.\.3600"),
        ("dump", {"mask": 1}, "expected true or false"),
        ("dump", {"path": "/etc"}, "unknown argument 'path'"),
    ],
)
def test_bad_arguments(
    recorder: Recorder, tmp_path: Path, verb: str, args: dict[str, Scalar], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        recorder.command(verb, args)
    assert not (tmp_path / "captures").exists()


def test_the_ring_is_bounded(recorder: Recorder) -> None:
    tracemalloc.start()
    try:
        for number in range(20_000):
            recorder.heard(bytes([number % 256]) * 500, 1_000)  # 10 MB within a minute
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * RING_BYTES
