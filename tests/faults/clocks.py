"""Clocks that are wrong: the wall clock of the agent alone (Debian's faketime), its boot time."""

from __future__ import annotations

import glob
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from tests.faults.feeding import CHECKOUT
from tests.faults.injection import NotHere
from tests.faults.world import World

HERE = Path(__file__).parent


class Wall:
    """The wall clock of the agent; its boot time and its timers stay true."""

    def __init__(self, world: World) -> None:
        found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not found:
            raise NotHere("faults: not run: faketime is missing: apt install faketime")
        self._file = world.directory / "wall"
        world.env |= {
            "LD_PRELOAD": found[0],
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_CACHE_DURATION": "1",
        }

    def set(self, text: str) -> None:
        """`+10y`, `-1h`: so far from the true time; `@1970-01-01 00:10:00`: that time."""
        new = self._file.with_suffix(".new")
        new.write_text(text + "\n")
        new.replace(self._file)


def booted_for(seconds: int) -> Sequence[str]:
    """What goes before a command line to run it on a machine that is up for so long already.

    A time namespace: root, Linux 5.6. Raises NotHere.
    """
    if os.geteuid() or not Path("/proc/self/timens_offsets").exists():
        raise NotHere("faults: not run: a time namespace needs root and Linux 5.6")
    ahead_s = seconds - int(time.clock_gettime(time.CLOCK_BOOTTIME))
    return [sys.executable, "-P", str(HERE / "later.py"), str(ahead_s)]


@contextmanager
def receiver(
    world: World, ahead_s: float = 0.0, name: str = "gnss"
) -> Iterator[Callable[[], None]]:
    """A driver that states UTC, so far ahead of the truth; call what is yielded to make it quiet.

    What goes on stating is never settled.
    """
    argv = [sys.executable, "-P", str(HERE / "gnss_clock.py"), str(world.run_dir / "ingest.sock")]
    argv += [str(world.directory), str(ahead_s), name]
    with (world.directory / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=CHECKOUT
        )
    assert process.stdin is not None
    line = process.stdin

    def hush() -> None:
        line.write(b"quiet\n")
        line.flush()

    try:
        yield hush
    finally:
        process.stdin.close()
        process.kill()
        process.wait()


def misdated_ms(world: World, source: str = "count") -> int | None:
    """How far the worst date of a delivered record is from the truth; None where one has none.

    The truth: this box's UTC now, less the boot time that has passed since the capture.
    """
    offset_ms = (
        time.time_ns() // 1_000_000 - time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    )
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT utc_ms, boottime_ms FROM record WHERE source = ?", (source,)
        ).fetchall()
    assert rows, "nothing was delivered"
    if any(utc is None for utc, _ in rows):
        return None
    return max(abs(utc - boot - offset_ms) for utc, boot in rows)


def clock_source(world: World) -> str:
    """What the agent follows for the time."""
    status = world.answer("status")
    return str(status.get("clock", {}).get("source"))


def captured_ms(world: World, kind: str = "sample") -> list[int]:
    """Boot times of the delivered records of the feeder `count`, by their numbers."""
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT boottime_ms FROM record WHERE source = 'count' AND kind = ?"
            " ORDER BY epoch, seq",
            (kind,),
        )
        return [int(at) for (at,) in rows]


def offset_rows(world: World, source: str = "gnss") -> list[int]:
    """The UTC offsets that the cloud end was told, of one kind of clock."""
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT utc_offset_ms FROM boot_offset WHERE source = ?", (source,))
        return [int(offset) for (offset,) in rows]
