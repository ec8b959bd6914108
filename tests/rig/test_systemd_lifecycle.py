"""The shipped units under systemd 252: the table of lifecycle.py and situations.py in one boot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent.clock import BUILD_UTC_MS
from tests.rig.bus import Bus, board
from tests.rig.lifecycle import TABLE, Row, check, until_whole
from tests.rig.place import NoRig
from tests.rig.rig import Rig
from tests.rig.situations import SITUATIONS, Situation

READY_S = 10.0
"""From power to basic.target, with two cores that have little else to do: 5.0 to 6.5 s."""
A_FLAT_BATTERY = 5
"""The wall clock at the first boot, seconds since 1970."""


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    """One boot for the whole table. Each test leaves the agent whole."""
    try:
        rig = Rig(tmp_path_factory.mktemp("systemd"))
    except NoRig as reason:
        pytest.skip(str(reason))
    try:
        yield board(rig, clock=A_FLAT_BATTERY)
    finally:
        rig.close()


@pytest.mark.rig(
    "S1", "systemd: READY within 10 s of basic.target, without a network and a state directory"
)
def test_a_cold_start(bus: Bus, figures: dict[str, Any]) -> None:
    units = bus.units
    units.until(lambda: all(state.ready for state in units.states().values()), "READY", 90)
    # Measured inside, by PID 1.
    show = "systemctl show -P ActiveEnterTimestampMonotonic basic.target"
    basic_s = int(units.machine.shell(show)) / 1e6
    figures["basic_target_s"] = round(basic_s, 1)
    for name in units.names:
        of = units.show(name, properties="ActiveEnterTimestampMonotonic")[0]
        took_s = int(of["ActiveEnterTimestampMonotonic"]) / 1e6 - basic_s
        figures[f"ready_{name}_s"] = round(took_s, 1)
        assert took_s < READY_S, (
            f"{name}: READY {took_s:.1f} s after basic.target ({basic_s:.1f} s)"
        )
    assert "(created)" in units.log()
    units.until(lambda: "on flash: " in units.log(), "records are committed")
    assert "uplink down" in units.status("run")
    units.dial()
    until_whole(units)
    bus.settle(figures)


@pytest.mark.rig("C1", "clock at 1970 at boot: the far end has the right time of each record")
def test_a_clock_at_1970(bus: Bus, figures: dict[str, Any]) -> None:
    # systemd itself moves a clock from 1970 to its own build date, which is as wrong.
    assert int(bus.units.machine.shell("date +%s")) < BUILD_UTC_MS / 1000
    found = bus.settle(figures)
    wrong = [at for at in bus.dated() if abs(at.error_ms) > 5_000]
    assert found.accepted > 20 and len(bus.dated()) > 20
    assert not wrong, wrong[:5]


@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(s, id=s.play.__name__, marks=pytest.mark.rig(s.id, f"systemd: {s.what}"))
        for s in SITUATIONS
    ],
)
def test_situation(bus: Bus, figures: dict[str, Any], situation: Situation) -> None:
    figures.update(situation.play(bus.units) or {})
    bus.settle(figures)


def rows() -> list[Any]:
    """The table as parameters, each row with its id in the report."""
    return [
        pytest.param(
            row,
            id=f"{row.target}-{at}",
            marks=pytest.mark.rig(row.id, f"systemd: {row.situation}"),
        )
        for at, row in enumerate(TABLE)
        if row.id != "A12"  # test_systemd_units.py
    ]


@pytest.mark.parametrize("row", rows())
def test_table(bus: Bus, figures: dict[str, Any], row: Row) -> None:
    figures["heal_ms"] = check(bus.units, row)
    bus.settle(figures)
