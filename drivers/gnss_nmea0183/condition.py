"""The state of antenna and jamming, where a receiver tells. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from drivers.gnss_nmea0183.fields import talker_and_kind

ANTENNA_BY_CODE = {0: "unknown", 1: "unknown", 2: "ok", 3: "short", 4: "open"}
"""u-blox: being initialised, unknown, ok, short, open."""
JAMMING_BY_CODE = {0: "unknown", 1: "ok", 2: "warning", 3: "critical"}
"""u-blox: unknown or off, ok, warning (fix ok), critical (no fix)."""
FUSION_BY_CODE = {0: "initializing", 1: "fusion", 2: "suspended", 3: "disabled"}
_WORST_ANTENNA = ("short", "open", "ok", "unknown")
_WORST_JAMMING = ("critical", "warning", "ok", "unknown")

# u-blox "ANTSTATUS=OK"; Unicore, Zhongke (ATGM) and Allystar "ANTENNA OPEN".
_ANTENNA_TEXT = re.compile(r"ANT(?:STATUS\s*=|ENNA)\s*(OK|OPEN|SHORT|INIT|DONTKNOW)\b")
_ANTENNA_WORD = {"OK": "ok", "OPEN": "open", "SHORT": "short"}


@dataclass(frozen=True, slots=True)
class Condition:
    """What a message says of the receiver itself; None where it says nothing.

    `antenna`: ok, open, short, unknown. `jamming`: ok, warning, critical, unknown.
    `jamming_percent`: strength of a narrow-band disturber. `fusion`: initializing, fusion,
    suspended, disabled (receivers with sensors).
    """

    antenna: str | None = None
    jamming: str | None = None
    jamming_percent: float | None = None
    fusion: str | None = None


def parse_txt(body: str) -> Condition | None:
    """The antenna in a text sentence (`GNTXT,01,01,02,ANTSTATUS=OK`), None in all others."""
    if talker_and_kind(body)[1] != "TXT":
        return None
    match = _ANTENNA_TEXT.search(body.upper())
    return None if match is None else Condition(_ANTENNA_WORD.get(match[1], "unknown"))


def worst(conditions: list[Condition]) -> Condition:
    """Several antennas or radio blocks as one: the worst that any of them says."""
    antennas = {c.antenna for c in conditions}
    jammings = {c.jamming for c in conditions}
    levels = [c.jamming_percent for c in conditions if c.jamming_percent is not None]
    return Condition(
        next((word for word in _WORST_ANTENNA if word in antennas), None),
        next((word for word in _WORST_JAMMING if word in jammings), None),
        max(levels, default=None),
    )
