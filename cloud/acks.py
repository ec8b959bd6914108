"""What to acknowledge once a commit is durable: everything that its messages carried. Pure.

Records that the ledger already had are acknowledged again: their first ack may be lost. So are drop
accounts. The vehicle clamps acks to what it sent, so a range never says more than its message did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from cloud.batch import Batch
from cloud.intervals import Range, merged

MAX_RANGES = 1_000
"""Ranges in one ack message: at most 40 KiB, below every broker's limit."""


def carried(batch: Batch) -> list[Range]:
    """The seq that one message accounts for: its records and its drops."""
    return merged([*batch.runs, *((drop.first, drop.last) for drop in batch.drops)])


def acknowledgements(batches: Iterable[Batch]) -> list[tuple[str, bytes]]:
    """(vehicle, payload) of the ack messages for batches that one commit made durable."""
    ranges: dict[tuple[str, str], list[Range]] = {}
    for batch in batches:
        ranges.setdefault((batch.vehicle, batch.epoch), []).extend(carried(batch))
    messages = []
    for (vehicle, epoch), found in ranges.items():
        whole = merged(found)
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
