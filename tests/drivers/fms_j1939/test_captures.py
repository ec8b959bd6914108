"""Real buses that other people recorded, against other people's decoders.

Runs where the recordings stand beside the checkout (../shared/data/can).
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.codecs import candump
from drivers.codecs.j1939 import Transport, split_id
from drivers.fms_j1939.driver import FmsJ1939
from drivers.fms_j1939.frames import Frame
from drivers.fms_j1939.receiver import Receiver
from tests.drivers.fms_j1939.recordings import CAPTURES, FOLDER, needs_recordings

pytestmark = needs_recordings

# Their names for our SPNs: all of theirs. SPN 110, wrong in their database, was left out there.
NAMES = {
    "DriversDemandEngPercentTorque": 512, "ActualEngPercentTorque": 513, "EngSpeed": 190,
    "AccelPedalPos1": 91, "EngPercentLoadAtCurrentSpeed": 92, "ParkingBrakeSwitch": 70,
    "WheelBasedVehicleSpeed": 84, "CruiseCtrlActive": 595, "BrakeSwitch": 597, "ClutchSwitch": 598,
    "CruiseCtrlSetSpeed": 86, "PTOGovernorState": 976, "EngFuelRate": 183,
    "EngInstantaneousFuelEconomy": 184, "FuelLevel1": 96, "FuelLevel2": 38, "WasherFluidLevel": 80,
    "EngTotalHoursOfOperation": 247, "HghRslutionTotalVehicleDistance": 917,
    "HighResolutionTripDistance": 918, "EngFuelTemp1": 174, "EngOilTemp1": 175,
    "BarometricPress": 108, "CabInteriorTemp": 170, "AmbientAirTemp": 171,
    "Driver1WorkingState": 1612, "Driver2WorkingState": 1613, "VehicleMotion": 1611,
    "Driver1TimeRelatedStates": 1617, "Driver2TimeRelatedStates": 1618, "DriverCardDriver1": 1615,
    "DriverCardDriver2": 1616, "VehicleOverspeed": 1614, "SystemEvent": 1622,
    "HandlingInformation": 1621, "TachographPerformance": 1620, "DirectionIndicator": 1619,
    "TachographOutputShaftSpeed": 1623, "TachographVehicleSpeed": 1624, "PosOfDoors": 1821,
    "Ramp_WheelChairLiftPos": 1820, "Status2OfDoors": 3411,
    "LockStatusOfDoor1": 3412, "OpenStatusOfDoor1": 3413, "EnableStatusOfDoor1": 3414,
    "LockStatusOfDoor2": 3415, "OpenStatusOfDoor2": 3416, "OpenStatusOfDoor3": 3419,
    "AntiLockBrakingActive": 563, "BrakePedalPos": 521, "EBSBrakeSwitch": 1121,
    "TransCurrentGear": 523, "TransSelectedGear": 524, "AirCompressorStatus": 1351,
    "ParkingAnd_OrTrailerAirPress": 1086, "ServiceBrakeCircuit1AirPress": 1087,
    "ServiceBrakeCircuit2AirPress": 1088, "Seconds": 959, "Minutes": 960, "Hours": 961,
    "Month": 963, "Day": 962, "Year": 964, "Aftrtrtmnt1SCRCatalystTankLevel": 1761,
    "TotalVehicleDistance": 245, "TripDistance": 244, "BatteryPotential_PowerInput1": 168,
    "KeyswitchBatteryPotential": 158, "NetBatteryCurrent": 114,
}  # fmt: skip


def log(name: str) -> Path:
    assert FOLDER is not None
    return FOLDER / f"{name}.log.gz"


@functools.cache
def expected(name: str) -> Any:
    assert FOLDER is not None
    return json.loads((FOLDER / f"expected-{name}.json").read_text())


@functools.cache
def readings(name: str) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """What `decode` says, by SPN and source address."""
    found: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for reading in FmsJ1939.decode(log(name)):
        line: dict[str, Any] = dict(reading)
        found.setdefault((line["spn"], line["sa"]), []).append(line)
    return found


@pytest.mark.parametrize("name", CAPTURES)
def test_values_are_those_of_cantools(name: str) -> None:
    compared = 0
    for theirs in expected(name)["signals"]:
        spn = NAMES[theirs["signal"]]
        ours = readings(name)[spn, theirs["sa"]]
        assert {line["pgn"] for line in ours} == {theirs["pgn"]}
        values = [line["value"] for line in ours if line["state"] == "value"]
        states = Counter(line["state"] for line in ours)
        assert (
            len(ours),
            states["value"],
            states["not_available"],
            states["error"],
            states["implausible"],
        ) == tuple(
            theirs[key] for key in ("frames", "valid", "not_available", "error", "reserved_range")
        ), theirs["signal"]
        if values:
            assert min(values) == pytest.approx(theirs["min"], abs=1e-8)
            assert max(values) == pytest.approx(theirs["max"], abs=1e-8)
            assert sum(values) / len(values) == pytest.approx(theirs["mean"], abs=1e-8)
        at = {line["t"]: line["value"] for line in ours}
        for t, _, value in theirs["samples_ts_raw_value"]:
            assert at[t] == pytest.approx(value, abs=1e-8)
        compared += 1
    assert compared == {"css-bus-2023": 68, "css-truck-2021": 28}.get(name, 18)


def frames(name: str) -> Iterator[candump.LoggedFrame]:
    return (frame for frame in candump.read(log(name)) if frame.extended and not frame.remote)


@pytest.mark.parametrize("name", CAPTURES)
def test_frames_and_parameter_groups(name: str) -> None:
    pgns = Counter(split_id(frame.can_id).pgn for frame in frames(name))
    assert sum(pgns.values()) == expected(name)["extended_frames"]
    assert {str(pgn): n for pgn, n in pgns.items()} == expected(name)["pgn_counts"]


@pytest.mark.parametrize("name", CAPTURES)
def test_transport_is_the_strict_reference(name: str) -> None:
    transport = Transport()
    kinds: Counter[tuple[object, ...]] = Counter()
    distinct: dict[tuple[int, int, int, str], float] = {}
    for frame in frames(name):
        message = transport.feed(frame.t, split_id(frame.can_id), frame.payload)
        if message is not None:
            _, pgn, sa, da, payload = message
            kinds[pgn, sa, da, "BAM" if da == 0xFF else "RTS", len(payload)] += 1
            distinct.setdefault((pgn, sa, da, payload.hex()), message.t)
    reference = expected(name)["tp_strict_reference"]
    assert transport.complete == reference["complete"]
    assert not transport.dropped
    assert [[*kind, n] for kind, n in kinds.items()] == reference["by_pgn_sa_da_mode_len"]
    assert distinct == {(pgn, sa, da, text): t for t, pgn, sa, da, _, text in reference["distinct"]}


def test_coolant_is_raw_less_40() -> None:
    values = {line["value"] for line in readings("css-truck-2021")[110, 0]}
    assert values
    assert all(-40 <= value <= 120 for value in values)
    for frame in frames("css-truck-2021"):
        if split_id(frame.can_id).pgn == 65262:
            assert frame.payload[0] - 40.0 in values


def test_the_vin_of_a_tractor_has_junk_behind_it() -> None:
    lines = readings("css-j1939tp-2021")[237, 0]
    assert {line["value"] for line in lines} == {"1L06130RELP969468"}
    assert len(lines) == 3
    assert all("plausible" not in line for line in lines)


BUS = "css-bus-2023"
CLUSTER, TACHOGRAPH = 0x17, 0xEE


def test_output_shaft_speed_fe00_is_an_error_though_its_low_byte_is_0() -> None:
    lines = readings(BUS)[1623, TACHOGRAPH]
    assert len(lines) == 215
    assert {line["state"] for line in lines} == {"error"}


def test_zero_fill_is_a_value_and_not_plausible() -> None:
    for spn, value in ((108, 0.0), (170, -273.0)):
        lines = readings(BUS)[spn, 0x47]
        assert {(line["value"], line["state"], line["plausible"]) for line in lines} == {
            (value, "value", False)
        }
    receiver = Receiver()
    for frame in frames(BUS):
        if split_id(frame.can_id).pgn == 65269:
            said = receiver.frame(Frame(frame.can_id, frame.payload, True, False), 1)
            (statement,) = said
            assert {state.value for state in statement.states.values()} == {"implausible"}
            assert len(statement.states) == 2
            break


def test_the_odometer_of_the_cluster_at_wake_up() -> None:
    steps: list[float] = []
    for line in readings(BUS)[917, CLUSTER]:
        if not steps or steps[-1] != line["value"]:
            steps.append(line["value"])
    assert set(steps) == {0.0, 37_500.0, 158_910_600.0}
    assert steps[-1] == 158_910_600.0
    assert {line["value"] for line in readings(BUS)[917, TACHOGRAPH]} == {158_910_600.0}


def test_two_senders_disagree_about_the_doors() -> None:
    def seen(spn: int, sa: int) -> set[object]:
        return {line["value"] for line in readings(BUS)[spn, sa]}

    assert seen(1821, 0x42) == {None}
    assert seen(1821, 0xEC) == {2, None}
    assert seen(1820, 0x42) == {True, False}
    assert seen(1820, 0xEC) == {False}


def test_cluster_and_tachograph_are_22_years_apart() -> None:
    cluster, tachograph = readings(BUS)[964, CLUSTER], readings(BUS)[964, TACHOGRAPH]
    assert {line["value"] for line in cluster} == {2001.0}
    assert {line["value"] for line in tachograph} == {2023.0}
    said = readings(BUS)[959, TACHOGRAPH]
    assert {line["signal"] for line in said} == {"Vehicle.Bus.Clock.Vehicle"}
    # Day 29.75 is the 30th. The recorder's own clock was 36 s ahead.
    behind = [line["t"] - line["signal_value"] / 1000 for line in said]
    assert all(36 < seconds < 36.1 for seconds in behind), behind
    for line in readings(BUS)[959, CLUSTER]:
        assert line["signal_value"] is None
        assert line["plausible"] is False
