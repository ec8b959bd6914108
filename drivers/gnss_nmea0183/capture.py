"""A recorded file of a receiver -> its fixes as plain mappings, for `brain decode`."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drivers.gnss_nmea0183.epoch import Fix
from drivers.gnss_nmea0183.fix import FixDecoder

_CHUNK = 65_536
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode_file(path: Path) -> Iterator[Mapping[str, object]]:
    """One mapping a fix, in the order of the file; `.gz` is read as well.

    A file has no pauses, so an epoch ends where the time changes. Raises ValueError where the file
    is a broken gzip or holds no sentence at all, OSError where it cannot be read.
    """
    decoder = FixDecoder()
    for data in _chunks(path):
        for fix in decoder.feed(data, 0):
            yield describe(fix)
    last = decoder.quiet()
    if last is not None:
        yield describe(last)
    if decoder.sentences_read == 0:
        raise ValueError(
            f"{path}: no NMEA 0183 sentence with a right checksum in it; "
            "expected lines like $GPRMC,...*5A (binary protocols such as UBX are not read)"
        )


def describe(fix: Fix) -> dict[str, object]:
    """A fix as `brain decode` prints it; None where unknown.

    `time` is RFC 3339 UTC with milliseconds; the leap second 23:59:60 is the second after it.
    """
    return {
        "time": None if fix.utc_ms is None else _rfc3339(fix.utc_ms),
        "lat": fix.latitude,
        "lon": fix.longitude,
        "alt": fix.altitude_m,
        "speed_kmh": fix.speed_kmh,
        "heading": fix.heading,
        "mode": fix.mode,
        "satellites": fix.satellites,
        "hdop": fix.hdop,
    }


def _rfc3339(utc_ms: int) -> str:
    try:
        utc = _EPOCH + timedelta(milliseconds=utc_ms)
    except OverflowError:
        return "9999-12-31T23:59:59.999Z"
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        if not packed:
            while data := plain.read(_CHUNK):
                yield data
            return
        try:
            with gzip.open(plain) as unpacked:
                while data := unpacked.read(_CHUNK):
                    yield data
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: broken gzip file: {error}") from error
