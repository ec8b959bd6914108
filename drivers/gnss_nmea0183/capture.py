"""A recorded file of a receiver or of gpsd -> its fixes as plain mappings, for `brain decode`."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drivers.gnss_nmea0183.epoch import Fix
from drivers.gnss_nmea0183.fix import FixDecoder
from drivers.gnss_nmea0183.gpsd import MAX_LINE, GpsdDecoder
from drivers.gnss_nmea0183.plausibility import JumpGuard

_CHUNK = 65_536
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REPORT = re.compile(rb'[^#{]*\{[^\n]*"class"\s*:\s*"TPV"')


def decode_file(path: Path) -> Iterator[Mapping[str, object]]:
    """One mapping a fix, in the order of the file; `.gz` is read as well.

    Reads NMEA 0183, UBX, both mixed, and the JSON of gpsd; a file that holds reports of gpsd is
    read for them alone. What a logger wrote before a sentence on its line, comments and noise are
    passed over. Where not one sentence has a checksum, whole lines without are taken. A file has no
    pauses, so an epoch ends where the time changes; one that the end of the file cuts off is not
    given. Dates stay as they are stated: week rollovers are for live receivers. Raises ValueError
    where the file is a broken gzip or holds nothing of all that, OSError where it cannot be read.
    """
    if _has_reports(path):
        yield from _fixes(path, GpsdDecoder())
        return
    decoder = FixDecoder()
    yield from _fixes(path, decoder)
    if decoder.sentences_read == 0:
        decoder = FixDecoder(unsealed=True)
        yield from _fixes(path, decoder)
    if decoder.sentences_read == 0:
        raise ValueError(
            f"{path}: no NMEA 0183 sentence with a right checksum, no UBX frame and no report of "
            'gpsd in it; expected lines like $GPRMC,...*5A or {"class":"TPV",...}'
        )


def _fixes(path: Path, decoder: FixDecoder | GpsdDecoder) -> Iterator[Mapping[str, object]]:
    guard = JumpGuard()
    for data in _chunks(path):
        for fix in decoder.feed(data, 0):
            yield describe(fix, guard.step(fix))
    for fix in decoder.end() if isinstance(decoder, FixDecoder) else decoder.quiet():
        yield describe(fix, guard.step(fix))


def describe(fix: Fix, plausible: bool | None = None) -> dict[str, object]:
    """A fix as `brain decode` prints it; None where unknown.

    `time` is RFC 3339 UTC with milliseconds; the leap second 23:59:60 is the second after it.
    `plausible` is there where it is False: the vehicle cannot have come there from where it was.
    """
    line: dict[str, object] = {
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
    if plausible is False:
        line["plausible"] = False
    return line


def _rfc3339(utc_ms: int) -> str:
    try:
        utc = _EPOCH + timedelta(milliseconds=utc_ms)
    except OverflowError:
        return "9999-12-31T23:59:59.999Z"
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _has_reports(path: Path) -> bool:
    """Whether a line that is no comment holds a TPV report of gpsd."""
    held = b""
    for data in _chunks(path):
        *lines, held = (held + data).split(b"\n")
        if any(_REPORT.match(line) for line in lines):
            return True
        held = held[-MAX_LINE:]
    return _REPORT.match(held) is not None


def _chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, unpacked; UTF-16, which Windows shells write, without its zeros."""
    wide = None
    for data in _raw_chunks(path):
        if wide is None:
            wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        yield data.replace(b"\x00", b"") if wide else data


def _raw_chunks(path: Path) -> Iterator[bytes]:
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
