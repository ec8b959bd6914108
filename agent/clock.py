"""The clocks of the box: its boot, boot time, and the table that turns boot time into UTC.

Nothing here or elsewhere deletes or orders by wall-clock time; a bus boots in a depot with a flat
RTC and no sky. Records carry boot time, the table `OffsetRow` says what that was in UTC.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

# No clock that says less than this is believed: GNSS week rollover, a flat RTC battery.
BUILD_UTC_MS = 1_793_491_200_000  # 2026-11-01T00:00:00Z
HORIZON_MS = 20 * 366 * 86_400_000
"""A clock further ahead of the build than this is not believed either (rollover forwards)."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BOOT_ID_FORM = re.compile(r"[0-9a-f]{32}")


class OffsetSource(StrEnum):
    """Where a UTC offset came from, worst first."""

    NONE = "none"
    RTC = "rtc"
    VEHICLE = "vehicle"
    NTP = "ntp"
    GNSS = "gnss"


@dataclass(frozen=True, slots=True)
class OffsetRow:
    """From `from_boottime_ms` of boot `boot` on, UTC in ms = boot time in ms + `utc_offset_ms`.

    `utc_offset_ms` has no meaning where `source` is `none`.
    """

    boot: str
    from_boottime_ms: int
    utc_offset_ms: int
    source: OffsetSource


def boottime_ms() -> int:
    """CLOCK_BOOTTIME in ms: monotonic, counts suspend, starts anew at each boot."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def boot_id(environ: Mapping[str, str] | None = None) -> str:
    """The kernel's random id of this boot, 32 hex digits.

    The unit passes it as BRAIN_BOOT_ID: its sandbox hides /proc/sys. Raises OSError where neither
    is there.
    """
    given = (os.environ if environ is None else environ).get("BRAIN_BOOT_ID", "")
    if _BOOT_ID_FORM.fullmatch(given):
        return given
    return _BOOT_ID.read_text().strip().replace("-", "")


def believable(utc_ms: int) -> bool:
    """Whether a UTC time in ms lies between the build date and 20 years after it."""
    return BUILD_UTC_MS <= utc_ms <= BUILD_UTC_MS + HORIZON_MS


def system_offset(boot: str) -> OffsetRow:
    """What the system clock says at this moment, as the first row of a boot.

    Source `ntp` where systemd-timesyncd or chrony say that they are synchronised, `rtc` where the
    wall clock is believable, `none` elsewhere.
    """
    now_boot = boottime_ms()
    wall_ms = time.time_ns() // 1_000_000
    if not believable(wall_ms):
        return OffsetRow(boot, 0, 0, OffsetSource.NONE)
    synced = Path("/run/systemd/timesync/synchronized").exists()
    source = OffsetSource.NTP if synced else OffsetSource.RTC
    return OffsetRow(boot, 0, wall_ms - now_boot, source)


def utc_ms(table: Iterable[OffsetRow], boot: str, at_boottime_ms: int) -> int | None:
    """UTC in ms of a moment of a boot by the best knowledge in `table`; None where none is known.

    The best source of that boot wins; among its rows the newest that began by then, else the
    first: a late fix dates what was captured before it.
    """
    rows = [r for r in table if r.boot == boot and r.source is not OffsetSource.NONE]
    if not rows:
        return None
    rank = list(OffsetSource)
    best = max(rank.index(r.source) for r in rows)
    rows = sorted(
        (r for r in rows if rank.index(r.source) == best), key=lambda r: r.from_boottime_ms
    )
    chosen = rows[0]
    for row in rows:
        if row.from_boottime_ms <= at_boottime_ms:
            chosen = row
    return at_boottime_ms + chosen.utc_offset_ms


AGREED_MS = 3_600_000
"""A wall clock this near to a better one is as good for judging certificates."""
_GOOD = (OffsetSource.NTP, OffsetSource.GNSS)


def certificates_utc_ms(
    table: Iterable[OffsetRow], boot: str, at_boottime_ms: int, wall_ms: int
) -> int | None:
    """The UTC in ms at which certificates are to be judged; None: the wall clock will do.

    What GNSS or NTP say in this boot counts. Without them it is not earlier than the build, nor
    than the latest moment that GNSS or NTP have dated in any boot: a box whose battery is flat
    knows at least that. A floor from another boot never overrules a fix of this one: a single wrong
    fix, years ahead, would lock the vehicle out for ever.
    """
    good = [row for row in table if row.source in _GOOD]
    known = utc_ms(good, boot, at_boottime_ms)
    if known is not None:
        return None if abs(known - wall_ms) <= AGREED_MS else known
    floor = max([BUILD_UTC_MS, *(row.from_boottime_ms + row.utc_offset_ms for row in good)])
    return None if believable(wall_ms) and wall_ms >= floor else floor
