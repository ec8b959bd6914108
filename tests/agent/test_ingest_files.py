"""Files at the door: open descriptors come with records; strangers' ones are closed."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agent.ingest import Arrival
from agent.protocol import Records, Refused, Report, WireRecord, encode
from agent.spool import Spool


def _neighbour(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"neighbour_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


door_module = _neighbour("test_ingest")
CONTENT = b"clip" * 1_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Gate:
    """A spool whose `take` waits until the test lets it."""

    def __init__(self, spool: Spool) -> None:
        import threading

        self.spool = spool
        self.go = threading.Event()
        self.go.set()

    def has(self, sha256: str) -> bool:
        return self.spool.has(sha256)

    def take(self, *arguments: Any) -> None:
        assert self.go.wait(5.0)
        self.spool.take(*arguments)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(Spool(tmp_path / "files", 1_000_000, 0))


@pytest.fixture
def door(tmp_path: Path, gate: Gate) -> Iterator[Any]:
    door = door_module.Door(tmp_path, spool=gate)
    yield door
    door.close()


def file_record(
    first: int, sha256: str = SHA256, size: int = len(CONTENT), kind: str = "file"
) -> bytes:
    blob = ("../../etc/passwd", "video/mp4", size, sha256)
    return encode(Records(first, [WireRecord(0, 1, [None, None], None, kind, blob)]))


def opened(tmp_path: Path, content: bytes = CONTENT) -> int:
    path = tmp_path / "clip"
    path.write_bytes(content)
    return os.open(path, os.O_RDONLY)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5.0
    while not fact():
        assert time.monotonic() < deadline


def test_a_record_waits_for_its_file_and_its_neighbours_do_not(
    door: Any, gate: Gate, tmp_path: Path
) -> None:
    camera, gnss = door.join("camera"), door.join("gnss", "f" * 32)
    gate.go.clear()
    source = opened(tmp_path)
    socket.send_fds(camera, [file_record(1)], [source])
    camera.send(door_module.records(2, 5.0))
    gnss.send(door_module.records(1, 7.0))
    arrival = door.next(Arrival)
    assert (arrival.source, arrival.upto) == ("gnss", 1)
    os.close(source)
    (tmp_path / "clip").unlink()
    gate.go.set()
    arrivals = [door.next(Arrival), door.next(Arrival)]
    assert [(a.source, a.upto) for a in arrivals] == [("camera", 1), ("camera", 2)]
    assert gate.spool.has(SHA256)
    (record,) = arrivals[0].records
    assert record.blob is not None
    assert record.blob.sha256 == SHA256


@pytest.mark.parametrize(
    ("sha256", "size"), [("0" * 64, len(CONTENT)), (SHA256, 5), ("../x", 5), (SHA256, 1 << 60)]
)
def test_a_lie_costs_the_file_alone(
    door: Any, gate: Gate, tmp_path: Path, sha256: str, size: int
) -> None:
    camera = door.join("camera")
    source = opened(tmp_path)
    socket.send_fds(camera, [file_record(1, sha256, size)], [source])
    os.close(source)
    camera.send(door_module.records(2, 5.0))
    upto = 0
    while upto < 2:
        upto = door.next(Arrival).upto
    assert gate.spool.count == 0


def test_no_descriptor_is_kept(door: Any, gate: Gate, tmp_path: Path) -> None:
    """Those that come without a record that names a file, too many, or at a hello."""
    stranger, camera = door.connect(), door.join("camera")
    source = opened(tmp_path)
    before = descriptors()
    socket.send_fds(stranger, [b"\xff"], [source, source])
    assert isinstance(door_module.receive(stranger), Refused)
    for first in range(1, 40):
        socket.send_fds(camera, [door_module.records(first, 1.0)], [source] * (first % 3 + 1))
        socket.send_fds(camera, [encode(Report({"n": first}, "ok"))], [source])
    socket.send_fds(camera, [file_record(40)], [source])
    socket.send_fds(camera, [file_record(41)], [source])
    socket.send_fds(camera, [file_record(42, kind="event")], [source])
    upto = 0
    while upto < 42:
        upto = door.next(Arrival).upto
    # The stranger's connection is closed at its end; the door may have one descriptor less.
    until(lambda: descriptors() <= before)
    os.close(source)


def test_a_connection_that_ends_while_its_file_is_copied(
    door: Any, gate: Gate, tmp_path: Path
) -> None:
    camera = door.join("camera")
    gate.go.clear()
    source = opened(tmp_path)
    socket.send_fds(camera, [file_record(1)], [source])
    camera.close()
    gate.go.set()
    again = door.join("camera")
    socket.send_fds(again, [file_record(1)], [source])
    os.close(source)
    arrival = door.next(Arrival)
    assert (arrival.upto, len(arrival.records)) == (1, 1)
    assert gate.spool.count == 1


def test_what_a_predecessor_left_does_not_speak_for_its_successor(
    door: Any, gate: Gate, tmp_path: Path
) -> None:
    camera = door.join("camera")
    gate.go.clear()
    source = opened(tmp_path)
    socket.send_fds(camera, [file_record(1)], [source])
    os.close(source)
    camera.close()
    successor = door.join("camera", "e" * 32)
    successor.send(door_module.records(1, 5.0))
    assert door.next(Arrival).stream == "e" * 32
    gate.go.set()
    until(lambda: gate.spool.has(SHA256))
    successor.send(door_module.records(2, 6.0))
    assert door.next(Arrival).stream == "e" * 32
    successor.send(door_module.records(3, 7.0))
    assert door.next(Arrival).stream == "e" * 32
