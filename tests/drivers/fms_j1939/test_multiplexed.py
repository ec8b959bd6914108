"""Axle weights and service distances: one of several things a message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.sdk import State
from drivers.fms_j1939.spn import Reading
from drivers.fms_j1939.table import PGNS

VW, SERV = PGNS[65258], PGNS[65216]
DISTANCE, TIME = "Vehicle.Service.DistanceToService", "Vehicle.Service.TimeToService"
HOURS = "Vehicle.Bus.Service.HoursToService"


def weight(payload: str) -> tuple[str | None, object]:
    _, reading = VW.read(bytes.fromhex(payload))
    return reading.path, reading.stated


def test_the_high_nibble_is_the_axle_and_rows_count_from_1() -> None:
    assert weight("00A861FFFFFFFFFF") == ("Vehicle.Bus.Chassis.Axle.Row1.Weight", 12500.0)
    assert weight("12A861FFFFFFFFFF") == ("Vehicle.Bus.Chassis.Axle.Row2.Weight", 12500.0)
    assert weight("7FA861FFFFFFFFFF") == ("Vehicle.Bus.Chassis.Axle.Row8.Weight", 12500.0)
    # A ninth axle, "error" and "not available" are none of ours.
    for location in ("80", "FE", "FF"):
        assert weight(f"{location}A861FFFFFFFFFF") == (None, 12500.0)
    assert VW.details(bytes.fromhex("12A861")) == {"axle": 1, "tyre": 2}


def test_only_the_same_axle_and_tyre_repeat_each_other() -> None:
    keys = {VW.key(bytes([location, 0, 0])) for location in (0x00, 0x01, 0x10)}
    assert len(keys) == 3
    assert VW.key(b"") == 0


def service(component: int, km: int | None, weeks: int | None, hours: int | None) -> bytes:
    distance = 0xFFFF if km is None else (km + 160635) // 5
    left = 0xFF if weeks is None else weeks + 125
    running = 0xFFFF if hours is None else hours + 32127
    head = bytes([component]) + distance.to_bytes(2, "little") + b"\xff"
    return head + bytes([left, 0xFF]) + running.to_bytes(2, "little")


def told(readings: list[Reading]) -> dict[str | None, object]:
    return {r.path: r.state if r.stated is None else r.stated for r in readings}


def test_service_of_one_component() -> None:
    payload = service(3, -40, 2, 100)
    readings = SERV.read(payload)
    assert told(readings) == {
        None: 100.0,  # the last of those without a signal
        "Vehicle.Bus.Service.Component3.Distance": -40.0,
    }
    assert SERV.details(payload) == {"component": 3}
    assert [r.path for r in SERV.read(service(16, 5, 0, 0))] == [None] * 4


def test_the_smallest_of_all_components() -> None:
    composer = SERV.composer()
    assert composer is not None

    def after(payload: bytes) -> dict[str | None, object]:
        return told(composer.add(payload, SERV.read(payload)))

    assert after(service(0, 5000, 4, None)) == {
        DISTANCE: 5000.0, TIME: 4 * 604800, HOURS: State.NOT_AVAILABLE,
    }  # fmt: skip
    assert after(service(1, -300, 9, 50)) == {DISTANCE: -300.0, TIME: 4 * 604800, HOURS: 50.0}
    assert after(service(0, 4000, 1, 60)) == {DISTANCE: -300.0, TIME: 604800, HOURS: 50.0}
    # What takes its value back no longer counts.
    assert after(service(1, None, 9, None)) == {DISTANCE: 4000.0, TIME: 604800, HOURS: 60.0}
    assert after(service(0, None, None, None)) == {
        DISTANCE: State.NOT_AVAILABLE, TIME: 9 * 604800, HOURS: State.NOT_AVAILABLE,
    }  # fmt: skip
    # A component that is no value says nothing; another sender has a composer of its own.
    assert after(service(0xFF, 1, 1, 1)) == {}
    fresh = SERV.composer()
    assert fresh is not None
    payload = service(5, 10, 10, 10)
    assert told(fresh.add(payload, SERV.read(payload)))[DISTANCE] == 10.0


def test_the_signals_of_the_whole_are_declared_with_their_types() -> None:
    types = {signal.path: signal.datatype for signal in SERV.group.signals}
    assert [types[path] for path in (DISTANCE, TIME, HOURS)] == ["float", "int32", "float"]


@given(st.lists(st.binary(max_size=12), max_size=300))
def test_a_composer_is_total_and_bounded(payloads: list[bytes]) -> None:
    composer = SERV.composer()
    assert composer is not None
    for payload in payloads:
        for reading in composer.add(payload, SERV.read(payload)):
            assert (reading.stated is None) == (reading.state is not None)
    left = composer._left  # type: ignore[attr-defined]
    assert set(left) <= {914, 915, 916}
    assert all(len(known) <= 251 for known in left.values())
