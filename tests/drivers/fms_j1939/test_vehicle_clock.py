"""The vehicle's clock: quarters of days, nulls, years that cannot be."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sdk import State
from drivers.fms_j1939.spn import Reading, Shape
from drivers.fms_j1939.table import PGNS

TD = PGNS[65254]
CLOCK, LOCAL = "Vehicle.Bus.Clock.Vehicle", "Vehicle.Bus.Clock.LocalOffset"


def whole(payload: str) -> dict[str | None, object]:
    return {
        reading.path: reading.state if reading.stated is None else reading.stated
        for reading in TD.read(bytes.fromhex(payload))
        if reading.spn.shape is Shape.WHOLE
    }


def ms(*parts: int, milliseconds: int = 0) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1000 + milliseconds  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("payload", "clock", "local"),
    [
        # seconds, minutes, hours, month, day (quarters), year, local minutes and hours
        ("DC0711 0B 77 26 7D7D", ms(2023, 11, 30, 17, 7, 55), 0),  # a real tachograph
        ("EF3B17 0C 7C 29 7D7E", ms(2026, 12, 31, 23, 59, 59, milliseconds=750), 60),
        ("000000 01 01 29 9B82", ms(2026, 1, 1), 330),  # +5:30; quarter 1 is the first day
        ("000000 01 04 29 7D73", ms(2026, 1, 1), -600),  # and so is quarter 4
        ("000000 01 05 29 7D8B", ms(2026, 1, 2), 840),
        ("000000 02 74 2B 7D7D", ms(2028, 2, 29), 0),
        ("000000 02 74 29 7D7D", State.IMPLAUSIBLE, 0),  # no 29 February in 2026
        ("000000 01 00 29 7D7D", State.NOT_AVAILABLE, 0),  # day 0 and month 0 are null
        ("000000 00 04 29 7D7D", State.NOT_AVAILABLE, 0),
        ("000000 0D 04 29 7D7D", State.IMPLAUSIBLE, 0),
        ("00003C 01 04 29 7D7D", State.IMPLAUSIBLE, 0),
        ("F00000 01 04 29 7D7D", State.IMPLAUSIBLE, 0),  # 60 s
        ("000000 01 01 10 7D7D", State.IMPLAUSIBLE, 0),  # a real cluster: 2001
        ("000000 01 01 22 7D7D", State.IMPLAUSIBLE, 0),  # 2019
        ("000000 01 01 23 7D7D", ms(2020, 1, 1), 0),
        ("FF0000 01 04 29 FF7D", State.NOT_AVAILABLE, State.NOT_AVAILABLE),
        ("00FE00 01 04 29 7DFE", State.ERROR, State.ERROR),
        ("0000FB 01 04 29 B97D", State.IMPLAUSIBLE, State.IMPLAUSIBLE),  # 60 minutes
        ("000000 01 04 29 7D8C", ms(2026, 1, 1), State.IMPLAUSIBLE),  # +15 h
        ("FFFFFF FF FF FF FFFF", State.NOT_AVAILABLE, State.NOT_AVAILABLE),
    ],
)
def test_one_clock_of_the_whole_message(payload: str, clock: object, local: object) -> None:
    assert whole(payload) == {CLOCK: clock, LOCAL: local}


def test_a_short_message_has_no_clock() -> None:
    assert whole("0000000104") == {}
    assert whole("000000010429") == {CLOCK: ms(2026, 1, 1)}


@given(st.binary(max_size=10))
def test_it_is_total_and_within_its_limits(payload: bytes) -> None:
    found: list[Reading] = TD.read(payload)
    for reading in found:
        if reading.path is not None and reading.stated is not None:
            signal = TD.group.signals[TD.group.index[reading.path]]
            assert isinstance(reading.stated, int)
            assert (signal.minimum or 0) <= reading.stated <= (signal.maximum or 0)
