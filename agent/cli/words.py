"""Numbers for people: counts, ages, sizes, times."""

from __future__ import annotations

from datetime import datetime


def count(number: int | float) -> str:
    """1284220 -> "1 284 220"."""
    return f"{number:,.0f}".replace(",", " ")


def duration(seconds: float) -> str:
    """The two largest units: "0.4 s", "42 s", "4 min 10 s", "2 h 14 min", "3 d 4 h"."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    for unit_s, unit, part_s, part in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= unit_s:
            return f"{whole // unit_s} {unit} {whole % unit_s // part_s} {part}"
    return f"{whole} s"


def size(nbytes: float) -> str:
    """Decimal units: "312 B", "41 kB", "1.5 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 999.5 or unit == "GB":
            return (
                f"{nbytes:.1f} {unit}" if nbytes < 9.95 and unit != "B" else f"{nbytes:.0f} {unit}"
            )
        nbytes /= 1000
    raise AssertionError


def clock_time(rfc3339: str) -> str:
    """Local time of day with milliseconds of an RFC 3339 time; the text itself if it is none."""
    try:
        moment = datetime.fromisoformat(rfc3339).astimezone()
    except ValueError:
        return rfc3339
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def value(scalar: object, unit: str = "", digits: int = 10) -> str:
    """A signal's value: floats to so many digits, without the noise of the last ones."""
    if isinstance(scalar, bool):
        return "true" if scalar else "false"
    text = f"{scalar:.{digits}g}" if isinstance(scalar, float) else str(scalar)
    return f"{text} {unit}" if unit else text


def shortened(text: str, width: int) -> str:
    """At most `width` characters, the end marked where something is missing."""
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."
