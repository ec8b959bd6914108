"""`decode` over small logs of our own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivers.fms_j1939.driver import FmsJ1939


def decode(tmp_path: Path, *lines: str) -> list[dict[str, object]]:
    path = tmp_path / "x.log"
    path.write_text("".join(f"{line}\n" for line in lines))
    found = [dict(reading) for reading in FmsJ1939.decode(path)]
    assert json.loads(json.dumps(found)) == found
    return found


def test_one_mapping_a_value_with_these_keys(tmp_path: Path) -> None:
    found = decode(tmp_path, "(12.500000) can0 18FEF547#000000FEFFFFFFFF")
    assert found == [
        {"t": 12.5, "pgn": 65269, "sa": 0x47, "spn": 108, "signal": "Vehicle.Exterior.AirPressure",
         "value": 0.0, "state": "value", "unit": "kPa", "plausible": False,
         "signal_value": 0.0, "signal_unit": "hPa"},
        {"t": 12.5, "pgn": 65269, "sa": 0x47, "spn": 170,
         "signal": "Vehicle.Cabin.HVAC.AmbientAirTemperature",
         "value": -273.0, "state": "value", "unit": "celsius", "plausible": False},
        {"t": 12.5, "pgn": 65269, "sa": 0x47, "spn": 171,
         "signal": "Vehicle.Exterior.AirTemperature",
         "value": None, "state": "not_available", "unit": "celsius"},
    ]  # fmt: skip
    keys = ["t", "pgn", "sa", "spn", "signal", "value", "state", "unit", "plausible"]
    assert list(found[0]) == [*keys, "signal_value", "signal_unit"]
    assert list(found[1]) == keys


def test_every_frame_of_every_sender_and_booleans(tmp_path: Path) -> None:
    line = "(1.0) can0 18FE4E{}#42FFFFFFFFFFFFFF"
    found = decode(tmp_path, line.format("42"), line.format("EC"), line.format("42"))
    assert [reading["sa"] for reading in found] == [0x42] * 3 + [0xEC] * 3 + [0x42] * 3
    assert [reading["value"] for reading in found[:3]] == [2, False, True]
    assert found[1]["value"] is False


def test_what_is_no_j1939_data_frame_is_passed_over(tmp_path: Path) -> None:
    lines = ["1FE#00", "18FEF100#R", "18FEF100##1" + "00" * 8, "20000004#0004000000000000"]
    assert decode(tmp_path, *(f"(1.0) can0 {line}" for line in lines), "# a comment") == []


VIN = [
    "1CECFF00#20120003FFECFE00",
    "1CEBFF00#0159563353355037",
    "1CEBFF00#0232304441303030",
    "1CEBFF00#0330313731FFFFFF",
]


def test_transport_has_the_stamp_of_its_last_packet(tmp_path: Path) -> None:
    found = decode(tmp_path, *(f"(1.{n}) can0 {line}" for n, line in enumerate(VIN)))
    assert [(r["t"], r["spn"], r["value"]) for r in found] == [(1.3, 237, "YV3S5P720DA000017")]


def test_two_buses_in_one_log_do_not_mix(tmp_path: Path) -> None:
    both = [f"(1.{n}) can{bus} {line}" for n, line in enumerate(VIN) for bus in (0, 1)]
    assert len(decode(tmp_path, *both)) == 2
    mixed = [f"(1.{n}) can{n % 2} {line}" for n, line in enumerate(VIN)]
    assert decode(tmp_path, *mixed) == []


def test_a_corrupt_line_costs_itself_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("(1.0) can0 123#00\n(1.0) can0 18FEF1\n(1.0) can0 18FEF117#FF0032FFFFFFFFFF\n")
    found = FmsJ1939.decode(path)
    lines = []
    while True:
        try:
            lines.append(next(found))
        except StopIteration as end:
            told = end.value
            break
    assert [line["value"] for line in lines if line["spn"] == 84] == [50.0]
    assert "1 11-bit frame" in told and "2: expected a line like" in told


def test_a_log_without_one_frame_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x\.log:1: "):
        decode(tmp_path, "(1.0) can0 18FEF1")
