"""Damaged input by the million: no exception, no invented fix, bounded memory.

    python -m tests.drivers.gnss_nmea0183.fuzz [--inputs 1000000] [--seed 1]

An input is a burst of a receiver or some reports of gpsd with one or more things done to it. Every
place in a good burst lies in one small square, every place in a damaged one as well, or in none:
what comes out must be a place that went in whole. A checksum of eight bits lets one damaged
sentence in 256 through, so damage is put in where the checksum is known to be wrong after it.
A piece (a sentence, a frame, a report, damaged or not) counts as one input.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import tracemalloc
from dataclasses import dataclass, field
from functools import reduce
from operator import xor

from drivers.gnss_nmea0183.fix import FixDecoder
from drivers.gnss_nmea0183.gpsd import GpsdDecoder
from drivers.gnss_nmea0183.plausibility import JumpGuard
from drivers.gnss_nmea0183.values import condition_values, sky_values, values_of
from tests.drivers.gnss_nmea0183.frames import mon_hw, nav_sat, pvt, sol, timegps

MOST_GROWTH_BYTES = 4_000_000


def sealed(body: bytes) -> bytes:
    return b"$%s*%02X\r\n" % (body, reduce(xor, body, 0))


def place(rng: random.Random) -> tuple[float, float, bytes]:
    """A place between 44 and 45 north, 9 and 10 east, and how NMEA writes it."""
    north, east = rng.randrange(6_000_000), rng.randrange(6_000_000)
    text = b"44%02d.%05d,N,009%02d.%05d,E" % (*divmod(north, 100_000), *divmod(east, 100_000))
    return round(44 + north / 6e6, 7), round(9 + east / 6e6, 7), text


@dataclass
class Stream:
    """What is fed to one decoder, and the places that went in whole."""

    rng: random.Random
    whole: set[tuple[float, float]] = field(default_factory=set)
    second: int = 0

    def burst(self) -> list[bytes]:
        """The pieces of a good burst."""
        self.second = (self.second + 1) % 60
        lat, lon, text = place(self.rng)
        self.whole.add((lat, lon))
        clock = b"1200%02d.00" % self.second
        pieces = [
            sealed(b"GNRMC,%s,A,%s,10.0,90.0,010127,,,A" % (clock, text)),
            sealed(b"GNGGA,%s,%s,1,09,0.8,11.5,M,2.0,M,," % (clock, text)),
            sealed(b"GNGSA,A,3,01,02,03,,,,,,,,,,1.7,0.8,1.5,1"),
            sealed(b"GPGSV,1,1,02,05,45,180,40,07,30,090,35"),
            sealed(b"GNTXT,01,01,02,ANTSTATUS=OK"),
            pvt(self.second, (lat, lon)),
            nav_sat((0, 5, 40), (2, 7, 30)),
            mon_hw(2, 1, 51),
            timegps(475_200_000 + self.second * 1000, 18),
            sol(475_200_000 + self.second * 1000, (0.0, 0.0, 0.0), flags=0),
        ]
        return self.rng.sample(pieces, self.rng.randrange(1, len(pieces) + 1))

    def damaged(self, piece: bytes) -> bytes:
        """One piece, cut, changed, or with something put in; never right again by chance."""
        rng = self.rng
        while True:
            at = rng.randrange(len(piece))
            match rng.randrange(6):
                case 0:
                    made = piece[:at]
                case 1:
                    made = piece[at:]
                case 2:
                    made = (
                        piece[:at] + bytes((piece[at] ^ 1 << rng.randrange(8),)) + piece[at + 1 :]
                    )
                case 3:
                    made = piece[:at] + rng.randbytes(rng.randrange(1, 9)) + piece[at:]
                case 4:
                    made = piece[:at] + piece[rng.randrange(len(piece)) :]
                case _:
                    made = rng.randbytes(rng.randrange(1, 300))
            if not self._holds_a_sentence(made) or made == piece:
                return made

    def _holds_a_sentence(self, made: bytes) -> bool:
        """Whether damage left a sentence that is right by its own checksum (1 in 256 do)."""
        for begin in (i for i, byte in enumerate(made) if byte == 0x24):
            star = made.find(b"*", begin)
            want = made[star + 1 : star + 3]
            if star > 0 and want.upper() == b"%02X" % reduce(xor, made[begin + 1 : star], 0):
                return True
        return False


def nmea_and_ubx(stream: Stream) -> list[bytes]:
    """A burst with some of its pieces damaged."""
    return [stream.damaged(p) if stream.rng.random() < 0.4 else p for p in stream.burst()]


def reports(stream: Stream) -> bytes:
    rng = stream.rng
    lat, lon, _ = place(rng)
    stream.whole.add((lat, lon))
    good = b'{"class":"TPV","mode":3,"time":"2027-01-01T12:00:00Z","lat":%.7f,"lon":%.7f}\n' % (
        lat,
        lon,
    )
    # Digits have no checksum there: damage only what leaves them as they are.
    match rng.randrange(6):
        case 0:
            return good[: rng.randrange(len(good))]
        case 1:
            return good[: good.find(b'"lat')] + rng.randbytes(5) + b"\n"
        case 2:
            return rng.randbytes(rng.randrange(300)) + b"\n"
        case 3:
            return good.replace(b"3", b"1" * rng.randrange(1, 400), 1)
        case 4:
            return b'{"class":"SKY","satellites":[{"PRN":%d,"ss":%d}' % (rng.randrange(9), 99)
        case _:
            return good


@dataclass
class Outcome:
    """What a run saw."""

    inputs: int = 0
    fixes: int = 0
    invented: int = 0
    growth_bytes: int = 0
    seconds: float = 0.0


def resident_bytes() -> int:
    """Memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


