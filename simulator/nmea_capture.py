"""Bursts of a recorded GNSS receiver, with the logger's stamps where it put some before the lines.

Comments and gpsd's JSON reports are left out; bytes that are no sentence stay, receivers send such.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from simulator.capture_file import ReplayError, lines

_TIMED = re.compile(
    rb"\$[A-Z]{2}(?:RMC|GGA|GNS|ZDA),(\d{6}(?:\.\d+)?),|\$[A-Z]{2}GLL,(?:[^,]*,){4}"
    rb"(\d{6}(?:\.\d+)?),"
)
"""Sentences that state the time of day, and that time."""

_SENTENCE = re.compile(rb"[$!][A-Z]{5},|\$P[A-Z]{3}")
"""A file without any such is no receiver's log."""

_STAMP = re.compile(
    rb"[\[(\"]?(?:"
    rb"(?P<epoch>\d{9,10}(?:\.\d{1,9})?)|(?P<epoch_ms>\d{12,13})"
    rb"|(?P<iso>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)(?:Z|[+-]\d\d:?\d\d)?"
    rb"|(?P<clock>\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)"
    rb"|(?P<ctime>[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})"
    rb")[\])\"]?[ \t,;:|>-]{1,4}(?=[$!])"
)
"""What loggers write before a sentence."""

LONGEST_BURST = 8_192
"""Bytes after which a burst ends even without a new time: some logs are binary throughout."""

_DAY_S = 86_400


class Burst(NamedTuple):
    """Bytes of a receiver from one time of day to the next.

    `seconds` is the logger's stamp of its first line, None where it has none.
    """

    seconds: float | None
    data: bytes


def bursts(path: Path) -> Iterator[Burst]:
    """The bursts of a log. Raises ReplayError where it cannot be read."""
    burst = bytearray()
    stamp: float | None = None
    timed: bytes | None = None
    clock = _Clock()
    for _, text in lines(path):
        if text.startswith((b"#", b'{"class"')):
            continue
        prefix = _STAMP.match(text)
        seconds = clock.seconds(prefix) if prefix else None
        line = text[prefix.end() :] if prefix else text
        match = _TIMED.search(line)
        time = (match[1] or match[2]) if match else None
        changed = time is not None and timed is not None and float(time) != float(timed)
        if burst and (changed or len(burst) + len(line) > LONGEST_BURST):
            yield Burst(stamp, bytes(burst))
            burst.clear()
        if not burst:
            stamp = seconds
        timed = time or timed
        burst += line
    if burst:
        yield Burst(stamp, bytes(burst))


def require_sentences(path: Path) -> None:
    """Raises ReplayError for a file that cannot be read or has no sentence."""
    if not any(_SENTENCE.search(burst.data) for burst in bursts(path)):
        raise ReplayError(
            f"{path}: holds no NMEA sentence. Expected lines such as $GPRMC,...*hh "
            "(of gpsd, record with gpspipe -r: its JSON is not what a serial port carries)"
        )


class _Clock:
    """Seconds of stamps; a time of day goes on beyond midnight."""

    def __init__(self) -> None:
        self._days = 0
        self._last = 0.0

    def seconds(self, stamp: re.Match[bytes]) -> float | None:
        if stamp["epoch"]:
            return float(stamp["epoch"])
        if stamp["epoch_ms"]:
            return int(stamp["epoch_ms"]) / 1000
        text = (stamp["iso"] or stamp["ctime"] or stamp["clock"]).decode().replace(",", ".")
        try:
            if stamp["ctime"]:
                when = datetime.strptime(text, "%a %b %d %H:%M:%S %Y")
            elif stamp["iso"]:
                when = datetime.fromisoformat(text[:26])
            else:
                return self._of_day(text)
        except ValueError:
            return None
        return when.replace(tzinfo=UTC).timestamp()

    def _of_day(self, text: str) -> float:
        hours, minutes, seconds = text.split(":")
        of_day = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        if of_day < self._last - _DAY_S / 2:
            self._days += 1
        self._last = of_day
        return self._days * _DAY_S + of_day
