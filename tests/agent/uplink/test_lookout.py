"""What waits in the outbox, over a reader that is a list of rows."""

from __future__ import annotations

from uplink_rows import EPOCH, OTHER_EPOCH, cargo, head

from agent.clock import OffsetRow
from agent.record import StorageClass
from agent.store.rows import Drop, Range, Row, RowHead
from agent.uplink.delivery import Delivery
from agent.uplink.lookout import FORGET_S, LOOK_ROWS, NEWEST_ROWS, Lookout
from agent.uplink.plan import Batch, Priority


class Rows:
    """Rows in order; those of OTHER_EPOCH are older."""

    def __init__(self, *heads: RowHead) -> None:
        self.heads = list(heads)
        self.closed = 0

    def oldest(
        self, storage_class: StorageClass, after: RowHead | None, limit: int
    ) -> list[RowHead]:
        heads = [h for h in self.heads if h.storage_class is storage_class]
        return [h for h in heads if after is None or age(h) > age(after)][:limit]

    def newest(self, storage_class: StorageClass, limit: int) -> list[RowHead]:
        return self.oldest(storage_class, None, 1 << 30)[::-1][:limit]

    def load(self, head: RowHead) -> Row:
        raise KeyError(head)

    def drops(self) -> list[Drop]:
        return []

    def thinned(self, epoch: str) -> list[Drop]:
        return []

    def settled(self, epoch: str) -> int:
        return 0

    def offsets(self) -> list[OffsetRow]:
        return []

    def close(self) -> None:
        self.closed += 1


def age(head: RowHead) -> tuple[bool, int]:
    return head.epoch == EPOCH, head.first


def test_rows_under_way_are_passed_over_however_many() -> None:
    rows = Rows(*(head(seq, 1) for seq in range(1, 2 * LOOK_ROWS + 4)))
    delivery = Delivery(8.0)
    under_way = rows.heads[: 2 * LOOK_ROWS]
    delivery.launch(cargo(*under_way), "topic", b"")
    lookout = Lookout(lambda: rows, delivery)
    waiting = lookout.waiting(100.0, ())
    assert waiting.history == rows.heads[-3:]
    assert waiting.newest == rows.heads[:-4:-1]
    assert not waiting.more


def test_rows_that_appear_behind_the_cursor_are_found_a_little_later() -> None:
    rows = Rows(head(1))
    delivery = Delivery(8.0)
    delivery.launch(cargo(rows.heads[0]), "topic", b"")
    lookout = Lookout(lambda: rows, delivery)
    assert not lookout.waiting(100.0, ()).history
    salvaged = head(1, epoch=OTHER_EPOCH)
    rows.heads.insert(0, salvaged)
    assert list(lookout.waiting(101.0 + FORGET_S, ()).history) == [salvaged]


def test_rows_are_open_again_when_their_message_is_taken_apart() -> None:
    rows = Rows(head(1), head(11))
    delivery = Delivery(8.0)
    flight = delivery.launch(cargo(rows.heads[0]), "topic", b"")
    lookout = Lookout(lambda: rows, delivery)
    assert lookout.waiting(100.0, ()).history == rows.heads[1:]
    delivery.remove(flight)
    lookout.begin_anew()
    assert lookout.waiting(100.1, ()).history == rows.heads
    lookout.close()
    assert lookout.waiting(100.2, ()).history == rows.heads and rows.closed == 1


def test_the_newest_of_a_backlog_of_any_size() -> None:
    for n in (NEWEST_ROWS - 1, NEWEST_ROWS + 1, LOOK_ROWS + 1):
        rows = Rows(*(head(seq, 1) for seq in range(1, n + 1)))
        waiting = Lookout(lambda rows=rows: rows, Delivery(8.0)).waiting(100.0, ())  # type: ignore[misc]
        assert waiting.newest == rows.heads[::-1][:NEWEST_ROWS]
        assert waiting.more == (n > LOOK_ROWS)


def test_backfill_does_not_make_the_freshest_older() -> None:
    rows = Rows(head(1, epoch=OTHER_EPOCH), head(1), head(11))
    lookout = Lookout(lambda: rows, Delivery(8.0))
    steps = [
        (Priority.HISTORY, rows.heads[1], rows.heads[1]),
        (Priority.LIVE, rows.heads[2], rows.heads[2]),
        (Priority.HISTORY, rows.heads[0], rows.heads[2]),
        (Priority.HISTORY, rows.heads[1], rows.heads[2]),
        (Priority.ALARM, head(99, storage_class=StorageClass.ALARM), rows.heads[2]),
    ]
    for priority, sent, freshest in steps:
        lookout.chosen(Batch(priority, sent.epoch, (sent,)))
        assert lookout.waiting(100.0, ()).live_after == freshest


def test_history_waits_from_the_first_row_on_and_alarms_do_not_begin_it_anew() -> None:
    rows, delivery = Rows(head(1)), Delivery(8.0)
    lookout = Lookout(lambda: rows, delivery)
    assert lookout.waiting(100.0, ()).waited_s == 0
    lookout.chosen(Batch(Priority.ALARM, EPOCH, ()))
    assert lookout.waiting(100.5, ()).waited_s == 0.5
    lookout.chosen(Batch(Priority.HISTORY, EPOCH, (rows.heads[0],)))
    assert lookout.history_since is None
    flight = delivery.launch(cargo(rows.heads[0]), "topic", b"")
    delivery.sent(flight, (1, 1), 101.0)
    delivery.acked(EPOCH, [Range(1, 10)], 101.0)
    assert lookout.waiting(102.0, ()).waited_s == 0
    assert lookout.history_since is None
