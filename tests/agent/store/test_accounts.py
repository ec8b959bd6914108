"""Accounts of drops: together they count what was dropped, and none lies within another."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import BOOT, assert_balanced, open_outbox, record

from agent.record import StorageClass
from agent.store.reader import OutboxReader
from agent.store.rows import Change

REASONS = ("quota", "age", "refused")


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(9)), st.lists(st.sampled_from(REASONS), min_size=9, max_size=9))
def test_no_account_lies_within_another(
    tmp_path_factory: object, order: list[int], reasons: list[str]
) -> None:
    """The far end keeps one of two such, whose count is then too small."""
    directory: Path = tmp_path_factory.mktemp("accounts")  # type: ignore[attr-defined]
    outbox = open_outbox(directory)
    for number in range(9):
        outbox.commit(Change([record(number)], BOOT))
    reader = OutboxReader(directory)
    heads = reader.oldest(StorageClass.HISTORY, None, 99)
    for at, reason in zip(order, reasons, strict=True):
        outbox.commit(Change(drops=[(heads[at], reason)]))
        drops = sorted(reader.drops(), key=lambda drop: drop.first)
        assert all(before.last < after.first for before, after in pairwise(drops)), drops
        assert sum(drop.count for drop in drops) == assert_balanced(reader)["dropped"]
    reader.close()
    outbox.close()
