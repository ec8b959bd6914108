"""A cluster that wakes up with 37.5 km is not believed where the run before knew better."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.fms_j1939.beliefs import Statement
from drivers.fms_j1939.frames import Frame
from drivers.fms_j1939.guards import GUARDS, REPLACED_MS, Guard, odometer_from
from drivers.fms_j1939.odometer_memory import ODOMETER, OdometerMemory
from drivers.fms_j1939.receiver import Receiver
from drivers.fms_j1939.table import PGNS

TRUTH_M = 158_910_600.0
WAKING_M = 37_500.0


def vdhr(metres: float, sa: int = 0x17) -> Frame:
    payload = int(metres / 5).to_bytes(4, "little") + b"\xff" * 4
    return Frame(0x18FEC100 | sa, payload, True, False)


def stated(statements: list[Statement]) -> list[object]:
    return [s.values.get(ODOMETER, s.states.get(ODOMETER)) for s in statements]


def test_the_truth_is_believed_at_once_and_the_waking_cluster_is_not() -> None:
    receiver = Receiver(guards={**GUARDS, ODOMETER: odometer_from(TRUTH_M)})
    said = []
    for second in range(400):
        metres = 0.0 if second < 2 else WAKING_M if second < 376 else TRUTH_M
        said += stated(receiver.frame(vdhr(metres), second * 1000))
    assert {value for value in said if isinstance(value, float)} == {TRUTH_M}
    assert "implausible" in said and said[-1] == TRUTH_M


def test_an_odometer_that_a_workshop_put_in_is_believed_in_the_end() -> None:
    guard = Guard(odometer_from(TRUTH_M))
    assert not any(guard.believes(WAKING_M, ms) for ms in range(0, REPLACED_MS, 10_000))
    assert guard.believes(WAKING_M, REPLACED_MS)
    assert guard.believes(WAKING_M + 20, REPLACED_MS + 1_000)


def test_it_is_kept_over_restarts(tmp_path: Path) -> None:
    group = PGNS[65217].group
    memory = OdometerMemory(tmp_path)
    assert memory.last_m is None
    memory.see([Statement(group, {ODOMETER: TRUTH_M}, {})], 0)
    memory.see([Statement(group, {ODOMETER: TRUTH_M + 500}, {})], 1_000)
    assert OdometerMemory(tmp_path).last_m == TRUTH_M
    memory.keep()
    assert OdometerMemory(tmp_path).last_m == TRUTH_M + 500


@pytest.mark.parametrize("text", ["", "x", "-5", "0", "9" * 400, "\xff", "1e9"])
def test_a_damaged_file_is_no_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / "odometer").write_text(text, encoding="latin-1")
    assert OdometerMemory(tmp_path).last_m is None


def test_a_place_that_cannot_be_written_costs_the_memory_alone(tmp_path: Path) -> None:
    memory = OdometerMemory(tmp_path / "absent")
    memory.see([Statement(PGNS[65217].group, {ODOMETER: TRUTH_M}, {})], 0)
    assert OdometerMemory(tmp_path / "absent").last_m is None
