"""What was read of a receiver as values and states of its signals. Pure."""

from __future__ import annotations

from agent.sdk import Scalar, State
from drivers.gnss_nmea0183.arrival import Moment
from drivers.gnss_nmea0183.condition import Condition
from drivers.gnss_nmea0183.epoch import Fix
from drivers.gnss_nmea0183.signals import (
    ACCURACY,
    ALTITUDE,
    ANTENNA,
    FIX_TYPE,
    FUSION,
    HDOP,
    HEADING,
    IN_VIEW,
    JAMMING,
    JAMMING_LEVEL,
    LATITUDE,
    LONGITUDE,
    PLAUSIBLE,
    RECKONED,
    ROLLOVER,
    SATELLITES,
    SPEED,
    STRENGTH,
    UTC,
    UTC_UNCERTAINTY,
)
from drivers.gnss_nmea0183.sky import Sky
from drivers.gnss_nmea0183.utc import resolved

_FIX_TYPE = {1: "NONE", 2: "TWO_D", 3: "THREE_D"}
_POSITION = (LATITUDE, LONGITUDE, ALTITUDE, HEADING, SPEED)


def fix_type(fix: Fix) -> str:
    """The VSS word. NMEA "differential" does not say whether satellites or a ground station helped,
    so only RTK, which needs a ground station, gets a longer word.
    """
    word = _FIX_TYPE[fix.mode]
    return f"{word}_GROUND_BASED_AUGMENTATION" if fix.rtk and fix.mode > 1 else word


def values_of(
    fix: Fix, *, tells_accuracy: bool = False
) -> tuple[dict[str, Scalar], dict[str, State]]:
    """Values and states of group `fix`. No fix is a state: what it took away is `not_available`.

    `tells_accuracy`: the receiver is one that states its accuracy when it has a fix.
    """
    stated = {
        LATITUDE: fix.latitude,
        LONGITUDE: fix.longitude,
        ALTITUDE: fix.altitude_m,
        HEADING: fix.heading,
        SPEED: fix.speed_kmh,
        SATELLITES: fix.satellites,
        HDOP: fix.hdop,
        ACCURACY: fix.accuracy_m,
    }
    values: dict[str, Scalar] = {path: v for path, v in stated.items() if v is not None}
    if fix.mode_known:
        values[FIX_TYPE] = fix_type(fix)
    lost = (*_POSITION, ACCURACY) if tells_accuracy else _POSITION
    states = dict.fromkeys(lost, State.NOT_AVAILABLE) if fix.mode == 1 else {}
    return values, states


def time_values(moment: Moment) -> dict[str, Scalar]:
    """Values of group `time`; a date of 1024 weeks ago is brought forward."""
    return {UTC: resolved(moment.utc_ms)[0]}


def clock_quality(moment: Moment) -> dict[str, Scalar]:
    """What group `quality` says of the clock."""
    weeks = resolved(moment.utc_ms)[1]
    return {UTC_UNCERTAINTY: moment.uncertainty_ms, ROLLOVER: weeks != 0}


def fix_quality(fix: Fix, plausible: bool | None) -> dict[str, Scalar]:
    """What group `quality` says of a fix, nothing without a position."""
    return {} if plausible is None else {PLAUSIBLE: plausible, RECKONED: fix.reckoned}


def sky_values(sky: Sky) -> tuple[dict[str, Scalar], dict[str, State]]:
    """Values and states of group `sky`; nothing where no satellites are listed."""
    in_view, strength = sky.in_view(), sky.strength()
    if in_view is None:
        return {}, {}
    if strength is None:
        return {IN_VIEW: in_view}, {STRENGTH: State.NOT_AVAILABLE}
    return {IN_VIEW: in_view, STRENGTH: strength}, {}


def condition_values(condition: Condition) -> dict[str, Scalar]:
    """Values of group `condition`: what the receiver has told so far."""
    told = {
        ANTENNA: condition.antenna,
        JAMMING: condition.jamming,
        JAMMING_LEVEL: condition.jamming_percent,
        FUSION: condition.fusion,
    }
    return {path: value for path, value in told.items() if value is not None}
