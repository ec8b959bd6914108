"""Real captures for the simulated wires: candump logs and NMEA logs as emissions without writings.

Files may be gzipped. Each is read to its end before the first emission, so that a corrupt one is
refused when the run starts and not in the middle of it.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from simulator.emission import Emission
from simulator.wires.nmea_pty import BYTES_PER_S

CANDUMP = re.compile(
    rb"\((?P<time>\d+\.\d+)\) +\S+ +(?P<id>[0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#"
    rb"(?:(?P<data>(?:[0-9A-Fa-f]{2}){0,8})|(?P<remote>R)(?P<length>[0-8])?)(?: +[RT])?"
)
"""A line of `candump -L`: (seconds) interface identifier#data, R for a remote frame."""

HIGHEST_ID = {3: 0x7FF, 8: 0x1FFFFFFF}

TIMED = re.compile(
    rb"\$[A-Z]{2}(?:RMC|GGA|GNS|ZDA),(\d{6}(?:\.\d+)?),|\$[A-Z]{2}GLL,(?:[^,]*,){4}"
    rb"(\d{6}(?:\.\d+)?),"
)
"""Sentences that state the time of day, and that time."""

SENTENCE = re.compile(rb"\$[A-Z]{5},")
"""A file without any such is no receiver's log."""

LONGEST_BURST = 8_192
"""Bytes after which a burst ends even without a new time: some logs are binary throughout."""

MARGIN = 1.05
"""Room that a burst longer than its second leaves before the next."""


class ReplayError(ValueError):
    """A capture cannot be played; the text names file, line and what was expected."""


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Line numbers from 1 and lines without their ends."""
    number = 0
    try:
        with path.open("rb") as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as log:
            for number, line in enumerate(log, 1):
                yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise ReplayError(
            f"{path}: line {number + 1}: the compressed file is damaged or cut off ({e})"
        ) from e
    except OSError as e:
        raise ReplayError(f"{path}: {e.strerror or e}. Give a file that can be read.") from e


def _frames(path: Path) -> Iterator[tuple[float, bytes]]:
    """Capture seconds and SLCAN lines."""
    for number, line in _lines(path):
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        match = CANDUMP.fullmatch(text)
        if match is None or int(match["id"], 16) > HIGHEST_ID[len(match["id"])]:
            shown = text[:60].decode("ascii", "backslashreplace")
            raise ReplayError(
                f"{path}: line {number}: {shown!r} is not a line of candump -L, "
                "such as (1700000000.000000) can0 18FEF100#FF0032FFFFFFFFFF"
            )
        extended = len(match["id"]) == 8
        if match["remote"]:
            kind = b"R" if extended else b"r"
            rest = match["length"] or b"0"
        else:
            kind = b"T" if extended else b"t"
            rest = b"%d%s" % (len(match["data"]) // 2, match["data"].upper())
        yield float(match["time"]), kind + match["id"].upper() + rest + b"\r"


def count_frames(path: Path) -> int:
    """Frames in a candump log. Raises ReplayError at the first line that is none."""
    return sum(1 for _ in _frames(path))


def replay_can(path: Path, speed: float = 1.0, *, source: str = "fms") -> Iterator[Emission]:
    """The frames of a candump log (`candump -L`, plain or gzipped) in their original timing.

    Second 0 is the first frame; time that goes back stands still instead. `speed` 2 halves all
    intervals. Raises ReplayError for a file that has no frame or a line that is none.
    """
    if count_frames(path) == 0:
        raise ReplayError(f"{path}: holds no frame. Expected lines as candump -L writes them.")
    return _play_can(path, speed, source)


def _play_can(path: Path, speed: float, source: str) -> Iterator[Emission]:
    first: float | None = None
    at_s = 0.0
    for seconds, line in _frames(path):
        if first is None:
            first = seconds
        at_s = max(at_s, round((seconds - first) / speed, 6))
        yield Emission(source, at_s, line)


def _bursts(path: Path) -> Iterator[bytes]:
    """Bytes of a receiver from one time of day to the next; comment lines are left out."""
    burst = bytearray()
    timed: bytes | None = None
    for _, line in _lines(path):
        if line.startswith(b"#"):
            continue
        match = TIMED.search(line)
        time = (match[1] or match[2]) if match else None
        changed = time is not None and timed is not None and float(time) != float(timed)
        if burst and (changed or len(burst) + len(line) > LONGEST_BURST):
            yield bytes(burst)
            burst.clear()
        timed = time or timed
        burst += line
    if burst:
        yield bytes(burst)


def count_bursts(path: Path) -> int:
    """Bursts in an NMEA log. Raises ReplayError where it cannot be read."""
    return sum(1 for _ in _bursts(path))


def replay_nmea(path: Path, speed: float = 1.0, *, source: str = "gnss") -> Iterator[Emission]:
    """A receiver's log, plain or gzipped, one burst a second whatever its own rate was.

    A burst ends where the time of day changes. One that 9600 baud cannot carry in a second gets
    the time it needs. Bytes that are no sentence go out as they are: receivers send such too.
    Raises ReplayError for a file that cannot be read or has no sentence.
    """
    if not any(SENTENCE.search(burst) for burst in _bursts(path)):
        raise ReplayError(f"{path}: holds no NMEA sentence. Expected lines such as $GPRMC,...*hh")
    return _play_nmea(path, speed, source)


def _play_nmea(path: Path, speed: float, source: str) -> Iterator[Emission]:
    at_s = 0.0
    for burst in _bursts(path):
        yield Emission(source, round(at_s / speed, 6), burst)
        at_s += max(1.0, MARGIN * len(burst) / BYTES_PER_S)
