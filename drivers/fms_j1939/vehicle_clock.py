"""The clock that the vehicle shows (TD): one signal of six parameters, and the local offset.

Buses have clocks that stand in 2001 for ever: what this says is stated, and sets nothing.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from agent.sdk import State
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.spn import Reading, Spn

FIRST_YEAR = 2020
"""No clock that is right says less: the agent is younger, recordings that it replays may not be."""

_SECONDS, _MINUTES, _HOURS, _MONTH, _DAY, _YEAR = 959, 960, 961, 963, 962, 964
_CLOCK = (_SECONDS, _MINUTES, _HOURS, _MONTH, _DAY, _YEAR)
_LOCAL = (_LOCAL_MINUTES, _LOCAL_HOURS) = (1601, 1602)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Pgn):
    """Time and date. `whole` is the clock in ms since 1970, and the local offset in minutes."""

    def read(self, payload: bytes) -> list[Reading]:
        """The parameters as they stand in the message, the two signals behind 959 and 1601."""
        readings = super().read(payload)
        by_number = {reading.spn.number: reading for reading in readings}
        clock, local = self.whole
        out: list[Reading] = []
        for reading in readings:
            out.append(reading)
            if reading.spn.number == _SECONDS and by_number.keys() >= set(_CLOCK):
                out.append(_utc(clock, [by_number[number] for number in _CLOCK]))
            elif reading.spn.number == _LOCAL_MINUTES and by_number.keys() >= set(_LOCAL):
                out.append(_offset(local, [by_number[number] for number in _LOCAL]))
        return out


def _utc(clock: Spn, parts: list[Reading]) -> Reading:
    state = _state(parts)
    if state is not None:
        return clock.reading(None, state)
    second, minute, hour, month, quarter_days, year = (float(part.value or 0) for part in parts)
    if not month or not quarter_days:
        # The standard's null: a clock that was never set.
        return clock.reading(None, State.NOT_AVAILABLE)
    try:
        day = math.ceil(quarter_days)
        begun = datetime(int(year), int(month), day, int(hour), int(minute), tzinfo=UTC)
    except ValueError:
        return clock.reading(None, State.IMPLAUSIBLE)
    if second >= 60 or year < FIRST_YEAR:
        return clock.reading(None, State.IMPLAUSIBLE)
    return clock.reading((begun - _EPOCH + timedelta(seconds=second)) // timedelta(milliseconds=1))


def _offset(local: Spn, parts: list[Reading]) -> Reading:
    state = _state(parts)
    if state is not None:
        return local.reading(None, state)
    minutes, hours = (int(part.value or 0) for part in parts)
    total = hours * 60 + minutes
    if abs(minutes) >= 60 or not (local.minimum or 0) <= total <= (local.maximum or 0):
        return local.reading(None, State.IMPLAUSIBLE)
    return local.reading(total)


def _state(parts: list[Reading]) -> State | None:
    """Why the whole is no value: the state of its first part that is none."""
    return next((part.state for part in parts if part.state is not None), None)
