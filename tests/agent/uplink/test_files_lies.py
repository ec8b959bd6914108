"""What a far end says of files costs no more than it may: reading, sending, memory."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any, cast

import pytest

from agent.spool import Spool
from agent.store.rows import Loss, Range
from agent.uplink.delivery import Delivery
from agent.uplink.files import Files
from agent.uplink.need import Need
from agent.uplink.upload import Upload


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """One file of 100 kB on its way."""
    content = bytes(100_000)
    (tmp_path / "x").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    spool = Spool(tmp_path / "spool", 1_000_000, 0)
    source = os.open(tmp_path / "x", os.O_RDONLY)
    spool.take(source, sha256, len(content), lambda: None)
    os.close(source)

    def refuse(loss: Loss) -> None:
        raise AssertionError(loss.reason)

    made = Files(spool, cast("Delivery", None), refuse, ask_s=2.0)
    made._uploads[sha256] = Upload(sha256, len(content), 2.0)
    return made


def test_a_thousand_times_again_reads_the_file_once(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    intact = files._intact

    def reading(upload: Upload) -> bool:
        read.append(upload.sha256)
        return intact(upload)

    monkeypatch.setattr(files, "_intact", reading)
    (sha256,) = files._uploads
    for _ in range(1_000):
        files.need(Need(sha256, (Range(0, 24),), whole=True, again=True))
    assert len(read) == 1


def test_what_was_sent_is_remembered_as_runs(files: Files) -> None:
    """A file of any size, sent in any chunks any number of times: no memory to speak of."""
    upload = next(iter(files.uploads))
    for at in range(5_000):
        first = at % 25
        upload.sent(Range(first, first), (1, at), time.monotonic())
        upload.under_way.clear()
    runs: Any = list(upload.seen)
    assert len(runs) == 1