def run(inputs: int, seed: int, *, streams: int = 8, traced: bool = False) -> Outcome:
    """Feed `inputs` pieces to `streams` decoders at a time, split anywhere.

    Growth is that of Python's memory where it is `traced`, else of the whole process.
    """
    rng, outcome = random.Random(seed), Outcome()
    began = time.monotonic()
    decoders = [
        (Stream(rng), GpsdDecoder() if n == 0 else FixDecoder(), JumpGuard())
        for n in range(streams)
    ]
    if traced:
        tracemalloc.start()
    base = number = 0
    try:
        while outcome.inputs < inputs:
            number += 1
            stream, decoder, guard = decoders[number % streams]
            json = isinstance(decoder, GpsdDecoder)
            pieces = [reports(stream)] if json else nmea_and_ubx(stream)
            data = b"".join(pieces)
            outcome.inputs += len(pieces)
            cut = rng.randrange(len(data) + 1)
            fixes = decoder.feed(data[:cut], number) + decoder.feed(data[cut:], number)
            if rng.random() < 0.3:
                fixes += decoder.quiet()
            for fix in fixes:
                outcome.fixes += 1
                guard.step(fix)
                values_of(fix)
                if fix.latitude is not None and fix.longitude is not None:
                    outcome.invented += (fix.latitude, fix.longitude) not in stream.whole
            sky_values(decoder.sky)
            condition_values(decoder.condition)
            if len(stream.whole) > 200:  # what has been given or is damaged for good
                stream.whole.clear()
                decoder.reset()
            if base == 0 and outcome.inputs > min(10_000, inputs // 3):
                base = tracemalloc.get_traced_memory()[0] if traced else resident_bytes()
        now = tracemalloc.get_traced_memory()[0] if traced else resident_bytes()
    finally:
        tracemalloc.stop()
    outcome.growth_bytes, outcome.seconds = now - base, time.monotonic() - began
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    outcome = run(arguments.inputs, arguments.seed)
    sys.stdout.write(f"gnss_nmea0183: {outcome}\n")
    good = outcome.invented == 0 and outcome.growth_bytes < MOST_GROWTH_BYTES
    return 0 if good and outcome.fixes > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
