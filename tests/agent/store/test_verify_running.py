"""`brain outbox verify` is of one moment, also while the agent writes."""

from __future__ import annotations

import threading
from pathlib import Path

from store_samples import BOOT, open_outbox, record

from agent.store.inspect import verify
from agent.store.rows import Change

COMMITS = 400


def test_verify_while_commits_go_on(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    for number in range(200):
        outbox.commit(Change([record(number)], BOOT))

    def write() -> None:
        for number in range(200, 200 + COMMITS):
            outbox.commit(Change([record(number)], BOOT))

    writer = threading.Thread(target=write, name="writer")
    writer.start()
    looks = 0
    while writer.is_alive():
        assert verify(tmp_path) == []
        looks += 1
    writer.join()
    assert looks > 2
    outbox.close()
