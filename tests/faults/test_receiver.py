"""A receiver on its serial line whose time is wrong: rollover of weeks, a leap second."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from simulator.gnss_receiver import sentence
from simulator.processes import brain
from tests.faults.clocks import clock_source
from tests.faults.world import World

UTC_PATH = "Vehicle.Bus.Utc"


class Line:
    """The master side of a terminal at which `brain driver gnss` listens."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.said = 0

    def fix(self, time_of_day: str, date: str) -> None:
        """RMC and GGA of a position that goes east; `date` is ddmmyy."""
        self.said += 1
        east = f"01044.{self.said:05d}"
        rmc = f"GNRMC,{time_of_day},A,5954.00000,N,{east},E,10.0,90.0,{date},,,A"
        gga = f"GNGGA,{time_of_day},5954.00000,N,{east},E,1,09,0.9,40.0,M,40.0,M,,"
        os.write(self._fd, sentence(rmc) + sentence(gga))

    def second(self, at: datetime) -> None:
        """The fix of a moment."""
        self.fix(f"{at:%H%M%S}.00", f"{at:%d%m%y}")


@contextmanager
def serial_line(world: World) -> Iterator[Line]:
    """An agent with a receiver at a terminal; the driver is a process of its own, as always."""
    master, slave = pty.openpty()
    tty.setraw(master)
    tty.setraw(slave)
    world.configure(
        drivers__gnss=f'type = "gnss_nmea0183"\nport = "{os.ttyname(slave)}"\nbaud = 9600\n'
    )
    world.dial()
    world.start()
    where = ["--config", str(world.config), "--run-dir", str(world.run_dir)]
    argv = brain("driver", "gnss", *where, "--state-dir", str(world.state_dir))
    with (world.directory / "driver.log").open("ab") as log:
        driver = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        yield Line(master)
    finally:
        driver.terminate()
        driver.wait(10)
        os.close(master)
        os.close(slave)


def stated(world: World, path: str) -> list[float]:
    """The delivered values of a path of the receiver, by their numbers."""
    if not world.ledger.exists():
        return []
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT vals FROM record WHERE source = 'gnss' ORDER BY epoch, seq")
        values = [json.loads(text) for (text,) in rows]
    return [value[path] for value in values if path in value]


@pytest.mark.fault("C3", "a receiver that has lost count of 1,024 weeks, back or ahead", slice=True)
@pytest.mark.parametrize("weeks", [-1024, 1024])
def test_week_rollover(weeks: int, world: World) -> None:
    """The position is kept; the time is set right by whole rollovers or is not believed."""
    pause = threading.Event()
    with serial_line(world) as line:

        def speaks() -> bool:
            line.second(datetime.now(UTC) + timedelta(weeks=weeks))
            pause.wait(0.5)
            return len(stated(world, "Vehicle.CurrentLocation.Longitude")) >= 4

        world.until(speaks, "positions arrive", 60)
        source = clock_source(world)
        truth_ms = time.time_ns() / 1e6
        for utc_ms in stated(world, UTC_PATH):
            assert abs(utc_ms - truth_ms) < 60_000, "a date that is off by years was delivered"
        assert source in ("gnss", "rtc", "ntp")
        assert world.settle(healed_at=time.monotonic()).dropped == 0


@pytest.mark.fault("C4", "a leap second: 23:59:60", slice=True)
def test_leap_second(world: World) -> None:
    pause = threading.Event()
    seconds = ["235957", "235958", "235959", "235960"]
    with serial_line(world) as line:
        for time_of_day in seconds:
            line.fix(f"{time_of_day}.00", "311226")
            pause.wait(1.0)  # as often as a receiver speaks
        for second in range(4):
            line.fix(f"00000{second}.00", "010127")
            pause.wait(1.0)
        world.until(
            lambda: len(stated(world, "Vehicle.CurrentLocation.Longitude")) >= line.said - 1,
            "each position arrives",
        )
        utc_ms = stated(world, UTC_PATH)
        assert utc_ms == sorted(utc_ms), utc_ms
        assert utc_ms[-1] - utc_ms[0] <= 8_000
        assert world.settle(healed_at=time.monotonic()).dropped == 0
