"""Opening reads a little of the file and none of its rows: a month of backlog opens like a day."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from store_samples import BOOT, open_outbox, record

from agent.record import StorageClass
from agent.store.outbox import Outbox
from agent.store.rows import Change

ROWS, PAD = 300, 30_000
ROOMY = dict.fromkeys(StorageClass, 1 << 30)


def read_bytes() -> int:
    """What this process has read so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


@pytest.fixture(scope="module")
def backlog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An outbox of 9 MB; `killed` is a copy of it as it stood before it was closed."""
    directory = tmp_path_factory.mktemp("backlog")
    draw = random.Random(1)
    outbox = open_outbox(directory / "closed", quota_bytes=ROOMY)
    for number in range(ROWS):
        outbox.commit(Change([record(number, pad=draw.randbytes(PAD).hex())], BOOT))
    shutil.copytree(directory / "closed", directory / "killed")
    outbox.close()
    return directory


@pytest.mark.parametrize(("name", "how"), [("closed", "clean"), ("killed", "unclean")])
def test_opening_reads_no_rows(name: str, how: str, backlog: Path) -> None:
    directory = backlog / name
    nbytes = (directory / "outbox.db").stat().st_size
    log = directory / "outbox.db-wal"
    in_log = log.stat().st_size if log.exists() else 0
    assert nbytes > ROWS * PAD * 0.8
    before = read_bytes()
    outbox = Outbox.open(directory, quota_bytes=ROOMY)
    outbox.commit(Change([record(1)], BOOT))
    read = read_bytes() - before
    assert outbox.opened == how
    # The log is looked at three times: for states, to recover it, to copy it into the file.
    assert read < 300_000 + 4 * in_log < nbytes, f"{read:,} bytes read of {nbytes:,}"
    outbox.close()
