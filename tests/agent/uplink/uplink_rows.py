"""Short words for rows, cargo and flights in tables."""

from __future__ import annotations

from agent.record import StorageClass
from agent.store.rows import Drop, RowHead
from agent.uplink.flight import Cargo, Slice
from agent.uplink.plan import Priority

EPOCH = "e" * 32
OTHER_EPOCH = "f" * 32
BOOT = "b" * 32


def head(
    first: int,
    n: int = 10,
    *,
    storage_class: StorageClass = StorageClass.HISTORY,
    epoch: str = EPOCH,
    nbytes: int = 1_000,
) -> RowHead:
    return RowHead(storage_class, epoch, first, first + n - 1, BOOT, nbytes)


def drop(first: int, last: int, epoch: str = EPOCH) -> Drop:
    return Drop(StorageClass.HISTORY, epoch, first, last, last - first + 1, "quota")


def cargo(
    *heads: RowHead, drops: tuple[Drop, ...] = (), priority: Priority = Priority.HISTORY
) -> Cargo:
    return Cargo(priority, EPOCH, tuple(Slice.whole(h) for h in heads), drops)
