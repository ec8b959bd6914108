"""Chunks at the far end: what is taken, refused, asked for, and when a file is whole."""

from __future__ import annotations

import hashlib
import json
import queue
import random
import threading
import zlib
from pathlib import Path

import pytest
from cloud_payloads import EPOCH, VEHICLE
from hypothesis import given
from hypothesis import strategies as st

from cloud.chunk import BLOCK_BYTES, parse
from cloud.files import FileStore
from cloud.intake import Received
from cloud.ledger import Ledger
from cloud.receiver import Receiver
from cloud.report import report

CONTENT = random.Random(1).randbytes(10 * BLOCK_BYTES + 100)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def framed(sha256: str, first: int, content: bytes) -> bytes:
    crc = zlib.crc32(f"{sha256} {first}".encode() + content)
    return b"\x01" + crc.to_bytes(4, "big") + content


def manifest(sha256: str = SHA256, size: int = len(CONTENT), seq: int = 1) -> bytes:
    """In the payload format for people."""
    blob = ["clip.mp4", "video/mp4", size, sha256]
    said = {
        "v": 1,
        "vehicle": VEHICLE,
        "epoch": EPOCH,
        "boots": [{"boot": "b" * 32}],
        "records": [[seq, "camera", "clips", 0, 5, "file", {}, {}, blob]],
    }
    return json.dumps(said).encode()


