"""The table of lifecycle.py under `brain up`, which plays PID 1 on a laptop: needs no guest."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.books import since
from tests.rig.feed import Feed
from tests.rig.laptop import Laptop
from tests.rig.lifecycle import TABLE, Row, check, settle, until_whole
from tests.rig.situations import SITUATIONS, Situation


@pytest.fixture(scope="module")
def laptop() -> Iterator[Laptop]:
    """One agent for the whole table. It starts without a broker and without a state directory."""
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        feed = Feed(11)
        made = Laptop(Path(name), feed)
        feed.start()
        try:
            yield made
        finally:
            made.close()
            feed.close()


def noted(laptop: Laptop, figures: dict[str, Any]) -> None:
    found = settle(laptop, laptop.ledger)
    figures.update(since(found, laptop.booked))
    laptop.booked = found


@pytest.mark.rig("S1-up", "brain up: READY without broker and state directory", slice=True)
def test_ready_without_a_network(laptop: Laptop, figures: dict[str, Any]) -> None:
    assert not laptop.state_dir.exists()
    laptop.start()
    laptop.until(lambda: all(state.ready for state in laptop.states().values()), "READY")
    laptop.until(lambda: "on flash: " in laptop.log(), "records are committed")
    assert laptop.answer("status")["uplink"]["state"] == "down"
    laptop.dial()
    until_whole(laptop)
    noted(laptop, figures)


@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(
            s,
            id=s.play.__name__,
            marks=pytest.mark.rig(f"{s.id}-up", f"brain up: {s.what}", slice=True),
        )
        for s in SITUATIONS
    ],
)
def test_situation(laptop: Laptop, figures: dict[str, Any], situation: Situation) -> None:
    figures.update(situation.play(laptop) or {})
    noted(laptop, figures)


@pytest.mark.rig("S5-up", "brain up: a reload starts and stops drivers", slice=True)
def test_drivers_come_and_go_with_their_sections(laptop: Laptop, figures: dict[str, Any]) -> None:
    before, fms = laptop.states(), laptop.sections["drivers.fms"]
    laptop.configure(drivers__fms=None)
    laptop.reload()
    laptop.until(lambda: "fms" not in laptop.states(), "the driver is gone")
    assert {name: state for name, state in before.items() if name != "fms"} == laptop.states()
    assert before["fms"].pid is not None and not alive(before["fms"].pid)
    laptop.configure(drivers__fms=fms)
    laptop.reload()
    until_whole(laptop)
    after = laptop.states()
    assert after["fms"].pid != before["fms"].pid and after["run"] == before["run"]
    # Both in one breath: the name is given to the new one when the old one has left.
    laptop.configure(drivers__fms=None)
    laptop.reload()
    laptop.until(lambda: "fms: has no section any more" in laptop.log(), "it is told to stop")
    laptop.configure(drivers__fms=fms)
    laptop.reload()
    until_whole(laptop)
    noted(laptop, figures)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            id=f"{row.target}-{at}",
            # The two that wait for a loop's allowance and a watchdog are for the long run.
            marks=pytest.mark.rig(
                f"{row.id}-up", f"brain up: {row.situation}", slice=row.id not in ("A12", "I2")
            ),
        )
        for at, row in enumerate(TABLE)
    ],
)
def test_table(laptop: Laptop, figures: dict[str, Any], row: Row) -> None:
    figures["heal_ms"] = check(laptop, row)
    noted(laptop, figures)
