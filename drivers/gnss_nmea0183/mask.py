"""A raw log without the place: positions shifted by a secret offset, no other trace. Pure.

The first position is moved to a random place on Earth and all later ones by the same angles, so
what is left is the shape of the drive and its times. Only what is known to be free of places, or
can be freed of them, is kept: sky positions of satellites, raw measurements, station numbers and
unknown messages tell where a receiver is.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from functools import reduce
from operator import xor
from types import MappingProxyType

import msgspec

from drivers.gnss_nmea0183.condition import parse_txt
from drivers.gnss_nmea0183.line import Frame, LineReader, Sentence, fletcher

# Kind -> first field of the position, fields that are emptied (heights, stations, variation).
_SHIFTED: Mapping[str, tuple[int, tuple[int, ...]]] = MappingProxyType(
    {
        "RMC": (3, (10, 11)),
        "GGA": (2, (11, 13, 14)),
        "GNS": (2, (10, 11, 12)),
        "GLL": (1, ()),
    }
)
_HEIGHT = {"GGA": 9, "GNS": 9}
_KEPT = frozenset({"VTG", "GSA", "ZDA", "GST"})
_UBX_KEPT = frozenset({(0x01, 0x04), (0x01, 0x20), (0x0A, 0x09), (0x0A, 0x38), (0x10, 0x10)})
_PVT = (0x01, 0x07)
_TPV_KEPT = ("class", "mode", "status", "time", "speed", "track", "eph", "epv", "jam")
_SKY_KEPT = ("class", "time", "hdop", "pdop", "vdop", "uSat", "nSat")
_SATELLITE_KEPT = ("PRN", "gnssid", "svid", "ss", "used")
_ANGLE = re.compile(r"(\d{2,3})(\d\d(?:\.\d{0,12})?)", re.ASCII)
_MINUTES = 60
_LATITUDE_MOST = 60 * _MINUTES


class Masker:
    """Masks a stream of bytes piece by piece; `seed` is secret and for tests alone given."""

    def __init__(self, *, json: bool, seed: int | None = None) -> None:
        self._random = random.SystemRandom() if seed is None else random.Random(seed)
        self._reader = LineReader()
        self._json = json
        self._held = b""
        self._north: Decimal | None = None
        self._east = Decimal(0)
        self._up = Decimal(0)

    def feed(self, data: bytes) -> bytes:
        """The masked form of what ends in `data`."""
        if self._json:
            *lines, self._held = (self._held + data).split(b"\n")
            self._held = self._held[-65_536:]
            return b"".join(self._report(line) for line in lines)
        masked = []
        for piece in self._reader.feed(data, 0):
            if isinstance(piece, Sentence):
                masked.append(self._sentence(piece.body))
            else:
                masked.append(self._frame(piece))
        return b"".join(masked)

    def _moved(self, latitude: Decimal, longitude: Decimal) -> tuple[Decimal, Decimal] | None:
        """Signed minutes moved; None where that is beyond the poles."""
        if self._north is None:
            span = _LATITUDE_MOST * 1000
            self._north = Decimal(self._random.randrange(-span, span)) / 1000 - latitude
            half = 180 * _MINUTES * 1000
            self._east = Decimal(self._random.randrange(-half, half)) / 1000 - longitude
            self._up = Decimal(self._random.randrange(-2000, 2000)) / 10
        north, half_turn = latitude + self._north, 180 * _MINUTES
        east = (longitude + self._east + half_turn) % (2 * half_turn)
        east = (east if east >= 0 else east + 2 * half_turn) - half_turn
        return None if abs(north) >= 90 * _MINUTES else (north, east)

    def _sentence(self, body: str) -> bytes:
        fields = body.split(",")
        kind = fields[0][2:] if len(fields[0]) == 5 else ""
        if kind in _SHIFTED:
            if not self._shift(kind, fields):
                return b""
        elif kind == "GSV":
            for at in range(4, len(fields) - 3, 4):
                fields[at + 1] = fields[at + 2] = ""
        elif kind not in _KEPT and parse_txt(body) is None:
            return b""
        body = ",".join(fields)
        return f"${body}*{reduce(xor, body.encode('ascii'), 0):02X}\r\n".encode("ascii")

    def _shift(self, kind: str, fields: list[str]) -> bool:
        """Move the position in `fields`; False where something stands there that is none."""
        first, emptied = _SHIFTED[kind]
        for at in (i for i in emptied if i < len(fields)):
            fields[at] = ""
        place = fields[first : first + 4]
        if not any(place):
            return True
        if len(place) < 4:
            return False
        north, east = _ANGLE.fullmatch(place[0]), _ANGLE.fullmatch(place[2])
        if north is None or east is None or place[1] not in "NS" or place[3] not in "EW":
            return False
        latitude = (int(north[1]) * _MINUTES + Decimal(north[2])) * (-1 if place[1] == "S" else 1)
        longitude = (int(east[1]) * _MINUTES + Decimal(east[2])) * (-1 if place[3] == "W" else 1)
        moved = self._moved(latitude, longitude)
        if moved is None:
            return False
        fields[first : first + 4] = [
            _angle(moved[0], 2, north[2]),
            "N" if moved[0] >= 0 else "S",
            _angle(moved[1], 3, east[2]),
            "E" if moved[1] >= 0 else "W",
        ]
        height = _HEIGHT.get(kind, len(fields))
        if height < len(fields) and fields[height]:
            try:
                fields[height] = str(Decimal(fields[height]) + self._up)
            except ArithmeticError:
                return False
        return True

    def _frame(self, frame: Frame) -> bytes:
        key, payload = (frame.class_id, frame.message_id), bytearray(frame.payload)
        if key == _PVT and len(payload) >= 84:
            scale = Decimal(10_000_000) / _MINUTES
            longitude = int.from_bytes(payload[24:28], "little", signed=True) / scale
            latitude = int.from_bytes(payload[28:32], "little", signed=True) / scale
            if latitude or longitude:
                moved = self._moved(latitude, longitude)
                if moved is None:
                    return b""
                payload[24:28] = round(moved[1] * scale).to_bytes(4, "little", signed=True)
                payload[28:32] = round(moved[0] * scale).to_bytes(4, "little", signed=True)
            payload[32:40] = bytes(8)  # heights
            payload[84:92] = payload[84:88] + bytes(len(payload[88:92]))  # magnetic declination
        elif key not in _UBX_KEPT:
            return b""
        covered = bytes((*key, *len(payload).to_bytes(2, "little"))) + bytes(payload)
        return b"\xb5\x62" + covered + fletcher(covered)

    def _report(self, line: bytes) -> bytes:
        try:
            report = msgspec.json.decode(line[line.find(b"{") :])
        except (msgspec.DecodeError, RecursionError, ValueError):
            return b""
        if not isinstance(report, dict) or report.get("class") not in ("TPV", "SKY"):
            return b""
        keys = _TPV_KEPT if report["class"] == "TPV" else _SKY_KEPT
        kept = {key: report[key] for key in keys if key in report}
        latitude, longitude = report.get("lat"), report.get("lon")
        if isinstance(latitude, float) and isinstance(longitude, float):
            moved = self._moved(Decimal(latitude) * _MINUTES, Decimal(longitude) * _MINUTES)
            if moved is None:
                return b""
            kept["lat"], kept["lon"] = (round(float(m) / _MINUTES, 9) for m in moved)
        seen = report.get("satellites")
        if isinstance(seen, list):
            kept["satellites"] = [
                {key: one[key] for key in _SATELLITE_KEPT if key in one}
                for one in seen
                if isinstance(one, dict)
            ]
        return msgspec.json.encode(kept) + b"\n"


def _angle(minutes: Decimal, width: int, like: str) -> str:
    """`dddmm.mmmm` of the absolute angle, with as many decimals as `like` has."""
    step = Decimal(1).scaleb(-len(like.partition(".")[2]))
    whole, rest = divmod(abs(minutes).quantize(step, ROUND_DOWN), _MINUTES)
    return f"{int(whole):0{width}d}{rest:0{len(like)}f}"
