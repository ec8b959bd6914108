"""What other threads tell the pipeline: all of it, once, in order."""

from __future__ import annotations

import threading

from agent.asides import Asides
from agent.record import Record, StorageClass
from agent.store.rows import Loss, RowHead


def record(number: int) -> Record:
    return Record("agent", number, {"Vehicle.Bus.X": number})


def test_each_is_fetched_once_in_the_order_it_was_told() -> None:
    asides, loss = Asides(), Loss(RowHead(StorageClass.HISTORY, "e", 3, 4, "b", 99), "too_large")
    asides.acknowledge("e", [(1, 2)])
    asides.acknowledge("f", [(1, 1), (3, 9)])
    asides.refuse(loss)
    for number in range(3):
        asides.state(record(number))
    said = asides.fetch()
    assert list(said.acked) == [("e", ((1, 2),)), ("f", ((1, 1), (3, 9)))]
    assert list(said.refused) == [loss]
    assert [one.boottime_ms for one in said.own] == [0, 1, 2]
    again = asides.fetch()
    assert not again.acked and not again.refused and not again.own


def test_what_is_put_back_comes_before_what_was_told_since() -> None:
    asides = Asides()
    for number in range(3):
        asides.state(record(number))
    own = asides.fetch().own
    asides.state(record(3))
    asides.put_back(own[1:])
    assert [one.boottime_ms for one in asides.fetch().own] == [1, 2, 3]


def test_nothing_is_lost_between_threads() -> None:
    asides, found = Asides(), []
    threads = [
        threading.Thread(target=lambda: [asides.state(record(n)) for n in range(2_000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found += asides.fetch().own
    found += asides.fetch().own
    assert sorted(one.boottime_ms for one in found) == sorted([*range(2_000)] * 4)
