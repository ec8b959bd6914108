"""What damage cost is told by every life until the far end has heard of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from store_samples import BOOT, open_outbox, record, settle

from agent.store.reader import OutboxReader
from agent.store.rows import Change, Range

HEADER, FRAME = 32, 24 + 4096


def test_each_life_knows_of_it_until_it_is_acknowledged(tmp_path: Path) -> None:
    living, directory = tmp_path / "living", tmp_path / "state"
    living.mkdir()
    outbox = open_outbox(living)
    for number in range(1, 41):
        outbox.commit(Change([record(number)], BOOT))
    shutil.copytree(living, directory)
    outbox.close()
    os.truncate(directory / "outbox.db-wal", HEADER + 40 * FRAME)
    lost = 0
    for _ in range(3):
        outbox = open_outbox(directory)
        settle(outbox)
        found = dict(outbox.given_up())
        assert found.get("missing", 0) >= max(lost, 1), "of a life before, too"
        lost = found["missing"]
        outbox.close()
    outbox = open_outbox(directory)
    reader = OutboxReader(directory)
    for drop in reader.drops():
        outbox.commit(Change(acked=[(drop.epoch, [Range(drop.first, drop.last)])]))
    reader.close()
    outbox.close()
    outbox = open_outbox(directory)
    assert not outbox.given_up()
    outbox.close()