class Desk:
    """A receiver whose messages the test puts and reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inbox: queue.Queue[Received] = queue.Queue()
        self.said: list[tuple[str, dict[str, object]]] = []
        self.ledger = Ledger(folder / "ledger.db")
        self.store = FileStore(folder / "files")
        self.receiver = Receiver(self.inbox, self.ledger, self._publish, "brain", files=self.store)

    def _publish(self, topic: str, payload: bytes) -> bool:
        self.said.append((topic.rpartition("/")[2], json.loads(payload)))
        return True

    def give(self, leaf: str, payload: bytes) -> None:
        self.inbox.put(Received(f"brain/v1/{VEHICLE}/up/{leaf}", payload, 1, 1))

    def chunk(self, first: int, blocks: int, sha256: str = SHA256) -> None:
        content = CONTENT[first * BLOCK_BYTES : (first + blocks) * BLOCK_BYTES]
        self.give(f"files/{sha256}/{first}", framed(sha256, first, content))

    def step(self) -> list[tuple[str, dict[str, object]]]:
        self.said = []
        self.receiver.step(0.0)
        return self.said

    def close(self) -> None:
        self.ledger.close()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def missing(said: list[tuple[str, dict[str, object]]]) -> object:
    ((topic, payload),) = said
    assert topic == "need"
    return payload["missing"]


def test_a_file_in_any_order(desk: Desk, tmp_path: Path) -> None:
    desk.give("files", manifest())
    assert missing(desk.step()) == [[0, 10]]
    desk.chunk(8, 3)
    assert missing(desk.step()) == [[0, 7]]
    desk.chunk(0, 4)
    desk.chunk(0, 4)
    desk.chunk(5, 1)
    assert missing(desk.step()) == [[4, 4], [6, 7]]
    desk.chunk(4, 4)
    assert desk.step() == [("acks", {"epoch": EPOCH, "ranges": [[1, 1]]})]
    assert desk.store.path((VEHICLE, SHA256)).read_bytes() == CONTENT
    desk.give("files", manifest(seq=2))
    assert desk.step() == [("acks", {"epoch": EPOCH, "ranges": [[2, 2]]})]
    desk.close()
    (shown,) = report(tmp_path / "ledger.db")["vehicles"][VEHICLE]["files"]
    assert shown == {
        "sha256": SHA256,
        "size": len(CONTENT),
        "media_type": "video/mp4",
        "path": "clip.mp4",
        "whole": True,
        "received": len(CONTENT),
        "again": 0,
    }


def test_what_is_kept_survives_a_new_start(desk: Desk, tmp_path: Path) -> None:
    desk.give("files", manifest())
    desk.chunk(0, 4)
    desk.step()
    desk.chunk(0, 4)
    desk.step()
    desk.close()
    again = Desk(tmp_path)
    again.give("files", manifest())
    assert missing(again.step()) == [[4, 10]]
    again.close()


def test_the_wrong_content_begins_anew(desk: Desk) -> None:
    other = "c" * 64
    desk.give("files", manifest(other))
    desk.step()
    desk.chunk(0, 11, other)
    ((topic, said),) = desk.step()
    assert topic == "need"
    assert said == {"sha256": other, "missing": [[0, 10]], "answers": "chunks", "again": True}
    assert not desk.store.path((VEHICLE, other)).exists()
    desk.close()


@pytest.mark.parametrize(
    ("leaf", "payload"),
    [
        (f"files/{SHA256}/0", b""),
        (f"files/{SHA256}/0", framed(SHA256, 0, b"")),
        (f"files/{SHA256}/0", framed(SHA256, 1, CONTENT[:BLOCK_BYTES])),
        (f"files/{SHA256}/0", b"\x02" + framed(SHA256, 0, CONTENT[:BLOCK_BYTES])[1:]),
        (f"files/{SHA256}/00", framed(SHA256, 0, CONTENT[:BLOCK_BYTES])),
        ("files/../../etc/passwd", b"x"),
        (f"files/{SHA256.upper()}/0", framed(SHA256, 0, CONTENT[:BLOCK_BYTES])),
        (f"files/{SHA256}/-1", framed(SHA256, -1, CONTENT[:BLOCK_BYTES])),
    ],
)
def test_refused_and_nothing_written(desk: Desk, leaf: str, payload: bytes) -> None:
    desk.give("files", manifest())
    desk.step()
    desk.give(leaf, payload)
    desk.step()
    assert desk.ledger.counters()["rejected"] == 1
    assert not (desk.folder / "files").exists()
    desk.close()


@pytest.mark.parametrize(("first", "length"), [(0, 100), (10, 101), (10, BLOCK_BYTES), (11, 5)])
def test_a_chunk_that_is_none_of_this_file(desk: Desk, first: int, length: int) -> None:
    desk.give("files", manifest())
    desk.step()
    desk.give(f"files/{SHA256}/{first}", framed(SHA256, first, b"x" * length))
    desk.step()
    assert not list((desk.folder / "files").glob("*/*"))
    assert desk.ledger.files.missing((VEHICLE, SHA256)) == [(0, 10)]
    desk.close()


def test_a_full_disk_books_nothing(desk: Desk) -> None:
    desk.give("files", manifest())
    desk.step()
    (desk.folder / "files").write_text("in the way")
    desk.chunk(0, 4)
    desk.step()
    (desk.folder / "files").unlink()
    desk.give("files", manifest())
    assert missing(desk.step()) == [[0, 10]]
    desk.close()


@given(st.binary(max_size=200), st.text(max_size=80))
def test_any_bytes_are_a_chunk_or_refused(payload: bytes, leaf: str) -> None:
    try:
        parse(VEHICLE, f"files/{leaf}", payload)
    except ValueError:
        return


def test_the_books_are_on_disk_before_the_answer(tmp_path: Path) -> None:
    """A kill between the file and the books costs the chunk, nothing else."""

    class Killed(Exception):
        pass

    def at(point: str) -> None:
        if point == "chunks-landed":
            raise Killed

    desk = Desk(tmp_path)
    desk.give("files", manifest())
    desk.step()
    desk.receiver = Receiver(
        desk.inbox, desk.ledger, desk._publish, "brain", files=desk.store, failpoint=at
    )
    desk.chunk(0, 11)
    with pytest.raises(Killed):
        desk.step()
    desk.close()
    again = Desk(tmp_path)
    again.give("files", manifest())
    assert missing(again.step()) == [[0, 10]]
    again.chunk(0, 11)
    assert again.step()[0][0] == "acks"
    again.close()
    assert threading.active_count() < 20
