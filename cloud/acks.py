"""What to acknowledge once a commit is durable: everything that its messages carried. Pure.

Records that the ledger already had are acknowledged again: their first ack may be lost. So are drop
accounts. The vehicle clamps acks to what it sent, so a range never says more than its message did.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from cloud.batch import Batch
from cloud.intervals import Range, coalesced, merged

MAX_RANGES = 1_000
"""Ranges in one ack message: at most 40 KiB, below every broker's limit."""


def carried(batch: Batch) -> list[Range]:
    """The seq that one message accounts for: its records and its drops."""
    return merged([*batch.runs, *((drop.first, drop.last) for drop in batch.drops)])


def acknowledgements(
    batches: Iterable[Batch],
    withheld: Collection[tuple[str, str, int]] = (),
    released: Iterable[tuple[str, str, int]] = (),
) -> list[tuple[str, bytes]]:
    """(vehicle, payload) of the ack messages for batches that one commit made durable.

    `withheld`: (vehicle, epoch, seq) of records whose file is not whole; `released`: of those whose
    file has become whole.
    """
    ranges: dict[tuple[str, str], list[Range]] = {}
    for batch in batches:
        found = ranges.setdefault((batch.vehicle, batch.epoch), [])
        if not withheld:
            found.extend(carried(batch))
            continue
        seqs = [r.seq for r in batch.records]
        found.extend(
            coalesced(seq for seq in seqs if (batch.vehicle, batch.epoch, seq) not in withheld)
        )
        found.extend(Range(drop.first, drop.last) for drop in batch.drops)
    for vehicle, epoch, seq in released:
        ranges.setdefault((vehicle, epoch), []).append(Range(seq, seq))
    messages = []
    for (vehicle, epoch), all_of in ranges.items():
        whole = merged(all_of)
        for at in range(0, len(whole), MAX_RANGES):
            part = whole[at : at + MAX_RANGES]
            messages.append((vehicle, msgspec.json.encode({"epoch": epoch, "ranges": part})))
    return messages


def about_catalogues(
    have: Iterable[tuple[str, str]], need: Iterable[tuple[str, str]]
) -> list[tuple[str, bytes]]:
    """(vehicle, payload) of the messages that say which catalogues are durable, which are missing.

    `have`, `need`: (vehicle, hash). Sent on the topic of the acks.
    """
    said: dict[str, Mapping[str, dict[str, None]]] = {}
    for key, pairs in (("have", have), ("need", need)):
        for vehicle, name in pairs:
            said.setdefault(vehicle, {"have": {}, "need": {}})[key][name] = None
    return [
        (vehicle, msgspec.json.encode({key: list(names)[:MAX_RANGES] for key, names in of.items()}))
        for vehicle, of in said.items()
    ]
