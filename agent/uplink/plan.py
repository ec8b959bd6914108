"""What goes next: a pure choice among the waiting rows.

Alarms first, oldest first; after some of them in a row what else waits has its turn, so that a
broker that takes few messages gets history too. Then, while history is backlogged, live rows
(newer than anything sent so far, newest first) and backfill (oldest first) take turns, so neither
starves the other. Without a backlog all that waits goes together, after a moment's wait for
company. Files come last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from agent.record import StorageClass
from agent.store.rows import Drop, RowHead
from agent.uplink.budget import UNLIMITED, Budget

MAX_RECORDS = 2_500
"""In one batch: beyond that columns gain nothing, and an alarm would wait behind the bytes."""
LIVE_BYTES = 16 * 1024
MAX_DROPS = 200
ALARMS_IN_A_ROW = 4
"""Batches of alarms, then one of something else where it may go: a fifth of a rate that is nearly
nothing."""
MAX_UNCONFIRMED_BYTES = 64 * 1024
"""Only alarms are sent while the broker owes us confirmation for more than this, or for more than
the link carries within seconds."""


class Priority(IntEnum):
    """Which batch goes first."""

    ALARM = 0
    LIVE = 1
    HISTORY = 2
    BULK = 3

    @property
    def storage_class(self) -> StorageClass:
        """Whose quota, topic and budget it is."""
        return _CLASS_OF[self]


_CLASS_OF = {
    Priority.ALARM: StorageClass.ALARM,
    Priority.LIVE: StorageClass.HISTORY,
    Priority.HISTORY: StorageClass.HISTORY,
    Priority.BULK: StorageClass.BULK,
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows that are neither in flight nor acknowledged, as far as they were looked up.

    `newest` are history rows too, newest first. `live_after` is the newest row sent so far, None
    before the first. `waited_s`: how long the longest waiting history row has been waiting.
    `more`: there is more history than was looked up.
    `drops` are accounts that no batch in flight carries.
    """

    alarm: Sequence[RowHead] = ()
    history: Sequence[RowHead] = ()
    newest: Sequence[RowHead] = ()
    bulk: Sequence[RowHead] = ()
    drops: Sequence[Drop] = ()
    waited_s: float = 0.0
    more: bool = False
    live_after: RowHead | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """What the way to the cloud takes at this moment.

    `in_flight` batches wait for the application's ack, at most `window`. `portion`: bytes that it
    carries within seconds; a batch has no more, unless a single row has. `expansion` estimates
    the bytes of payload per byte of row. `messages` and `nbytes` are what the token buckets allow
    now. `paused` classes wait for the broker's permission. `last` is what was sent last, but for
    alarms; `alarms_since` counts the batches of alarms since.
    """

    in_flight: int = 0
    window: int = 6
    unconfirmed_bytes: int = 0
    max_payload: int = 96 * 1024
    portion: int = 96 * 1024
    expansion: Mapping[StorageClass, float] = field(default_factory=dict)
    messages: float = 1.0
    nbytes: float = 1.0
    paused: frozenset[StorageClass] = frozenset()
    linger_s: float = 1.0
    last: Priority | None = None
    alarms_since: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole rows of one epoch, in order of seq, and accounts of drops. Either may be empty."""

    priority: Priority
    epoch: str
    heads: tuple[RowHead, ...] = ()
    drops: tuple[Drop, ...] = ()


def next_batch(waiting: Waiting, link: Link, budget: Budget = UNLIMITED) -> Batch | None:
    """The batch to send now, None where nothing may or need be sent."""
    if link.in_flight >= link.window or link.messages < 1 or link.nbytes <= 0:
        return None

    def open_for(storage_class: StorageClass) -> bool:
        return storage_class not in link.paused and budget.allows(storage_class)

    alarm = None
    if waiting.alarm and open_for(StorageClass.ALARM):
        alarm = _batch(Priority.ALARM, waiting.alarm, waiting, link)
        if link.alarms_since < ALARMS_IN_A_ROW:
            return alarm
    if not room(link):
        return alarm
    if open_for(StorageClass.HISTORY):
        batch = _history(waiting, link, budget)
        if batch is not None:
            return _accounts_first(batch, waiting)
    if alarm is not None:
        return alarm
    if waiting.bulk and open_for(StorageClass.BULK):
        return _batch(Priority.BULK, waiting.bulk, waiting, link)
    if waiting.drops and open_for(StorageClass.HISTORY) and not waiting.history:
        epoch = waiting.drops[0].epoch
        return Batch(Priority.HISTORY, epoch, (), _drops(epoch, waiting))
    return None


def room(link: Link) -> bool:
    """Whether something less than an alarm may go."""
    # The last place is the alarms': they never wait for an ack of something less important.
    if link.in_flight >= (link.window - 1 if link.window > 1 else link.window):
        return False
    return roomy(link)


def roomy(link: Link) -> bool:
    """Whether the broker owes us little enough that another message may follow an alarm's way."""
    return link.unconfirmed_bytes <= min(MAX_UNCONFIRMED_BYTES, link.portion)


