"""What a simulated device puts on its wire, which faults shape it, and what became of it there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Scalar = float | int | str | bool

Writing = tuple[str, Scalar]
"""(VSS path, value as it stands on the wire, that is after the wire's rounding)."""

ActiveFaults = frozenset[tuple[str, str]]
"""(fault name, source) of the faults that are active now, e.g. ("tunnel", "gnss")."""

NO_FAULTS: ActiveFaults = frozenset()


class Dtc(NamedTuple):
    """A trouble code: suspect parameter, failure mode, occurrences (None: not told), method bit."""

    spn: int
    fmi: int
    oc: int | None
    cm: int


class Dm1(NamedTuple):
    """All active trouble codes of the control unit with source address `sa`."""

    sa: int
    dtcs: tuple[Dtc, ...]


@dataclass(frozen=True, slots=True)
class Emission:
    """Bytes that one device sends together: a burst of NMEA sentences or one SLCAN line.

    `at_s` is the world second at which the first byte is due. `writings` holds every signal that
    the bytes carry as a value, redundant ones too; a state (no fix, error, not available) is none.
    `fix`: the bytes hold a whole position fix. `alternatives`: values of signals that another
    sender or message says better; a reader may believe them only where that one is not heard.
    `dm1`: the trouble codes that the bytes complete.
    """

    source: str
    at_s: float
    data: bytes
    writings: tuple[Writing, ...] = ()
    fix: bool = False
    alternatives: tuple[Writing, ...] = ()
    dm1: Dm1 | None = None


@dataclass(slots=True)
class Heard:
    """What became of an emission on its wire. Not frozen: a full bus makes 1,850 a second.

    `written_boottime_ms` is CLOCK_BOOTTIME when its last byte was written or, where it was not
    written, when that was known. `open_since_boottime_ms` says since when the port had been open,
    None where it was closed during any part of the emission (nobody can have read it whole).
    `dropped`: the port was open, but its buffer was full, so that not all bytes went out.
    """

    emission: Emission
    written_boottime_ms: int
    open_since_boottime_ms: int | None
    dropped: bool = False
