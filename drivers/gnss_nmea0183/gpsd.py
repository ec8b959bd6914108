"""gpsd's JSON reports -> fixes, sky and jamming. Pure and total: bytes in, values out.

Source: gpsd_json(5). A TPV is a whole epoch; SKY says how many satellites stand behind the next.
Unknown classes and keys are left alone, whatever the version of gpsd.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite

import msgspec

from drivers.gnss_nmea0183.condition import Condition
from drivers.gnss_nmea0183.epoch import Fix
from drivers.gnss_nmea0183.fields import calendar_date
from drivers.gnss_nmea0183.sky import Listing, Sky
from drivers.gnss_nmea0183.utc import DAY_0, DAY_MS

MAX_LINE = 65_536
"""SKY with a hundred satellites has 12 KB, RAW has 30."""

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d{1,9}))?Z", re.ASCII
)
_LATEST_S = 253_402_300_800  # year 10000
_KMH_PER_MS = 3.6
_RTK, _RECKONED = (3, 4), 5
_GNSS = {0: "GP", 1: "SB", 2: "GA", 3: "GB", 4: "GI", 5: "GQ", 6: "GL", 7: "GI"}

Report = Mapping[str, object]


class GpsdDecoder:
    """Reads a stream of JSON lines, as the socket gives it or a log keeps it."""

    def __init__(self) -> None:
        self.sentences_read = 0
        """Objects with a class."""
        self.sentences_rejected = 0
        """Lines that look like an object and are none, or are too long."""
        self.devices: int | None = None
        """How many receivers gpsd has, None until it has said."""
        self.reset()

    def reset(self) -> None:
        """Begin anew, as after connecting; only the counters stay."""
        self._held = b""
        self._skipping = False
        self._last: Fix | None = None
        self._hdop: float | None = None
        self._used: int | None = None
        self.sky = Sky()
        self.condition = Condition()
        self.condition_news = False

    def feed(self, data: bytes, at: int) -> list[Fix]:
        """The fixes that end in `data`; `at` stamps these bytes and comes back in `Fix.at`."""
        *lines, rest = (self._held + data).splitlines(keepends=True) or [b""]
        if rest.endswith((b"\n", b"\r")):
            lines, rest = [*lines, rest], b""
        fixes: list[Fix] = []
        for line in lines:
            if self._skipping:
                self._skipping = False
            elif (fix := self._line(line, at)) is not None:
                fixes.append(fix)
        if len(rest) > MAX_LINE:
            self.sentences_rejected += not self._skipping
            self._skipping, rest = True, b""
        self._held = rest
        return fixes

    def quiet(self) -> list[Fix]:
        """gpsd says nothing: the last line of a log may lack its end."""
        held, self._held = self._held, b""
        fix = None if self._skipping else self._line(held, 0, complete=False)
        if fix is None:
            self._held = held
            return []
        return [fix]

    def _line(self, line: bytes, at: int, *, complete: bool = True) -> Fix | None:
        begin = line.find(b"{")
        if begin < 0 or line.lstrip().startswith(b"#"):
            return None
        try:
            report = msgspec.json.decode(line[begin:])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError):
            self.sentences_rejected += complete
            return None
        if not isinstance(report, dict) or not isinstance(report.get("class"), str):
            return None
        self.sentences_read += 1
        match report["class"]:
            case "TPV":
                return self._fix(report, at)
            case "SKY":
                self._take_sky(report)
            case "DEVICES" if isinstance(report.get("devices"), list):
                self.devices = len(report["devices"])
        return None

    def _fix(self, report: Report, at: int) -> Fix | None:
        mode, status = _whole(report, "mode", 0, 3) or 1, _whole(report, "status", 0, 9)
        jam = _number(report, "jam", 0, 255)
        if jam is not None:
            self.condition = Condition(jamming_percent=round(jam / 2.55, 1))
            self.condition_news = True
        latitude, longitude = _number(report, "lat", -90, 90), _number(report, "lon", -180, 180)
        fixed = mode >= 2 and latitude is not None and longitude is not None
        utc_ms = _utc_ms(report.get("time"))
        if not fixed or latitude is None or longitude is None:
            fix = Fix(at, 1, True, utc_ms, satellites=self._used, hdop=self._hdop)
        else:
            speed = _number(report, "speed", 0, 1e6)
            altitude = _number(report, "altMSL", -1e6, 1e9)
            fix = Fix(
                at,
                mode,
                True,
                utc_ms,
                utc_ms is not None,
                round(latitude, 7),
                round(longitude, 7),
                altitude_m=_number(report, "alt", -1e6, 1e9) if altitude is None else altitude,
                speed_kmh=None if speed is None else round(speed * _KMH_PER_MS, 3),
                heading=_number(report, "track", 0, 360),
                satellites=self._used,
                hdop=self._hdop,
                rtk=status in _RTK,
                accuracy_m=_number(report, "eph", 0, 1e9),
                reckoned=status == _RECKONED,
            )
        if self._repeats(fix):
            return None
        self._last = fix
        self.sky.next_epoch()
        return fix

    def _repeats(self, fix: Fix) -> bool:
        """gpsd reports again and again within an epoch: only another place or mode is news."""
        last = self._last
        if last is None or fix.utc_ms is None or fix.utc_ms != last.utc_ms:
            return False
        here = (fix.mode, fix.latitude, fix.longitude)
        return fix.mode == 1 or here == (last.mode, last.latitude, last.longitude)

    def _take_sky(self, report: Report) -> None:
        self._hdop = _number(report, "hdop", 0.01, 89.99)
        self._used = _whole(report, "uSat", 0, 99)
        seen = report.get("satellites")
        if not isinstance(seen, list):
            return
        strengths: dict[tuple[str, int], float | None] = {}
        for satellite in seen:
            number = _whole(satellite, "PRN", 0, 9999) if isinstance(satellite, dict) else None
            if number is not None:
                system = _GNSS.get(_whole(satellite, "gnssid", 0, 99) or 0, "U")
                strengths[system, number] = _number(satellite, "ss", 0.1, 99)
        self.sky.take(Listing("gpsd", True, len(strengths), strengths))
        if self._used is None:
            self._used = min(99, sum(isinstance(s, dict) and s.get("used") is True for s in seen))


def _number(report: Report, key: str, low: float, high: float) -> float | None:
    value = report.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value) if low <= value <= high else None


def _whole(report: Report, key: str, low: int, high: int) -> int | None:
    value = report.get(key)
    known = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    return value if known and isinstance(value, int) else None


def _utc_ms(time: object) -> int | None:
    """RFC 3339 in Z; gpsd before 2.90 wrote seconds since 1970. Second 60 is the one after it."""
    if isinstance(time, int | float) and not isinstance(time, bool):
        return round(time * 1000) if 0 < time < _LATEST_S else None
    match = _TIME.fullmatch(time) if isinstance(time, str) else None
    if match is None:
        return None
    day = calendar_date(int(match[1]), int(match[2]), int(match[3]))
    if day is None:
        return None
    seconds = (int(match[4]) * 60 + int(match[5])) * 60 + int(match[6])
    fraction_ms = int(((match[7] or "") + "000")[:3])
    return (day.toordinal() - DAY_0) * DAY_MS + seconds * 1000 + fraction_ms
