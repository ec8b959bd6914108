"""Boot times in UTC, by the clocks that this boot has known so far."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from agent import clock
from agent.processors.clock import ClockTable


class Dates:
    """Reads the table of UTC offsets; from any thread."""

    def __init__(self, table: ClockTable, boot: str) -> None:
        self._table = table
        self._boot = boot

    def text(self, boottime_ms: int) -> str | None:
        """A boot time of this boot as RFC 3339 UTC; None where no clock is known."""
        utc_ms = clock.utc_ms(self._table.rows, self._boot, boottime_ms)
        if utc_ms is None:
            return None
        stamp = datetime.fromtimestamp(utc_ms / 1000, UTC).isoformat(timespec="milliseconds")
        return stamp.replace("+00:00", "Z")

    def now_ms(self) -> int | None:
        """The present in ms of UTC; None where no clock is known."""
        return clock.utc_ms(self._table.rows, self._boot, clock.boottime_ms())

    def certificates_ms(self) -> int | None:
        """The moment in ms of UTC at which certificates are judged; None: by the system clock."""
        return clock.certificates_utc_ms(
            self._table.rows, self._boot, clock.boottime_ms(), time.time_ns() // 1_000_000
        )
