"""A GNSS receiver in the bus: the world, once a second, as a burst of NMEA 0183 sentences.

RMC, VTG, GGA, two GSA (GPS and GLONASS) and ZDA with talker GN. Values are rounded as the sentences
round them, and a writing is what a reader gets back from exactly these characters.
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from functools import reduce
from operator import xor

from simulator.emission import ActiveFaults, Emission, Scalar, Writing
from simulator.route import METRES_PER_DEGREE
from simulator.world import World

PERIOD_MS = 1_000
DELAY_MS = 60
"""A fix is of the whole second and leaves the receiver a little later."""

COURSE_FROM_KNOTS = 0.3
"""Below this the receiver states no course."""

KMH_PER_KNOT = 1.852
GEOID_M = 14.3

LATITUDE = "Vehicle.CurrentLocation.Latitude"
LONGITUDE = "Vehicle.CurrentLocation.Longitude"
ALTITUDE = "Vehicle.CurrentLocation.Altitude"
HEADING = "Vehicle.CurrentLocation.Heading"
FIX_TYPE = "Vehicle.CurrentLocation.GNSSReceiver.FixType"
SPEED = "Vehicle.Bus.Gnss.Speed"
SATELLITES = "Vehicle.Bus.Gnss.Satellites"
HDOP = "Vehicle.Bus.Gnss.Hdop"
UTC_MS = "Vehicle.Bus.Utc"


def sentence(body: str) -> bytes:
    """`body` between `$` and `*`, with its checksum (exclusive or of all characters)."""
    return f"${body}*{reduce(xor, body.encode('ascii'), 0):02X}\r\n".encode("ascii")


def has_valid_sentence(data: bytes) -> bool:
    """Whether any `$...*hh` in `data` has a right checksum, wherever it begins."""
    for begin in (i for i, byte in enumerate(data) if byte == 0x24):
        star = data.find(b"*", begin)
        while star >= 0:
            want = f"{reduce(xor, data[begin + 1 : star], 0):02X}".encode()
            if data[star + 1 : star + 3].upper() == want:
                return True
            star = data.find(b"*", star + 1)
    return False


def angle(degrees: float, width: int) -> tuple[str, float]:
    """`ddmm.mmmmm` of the absolute angle and the degrees that those characters say, unsigned.

    `width` is the number of digits of the whole degrees. 1e-7 degrees, as a reader rounds it.
    """
    hundred_thousandths = round(abs(degrees) * 60 * 100_000)
    whole, rest = divmod(hundred_thousandths, 60 * 100_000)
    minutes = f"{rest // 100_000:02d}.{rest % 100_000:05d}"
    return f"{whole:0{width}d}{minutes}", round(whole + float(minutes) / 60, 7)


class GnssReceiver:
    """The receiver's own state: its noise and the satellites in view."""

    def __init__(self, seed: int, world: World, source: str = "gnss") -> None:
        self._rng = random.Random(f"gnss {seed}")
        self._seed = seed
        self._world = world
        self._source = source
        self._north_m = 0.0
        self._east_m = 0.0
        self._up_m = 0.0
        self._hdop = 0.9
        self._gps = 8
        self._glonass = 4

    def due(self, at_ms: int) -> bool:
        """Whether a burst leaves at this millisecond."""
        return at_ms % PERIOD_MS == DELAY_MS

    def emit(self, at_ms: int, faults: ActiveFaults) -> Emission:
        """The burst of the last whole second. The world stands at `at_ms`."""
        self._wander()
        if ("tunnel", self._source) in faults:
            data, writings = self._no_fix()
        else:
            data, writings = self._fix(at_ms)
        fix = any(path == LATITUDE for path, _ in writings)
        if ("gnss_garbage", self._source) in faults:
            noise = random.Random(f"garbage {self._seed} {at_ms}")
            if noise.random() < 0.5:
                data = surrounded(data, noise)
            else:
                data, writings, fix = corrupted(data, noise), (), False
        return Emission(self._source, at_ms / 1000, data, writings, fix)

    def _wander(self) -> None:
        """Let error and sky change a little, a step a second."""
        rng = self._rng
        self._north_m = 0.95 * self._north_m + rng.gauss(0.0, 0.25)
        self._east_m = 0.95 * self._east_m + rng.gauss(0.0, 0.25)
        self._up_m = 0.97 * self._up_m + rng.gauss(0.0, 0.3)
        if rng.random() < 0.08:
            self._gps = max(6, min(10, self._gps + rng.choice((-1, 1))))
            self._glonass = max(2, min(6, self._glonass + rng.choice((-1, 1))))
        self._hdop = max(0.6, min(1.9, self._hdop + rng.gauss(0.0, 0.02)))

    def _fix(self, at_ms: int) -> tuple[bytes, tuple[Writing, ...]]:
        world = self._world
        # The world is DELAY_MS past the second that the fix is of.
        place = world.route.at(world.distance_m - world.speed_ms * DELAY_MS / 1000)
        utc_ms = world.utc_start_ms + at_ms - DELAY_MS
        clock = datetime.fromtimestamp(utc_ms // 1000, UTC)
        time, date = f"{clock:%H%M%S}.00", f"{clock:%d%m%y}"
        per_lon = METRES_PER_DEGREE * math.cos(math.radians(place.lat_deg))
        latitude = place.lat_deg + self._north_m / METRES_PER_DEGREE
        longitude = place.lon_deg + self._east_m / per_lon
        lat_text, lat = angle(latitude, 2)
        lon_text, lon = angle(longitude, 3)
        north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
        position = f"{lat_text},{north},{lon_text},{east}"
        altitude = f"{place.elevation_m + self._up_m:.1f}"
        knots = f"{world.speed_kmh / KMH_PER_KNOT:.2f}"
        kmh = round(float(knots) * KMH_PER_KNOT, 3)
        course = f"{place.heading_deg % 360.0:.2f}"
        if course == "360.00":
            course = "0.00"
        if float(knots) < COURSE_FROM_KNOTS:
            course = ""
        used, hdop = self._gps + self._glonass, f"{self._hdop:.2f}"
        vdop, pdop = f"{self._hdop * 1.4:.2f}", f"{self._hdop * 1.72:.2f}"
        data = b"".join(
            (
                sentence(f"GNRMC,{time},A,{position},{knots},{course},{date},,,A,V"),
                sentence(f"GNVTG,{course},T,,M,{knots},N,{kmh:.3f},K,A"),
                sentence(f"GNGGA,{time},{position},1,{used:02d},{hdop},{altitude},M,{GEOID_M},M,,"),
                sentence(f"GNGSA,A,3,{self._used(self._gps, 2)},{pdop},{hdop},{vdop},1"),
                sentence(f"GNGSA,A,3,{self._used(self._glonass, 66)},{pdop},{hdop},{vdop},2"),
                sentence(f"GNZDA,{time},{clock:%d,%m,%Y},00,00"),
            )
        )
        values: dict[str, Scalar] = {
            LATITUDE: lat if north == "N" else -lat,
            LONGITUDE: lon if east == "E" else -lon,
            ALTITUDE: float(altitude),
            SPEED: kmh,
            SATELLITES: used,
            HDOP: float(hdop),
            FIX_TYPE: "THREE_D",
            UTC_MS: utc_ms,
        }
        if course:
            values[HEADING] = float(course)
        return data, tuple(values.items())

    @staticmethod
    def _used(count: int, first: int) -> str:
        """The twelve satellite fields of GSA."""
        return ",".join(f"{first + 2 * i:02d}" if i < count else "" for i in range(12))

    @staticmethod
    def _no_fix() -> tuple[bytes, tuple[Writing, ...]]:
        """What a receiver without sky says: nothing, in well-formed sentences."""
        data = b"".join(
            (
                sentence("GNRMC,,V,,,,,,,,,,N,V"),
                sentence("GNVTG,,T,,M,,N,,K,N"),
                sentence("GNGGA,,,,,,0,,,,M,,M,,"),
                sentence("GNGSA,A,1,,,,,,,,,,,,,,,,1"),
                sentence("GNGSA,A,1,,,,,,,,,,,,,,,,2"),
                sentence("GNZDA,,,,,00,00"),
            )
        )
        return data, ((FIX_TYPE, "NONE"),)


def _noise(rng: random.Random, count: int) -> bytes:
    """Bytes as from a loose plug: anything, and a line end so that the next sentence is whole."""
    while True:
        made = rng.randbytes(count) + b"\r\n"
        if not has_valid_sentence(made):
            return made


def _broken(line: bytes, rng: random.Random) -> bytes:
    """A sentence that no checksum saves: cut, with a wrong checksum, or with a changed byte."""
    while True:
        match rng.randrange(3):
            case 0:
                made = line[: rng.randrange(1, len(line) - 5)] + b"\r\n"
            case 1:
                made = (
                    line[:-4] + f"{int(line[-4:-2], 16) ^ rng.randrange(1, 256):02X}\r\n".encode()
                )
            case _:
                spot = rng.randrange(1, len(line) - 5)
                made = line[:spot] + bytes((line[spot] ^ rng.randrange(1, 128),)) + line[spot + 1 :]
        if not has_valid_sentence(made):
            return made


def surrounded(data: bytes, rng: random.Random) -> bytes:
    """All sentences of `data`, whole and in order, with noise around and broken ones between."""
    lines = data.splitlines(keepends=True)
    made = [_noise(rng, rng.randrange(10, 120))]
    for line in lines:
        if rng.random() < 0.3:
            made.append(_broken(rng.choice(lines), rng))
        made.append(line)
    made.append(_noise(rng, rng.randrange(10, 120)))
    return b"".join(made)


def corrupted(data: bytes, rng: random.Random) -> bytes:
    """`data` with every sentence broken."""
    while True:
        made = [_broken(line, rng) for line in data.splitlines(keepends=True)]
        made.insert(rng.randrange(len(made) + 1), _noise(rng, rng.randrange(10, 120)))
        whole = b"".join(made)
        if not has_valid_sentence(whole):
            return whole
