"""A damaged outbox is salvaged in small steps between commits to its successor."""

from __future__ import annotations

import random
from pathlib import Path

from store_samples import BOOT, assert_balanced, delivered, open_outbox, record

from agent.store.reader import OutboxReader
from agent.store.rows import Change

ROWS, PAD = 700, 4_000


def test_commits_go_on_in_a_new_epoch_while_the_old_one_is_salvaged(tmp_path: Path) -> None:
    draw = random.Random(1)
    outbox = open_outbox(tmp_path)
    for number in range(ROWS):
        outbox.commit(Change([record(number, pad=draw.randbytes(PAD // 2).hex())], BOOT))
    old = outbox.epoch
    outbox.close()
    with (tmp_path / "outbox.db").open("r+b") as file:
        file.write(b"no database any more")
    outbox = open_outbox(tmp_path)
    assert outbox.opened == "salvaging" and outbox.epoch != old
    reader = OutboxReader(tmp_path)
    number, steps = ROWS, 0
    while outbox.work_left():
        done = outbox.commit(Change([record(number)], BOOT))
        number += 1
        assert (done.first, done.last) == (steps + 1, steps + 1), (
            "numbers begin anew, without a gap"
        )
        # The books agree in the middle of it too.
        assert_balanced(reader)
        assert reader.settled(old) == 0, "its records will come back"
        outbox.salvage_step()
        steps += 1
        assert steps < 1_000
    assert steps > 4, "in steps, so that commits come in between"
    found = delivered(reader)
    assert len(found) == number and {epoch for epoch, _ in found} == {old, outbox.epoch}
    assert assert_balanced(reader)["dropped"] == 0
    reader.close()
    outbox.close()
