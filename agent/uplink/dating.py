"""Which rows of a boot's table of UTC offsets a batch carries: those that date its records. Pure.

The table grows by some 20 rows a day, the far end keeps what it was told. So a batch has, of each
boot in it, the first row of each source (the best source's dates all that came before it), the
rows that were in effect while its records were captured, and the newest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.clock import OffsetRow, OffsetSource

MARGIN_MS = 120_000
"""Before the first record: a row may begin earlier than the commit that brought it."""


def rows_for(table: Sequence[OffsetRow], spans: Mapping[str, tuple[int, int]]) -> list[OffsetRow]:
    """Rows for records of some boots, in order. `spans`: boot -> first and last boot time in ms."""
    kept: list[OffsetRow] = []
    for boot, (first_ms, last_ms) in spans.items():
        rows = sorted((r for r in table if r.boot == boot), key=lambda r: r.from_boottime_ms)
        kept += [row for row in rows if row in _needed(rows, first_ms - MARGIN_MS, last_ms)]
    return kept


def _needed(rows: list[OffsetRow], first_ms: int, last_ms: int) -> set[OffsetRow]:
    needed: set[OffsetRow] = set()
    for source in OffsetSource:
        mine = [row for row in rows if row.source is source]
        if not mine:
            continue
        began = [row for row in mine if row.from_boottime_ms <= first_ms]
        needed.update((mine[0], mine[-1], *began[-1:]))
        needed.update(row for row in mine if first_ms < row.from_boottime_ms <= last_ms)
    return needed
