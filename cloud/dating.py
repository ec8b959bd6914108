"""Boot time -> UTC by what a vehicle has said so far about one of its boots.

The best source decides (gnss before ntp, vehicle and rtc); a table grows while the boot runs, so a
late fix dates everything that the boot captured before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cloud.batch import MAX_OFFSETS, MAX_TIME_MS, OFFSET_RANK, Offset


class Piece(NamedTuple):
    """In `begin_ms` <= boot time < `end_ms`, UTC in ms = boot time in ms + `utc_offset_ms`."""

    begin_ms: int
    end_ms: int
    utc_offset_ms: int


def combined(known: Iterable[Offset], said: Iterable[Offset]) -> list[Offset]:
    """The table of a boot after a message: rows add up, the newer message wins on the same row.

    A vehicle that exceeds the bound starts over with what it said last.
    """
    rows = {(row.from_boottime_ms, row.source): row for row in known}
    rows |= {(row.from_boottime_ms, row.source): row for row in said}
    if len(rows) > MAX_OFFSETS:
        rows = {(row.from_boottime_ms, row.source): row for row in said}
    return sorted(rows.values())


def pieces(table: Iterable[Offset]) -> list[Piece]:
    """The best source's rows, the first of which also dates what came before it."""
    rows = [row for row in table if row.source != "none"]
    if not rows:
        return []
    best = max(OFFSET_RANK.index(row.source) for row in rows)
    rows = sorted(row for row in rows if row.source == OFFSET_RANK[best])
    begins = [0, *(row.from_boottime_ms for row in rows[1:])]
    ends = [*begins[1:], MAX_TIME_MS + 1]
    return [
        Piece(begin, end, row.utc_offset_ms)
        for begin, end, row in zip(begins, ends, rows, strict=True)
        if begin < end
    ]


def utc_ms(at_boottime_ms: int, dated: Sequence[Piece]) -> int | None:
    """UTC in ms of a moment of the boot; None where nothing is known."""
    if not dated:
        return None
    at = bisect_right(dated, at_boottime_ms, key=lambda piece: piece.begin_ms) - 1
    return at_boottime_ms + dated[at].utc_offset_ms


def news(before: Sequence[Piece], after: Sequence[Piece]) -> list[Piece]:
    """The pieces of `after` that date some moment otherwise than `before` did."""
    return [
        piece
        for piece in after
        if not any(
            old.utc_offset_ms == piece.utc_offset_ms
            and old.begin_ms <= piece.begin_ms
            and piece.end_ms <= old.end_ms
            for old in before
        )
    ]