def _history(waiting: Waiting, link: Link, budget: Budget) -> Batch | None:
    if not waiting.history:
        return None
    if budget.history != "all":
        return _newest(waiting, link, budget)
    oldest = _fit(waiting.history, link, _largest(link))
    if len(oldest) == len(waiting.history) and not waiting.more:
        if waiting.waited_s < max(link.linger_s, budget.linger_s) and not _full(oldest, link):
            return None
        return _batch(Priority.HISTORY, waiting.history, waiting, link)
    if link.last is not Priority.LIVE and budget.live_due:
        fresh = _fit(_fresh(waiting), link, min(LIVE_BYTES, _largest(link)))
        if fresh:
            return _batch(Priority.LIVE, sorted(fresh, key=_seq), waiting, link)
    return _batch(Priority.HISTORY, waiting.history, waiting, link)


def _newest(waiting: Waiting, link: Link, budget: Budget) -> Batch | None:
    """What the budget leaves of history: rows newer than anything sent, or the newest one."""
    fresh = _fresh(waiting) if budget.live_due else ()
    if budget.history == "one":
        fresh = fresh[:1]
    chosen = _fit(fresh, link, min(LIVE_BYTES, _largest(link)))
    return _batch(Priority.LIVE, sorted(chosen, key=_seq), waiting, link) if chosen else None


def _fresh(waiting: Waiting) -> Sequence[RowHead]:
    """Rows newer than anything sent, newest first. Only the newest epoch has any."""
    after = waiting.live_after
    if after is None or not waiting.newest or waiting.newest[0].epoch != after.epoch:
        return waiting.newest
    return [head for head in waiting.newest if head.first > after.last]


def _batch(priority: Priority, heads: Sequence[RowHead], waiting: Waiting, link: Link) -> Batch:
    chosen = _fit(heads, link, _largest(link))
    epoch = chosen[0].epoch
    return Batch(priority, epoch, tuple(chosen), _drops(epoch, waiting))


def _accounts_first(batch: Batch, waiting: Waiting) -> Batch:
    """What was dropped is told before what is left: where it does not go along, it goes ahead."""
    others = [drop for drop in waiting.drops if drop not in batch.drops]
    if not others:
        return batch
    epoch = others[0].epoch
    return Batch(Priority.HISTORY, epoch, (), _drops(epoch, waiting))


def _drops(epoch: str, waiting: Waiting) -> tuple[Drop, ...]:
    return tuple([drop for drop in waiting.drops if drop.epoch == epoch][:MAX_DROPS])


def _fit(heads: Sequence[RowHead], link: Link, max_bytes: int) -> list[RowHead]:
    """The first rows that make one batch: of one epoch, and one row at least."""
    chosen: list[RowHead] = []
    nbytes = n = 0.0
    for head in heads:
        nbytes += head.nbytes * link.expansion.get(head.storage_class, 1.0)
        n += head.n
        too_much = nbytes > max_bytes or n > MAX_RECORDS
        if chosen and (too_much or head.epoch != chosen[0].epoch):
            break
        chosen.append(head)
    return chosen


def _full(heads: Sequence[RowHead], link: Link) -> bool:
    """Whether waiting for company is of no use."""
    nbytes = sum(head.nbytes * link.expansion.get(head.storage_class, 1.0) for head in heads)
    return nbytes >= _largest(link) / 2 or sum(head.n for head in heads) >= MAX_RECORDS / 2


def _largest(link: Link) -> int:
    return min(link.max_payload, link.portion)


def _seq(head: RowHead) -> int:
    return head.first
