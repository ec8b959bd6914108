"""The vehicle: one stream of bytes for a seed, however time is sliced."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.emission import NO_FAULTS, ActiveFaults
from simulator.fms_table import KINDS, VehicleKind
from simulator.signals import BY_SIGNAL, ELECTRIC, EXPECTATIONS
from simulator.vehicle import Vehicle

CAN_FLOOD: ActiveFaults = frozenset({("can_flood", "fms")})


def digest(seed: int, *cuts_s: float) -> str:
    vehicle = Vehicle(seed)
    for cut in sorted(cuts_s):
        vehicle.advance(cut, NO_FAULTS)
    vehicle.advance(20, NO_FAULTS)
    return vehicle.digest


WHOLE = digest(7)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 20), max_size=30))
def test_slicing_changes_no_byte(cuts: list[float]) -> None:
    assert digest(7, *cuts) == WHOLE


def test_the_slices_of_a_run_at_any_speed_give_the_same_bytes() -> None:
    for step_ms in (10, 40):
        assert digest(7, *(i * step_ms / 1000 for i in range(20_000 // step_ms))) == WHOLE


def test_seeds_differ() -> None:
    assert len({digest(seed) for seed in range(5)}) == 5


def test_emissions_are_the_same_objects_in_value_and_in_order() -> None:
    one, other = Vehicle(3), Vehicle(3)
    whole = one.advance(15, NO_FAULTS)
    sliced = [e for i in range(1, 1501) for e in other.advance(i / 100, NO_FAULTS)]
    assert whole == sliced
    assert [e.at_s for e in whole] == sorted(e.at_s for e in whole)
    assert whole[0].at_s > 0


def test_a_fault_holds_for_its_slice_only() -> None:
    def run(step_s: float) -> list[tuple[float, bytes]]:
        vehicle, got = Vehicle(5), []
        now = 0.0
        while now < 12:
            now = round(now + step_s, 3)
            # Active in (4, 6]: slices of 0.5 s and of 2 s both meet its edges.
            active = CAN_FLOOD if 4 < now <= 6 else NO_FAULTS
            got += [(e.at_s, e.data) for e in vehicle.advance(now, active)]
        return got

    fine, coarse = run(0.5), run(2.0)
    assert fine == coarse
    per_second = [sum(second < at <= second + 1 for at, _ in fine) for second in range(12)]
    assert per_second[4] > 1_800 and per_second[5] > 1_800
    assert all(n < 240 for n in per_second[:4] + per_second[6:])


def test_going_back_in_time_emits_nothing() -> None:
    vehicle = Vehicle(1)
    vehicle.advance(5, NO_FAULTS)
    before = vehicle.digest
    assert vehicle.advance(4, NO_FAULTS) == []
    assert vehicle.advance(5, NO_FAULTS) == []
    assert vehicle.digest == before


@pytest.mark.parametrize("sources", [("gnss",), ("fms",), ()])
def test_only_the_fitted_devices_speak(sources: tuple[str, ...]) -> None:
    emissions = Vehicle(2, sources=sources).advance(5, NO_FAULTS)
    assert {e.source for e in emissions} == set(sources)


# Not fitted in the simulated bus: a second driver's card, a third axle, a fourth door, ...
NOT_FITTED = re.compile(
    r"Vehicle\.(Tachograph\.Driver2\.(TimeState|Identifier)|Bus\.Chassis\.Axle\.Row[3-8]\.Weight"
    r"|Bus\.Door([4-9]|10)\.Is\w+|Bus\.Service\.Component(?!1\.|4\.)\d+\.Distance)"
)
LAMPS_NOT_FITTED = 28
WITHOUT_AN_ENGINE = re.compile(
    r"Vehicle\.(Powertrain\.(CombustionEngine|FuelSystem|Transmission)|Bus\.(Engine|Fuel|Def|Retarder)"
    r"|Bus\.Electrical\.Alternator|Bus\.Chassis\.(AcceleratorLowIdle|Kickdown)"
    r"|Chassis\.Accelerator|Bus\.Telltale\.(EngineOil|Engine|FuelLevel|CoolantTemperature|Retarder"
    r"|AdBlueLevel)\.)"
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_expected_signal_is_written_and_every_written_signal_is_expected(
    kind: VehicleKind,
) -> None:
    written: set[tuple[str, str]] = set()
    for seed in range(3):
        for e in Vehicle(seed, kind=kind).advance(420, NO_FAULTS):
            written |= {(e.source, path) for path, _ in (*e.writings, *e.alternatives)}
    of_battery = {(one.source, one.path) for one in ELECTRIC}
    expected = {
        (source, path)
        for (source, path), one in BY_SIGNAL.items()
        if one.on_wire
        and not NOT_FITTED.fullmatch(path)
        and not (kind == "electric" and WITHOUT_AN_ENGINE.match(path))
        and not (kind == "diesel" and (source, path) in of_battery)
    }
    silent = {path for _, path in expected - written}
    assert {path for path in silent if ".Telltale." not in path} == set()
    assert len(silent) == LAMPS_NOT_FITTED
    assert written <= expected
    assert len(BY_SIGNAL) == len(EXPECTATIONS) + len(ELECTRIC)


@pytest.mark.parametrize(("kind", "things"), [("diesel", 140), ("electric", 120)])
def test_a_minute_has_much_to_say(kind: VehicleKind, things: int) -> None:
    emissions = Vehicle(7, kind=kind).advance(60, NO_FAULTS)
    assert len({path for e in emissions for path, _ in e.writings}) > things
    per_s = len(emissions) / 60
    assert 190 < per_s < 260
