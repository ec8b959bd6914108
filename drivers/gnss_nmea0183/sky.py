"""Satellites in view and how strongly they are received, whoever lists them. Pure, bounded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drivers.gnss_nmea0183.fields import Fields, talker_and_kind

Satellite = tuple[str, int]
"""Constellation (GP, GL, GA, GB, GQ, GI, SB, or the talker where it is ambiguous) and number."""

BEST = 4
"""Four satellites make a fix: the mean of the best four tells whether one is to be had."""

EPOCHS_KEPT = 60
"""A constellation that has not been listed for so many epochs is out of view."""

_CONSTELLATIONS_MAX, _LISTED_MAX = 16, 255
_SYSTEM = {"1": "GP", "2": "GL", "3": "GA", "4": "GB", "5": "GQ", "6": "GI"}
_SAME = {"BD": "GB", "QZ": "GQ"}
# Numbers before NMEA 4.1, where GP or GN speaks for all: NMEA's own ranges and the widespread ones.
_RANGES = ((1, 32, "GP"), (33, 64, "SB"), (65, 96, "GL"), (120, 158, "SB"), (193, 202, "GQ"))
_RANGES_4 = ((201, 264, "GB"), (301, 336, "GA"), (401, 463, "GB"))


def constellation(talker: str, system: str, number: int) -> str:
    """Which constellation a satellite belongs to.

    `system` is the field of NMEA 4.1, "" before that: then the talker says it, and where that is GP
    or GN the number does.
    """
    if system in _SYSTEM:
        return _SYSTEM[system]
    if talker in ("GP", "GN"):
        for first, last, name in (*_RANGES, *_RANGES_4):
            if first <= number <= last:
                return name
    return _SAME.get(talker, talker)


@dataclass(frozen=True, slots=True)
class Listing:
    """Satellites that one message lists.

    `who`: what is listed (a talker, or a source that lists all). `first`: whether a new list begins
    here. `in_view`: their number as stated. `strengths`: satellite -> C/N0 in dB-Hz, None where it
    is not received.
    """

    who: str
    first: bool
    in_view: int
    strengths: dict[Satellite, float | None]


def parse_gsv(body: str) -> Listing | None:
    """GSV: messages, number, satellites in view, 4 x (number, elevation, azimuth, C/N0), signal.

    The signal (NMEA 4.1) is there where one field is left over; each signal is a list of its own.
    """
    talker, kind = talker_and_kind(body)
    if kind != "GSV":
        return None
    f = Fields(body)
    in_view = f.number_of(3)
    if in_view is None or f.number_of(1) is None or f.number_of(2) is None:
        return None
    signal = f.text(f.count - 1) if f.count % 4 == 1 and f.count > 4 else ""
    strengths: dict[Satellite, float | None] = {}
    for at in range(4, f.count - 3, 4):
        number = f.number_of(at)
        if number:
            strength = f.number(at + 3)
            good = strength is not None and 0 < strength < 100
            strengths[constellation(talker, "", number), number] = strength if good else None
    return Listing(f"{_SAME.get(talker, talker)} {signal}", f.text(2) == "1", in_view, strengths)


class Sky:
    """The newest list of each constellation and signal."""

    def __init__(self) -> None:
        self._lists: dict[str, tuple[int, int, dict[Satellite, float | None]]] = {}
        self._epoch = 0
        self.news = False
        """Whether a list came since this was last set to False."""

    def take(self, listing: Listing) -> None:
        """Take a message; the first of a list replaces the list before."""
        known = self._lists.get(listing.who)
        if known is None and len(self._lists) >= _CONSTELLATIONS_MAX:
            return
        strengths = {} if listing.first or known is None else known[2]
        if len(strengths) + len(listing.strengths) <= _LISTED_MAX:
            strengths |= listing.strengths
        self._lists[listing.who] = (self._epoch, listing.in_view, strengths)
        self.news = True

    def next_epoch(self) -> None:
        """Time passes; forget what is no longer listed."""
        self._epoch += 1
        for who, (epoch, _, _) in list(self._lists.items()):
            if self._epoch - epoch > EPOCHS_KEPT:
                del self._lists[who]

    def in_view(self) -> int | None:
        """Satellites in view, 255 at most; None where nothing is listed.

        Some list fewer than they state; the signals of one constellation are not added up.
        """
        if not self._lists:
            return None
        stated: dict[str, int] = {}
        listed: dict[str, set[Satellite]] = {}
        for who, (_, in_view, strengths) in self._lists.items():
            name = who.partition(" ")[0]
            stated[name] = max(stated.get(name, 0), in_view)
            listed.setdefault(name, set()).update(strengths)
        return min(255, sum(max(stated[name], len(listed[name])) for name in stated))

    def strength(self) -> float | None:
        """Mean C/N0 of the best four satellites, a missing one as 0; None where none is heard."""
        best: dict[Satellite, float] = {}
        for _, _, strengths in self._lists.values():
            for satellite, strength in strengths.items():
                if strength is not None:
                    best[satellite] = max(strength, best.get(satellite, 0.0))
        return _mean_of_best(best.values()) if best else None


def _mean_of_best(strengths: Iterable[float]) -> float:
    return round(sum(sorted(strengths, reverse=True)[:BEST]) / BEST, 1)
