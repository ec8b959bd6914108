"""Files of commands: a reply names one when its record is on flash and its bytes in the spool."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.commands.operation import Outcome
from agent.commands.outgoing import Outgoing, Parcel
from agent.commands.replies import FILE
from agent.record import Kind, Record
from agent.spool import Spool

LIMIT = 100_000


class Box:
    """A spool, and a pipeline that commits when the test says so."""

    def __init__(self, directory: Path) -> None:
        self.spool = Spool(directory / "files", LIMIT, 0)
        self.said: queue.Queue[Record] = queue.Queue()
        self.outcomes: queue.Queue[Outcome] = queue.Queue()
        self.outgoing = Outgoing(self.spool, self.said.put)

    def send(self, path: Path, cid: str = "C1") -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        parcel = Parcel(cid, "x.log", "text/plain", descriptor, self.outcomes.put, {"lines": 3})
        self.outgoing.send(parcel)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.outgoing.stop()


def test_said_after_the_record_is_on_flash(box: Box, tmp_path: Path) -> None:
    content = b"a line\n" * 900
    (tmp_path / "x").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    box.send(tmp_path / "x")
    record = box.said.get(timeout=10)
    assert (record.kind, record.source, dict(record.values)) == (Kind.FILE, "brain", {FILE: "C1"})
    assert record.blob is not None
    assert (record.blob.sha256, record.blob.size) == (sha256, len(content))
    assert box.spool.has(sha256) and box.outcomes.empty(), "the disk has not confirmed the record"
    box.outgoing.written([Record("brain", 1, {FILE: "other"}, kind=Kind.FILE)])
    assert box.outcomes.empty()
    box.outgoing.written([record])
    outcome = box.outcomes.get(timeout=10)
    about = {"name": "x.log", "media_type": "text/plain", "size": len(content), "sha256": sha256}
    assert (outcome.state, dict(outcome.result)) == ("done", {"lines": 3, "file": about})
    box.outgoing.written([record])
    assert box.outcomes.empty(), "once"


def too_large(path: Path) -> None:
    path.write_bytes(bytes(LIMIT + 1))


def a_sparse_terabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    ("make", "code"),
    [(os.mkfifo, "file_unreadable"), (Path.mkdir, "file_unreadable"), (too_large, "quota"),
     (a_sparse_terabyte, "quota")],
)  # fmt: skip
def test_what_is_no_file_of_ours(
    box: Box, tmp_path: Path, make: Callable[[Path], None], code: str
) -> None:
    make(tmp_path / "x")
    box.send(tmp_path / "x")
    outcome = box.outcomes.get(timeout=10)
    assert (outcome.state, outcome.code) == ("failed", code)
    assert box.said.empty() and box.spool.nbytes == 0


def test_a_file_that_changes_while_it_is_read(box: Box, tmp_path: Path) -> None:
    """The driver may write on: what the record says is what the spool has, or there is none."""
    path = tmp_path / "x"
    path.write_bytes(bytes(50_000))
    look = box.outgoing._look

    def then_change(descriptor: int) -> tuple[int, str]:
        found = look(descriptor)
        path.write_bytes(b"\1" + bytes(49_999))
        return found

    box.outgoing._look = then_change  # type: ignore[method-assign]
    box.send(path)
    outcome = box.outcomes.get(timeout=10)
    assert (outcome.state, outcome.code) == ("failed", "file_changed")
    assert box.said.empty() and box.spool.nbytes == 0


def test_descriptors_and_threads_are_given_back(box: Box, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        box.send(tmp_path / "x", f"C{number}")
        box.outgoing.written([box.said.get(timeout=10)])
        assert box.outcomes.get(timeout=10).state == "done"
    deadline = time.monotonic() + 10
    while len(os.listdir("/proc/self/fd")) > before:
        assert time.monotonic() < deadline
    box.outgoing.stop()
    assert "commands-files" not in {thread.name for thread in threading.enumerate()}
