"""One vehicle over many boots: its disk lives on, its power is cut, the world outside stays.

GNSS comes over a serial line, the bus at full load through an SLCAN stick that the guest's kernel
makes can0 of. What the agent said was on flash is kept from each boot.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.wires.j1939_slcan import SlcanWire
from simulator.wires.pty import boottime_ms
from tests.books import Books, accepted_in, booked, books, delivered, uncovered
from tests.rig.feed import FULL_RATE
from tests.rig.image import Found, extract, look
from tests.rig.machine import Machine
from tests.rig.onboard import Onboard
from tests.rig.rig import Rig

CAN_DRIVERS = """
[drivers.gnss]
type = "gnss_nmea0183"
port = "/dev/ttyS0"
[drivers.fms]
type = "fms_j1939"
interface = "socketcan"
channel = "can0"
"""
FAST_COMMITS = "[store]\ncommit_interval_s = 0.1\n"
"""Ten commits a second instead of one: a random moment falls into one ten times as often."""
SRC = "/opt/brain/src/tests/rig"


class Journey:
    """Boots, cuts, and the books of all of it. `seed` is told when something is found.

    `utc_ms`: the date in the vehicle's world, None: the seed's.
    """

    def __init__(
        self, rig: Rig, *, seed: int = 7, megabytes: int = 64, utc_ms: int | None = None
    ) -> None:
        self.rig = rig
        self.seed = seed
        self.random = random.Random(seed)
        self.world = rig.world()
        self.feed = rig.feed(seed, faults=FULL_RATE, utc_start_ms=utc_ms)
        self.more = ""
        """Further sections of the agent's configuration."""
        self.share: list[tuple[Path, str]] = []
        """Directories of the host that the guest may write to; see Boot."""
        self.disk = rig.disk(megabytes=megabytes)
        self.disks = [self.disk]
        """All of the guest's; the agent's is the one that is at /data when it starts."""
        self.logs: list[str] = []
        self.zero_ms: dict[str, int] = {}
        self.ready_s: list[float] = []
        self.onboard: Onboard | None = None
        self._down_ms = 0

    @property
    def machine(self) -> Machine:
        """The guest that is on."""
        return self.running.machine

    @property
    def running(self) -> Onboard:
        """The agent in it."""
        assert self.onboard is not None
        return self.onboard

    @property
    def log(self) -> str:
        """What the agent has said in this boot."""
        program = self.running.program
        return program.output if program else ""

    def boot(
        self,
        *,
        link: bool = True,
        prepare: str = "",
        ready: bool = True,
        env: Mapping[str, str] | None = None,
    ) -> Onboard:
        """Switch on, run the shell script `prepare`, start the agent; `env` is its environment.

        Waits until it is READY unless that is not wanted.
        """
        if not self.feed.zero_ms:
            self.feed.start()
            self._down_ms = self.feed.zero_ms
        machine = self.rig.boot(
            disks=self.disks,
            serial=self.feed.serial,
            tap=self.world.network.tap,
            share=self.share,
        )
        self.onboard = Onboard(machine, drivers=CAN_DRIVERS, more=FAST_COMMITS + self.more)
        stick = machine.start(f"{SRC}/guest/slcan", "/dev/ttyS1", name="slcan")
        boot = machine.shell(
            f"ip address add 10.99.0.2/24 dev eth0; ip link set eth0 {'up' if link else 'down'};"
            "cat /proc/sys/kernel/random/boot_id"
        )
        self.zero_ms[boot.strip().replace("-", "")] = round(machine.zero_s * 1000)
        if prepare:
            machine.shell(prepare)
        stick.says("can0")
        began = time.monotonic()
        self.running.start(env=dict(env or {}))
        if ready:
            self.says("recording for")
            self.ready_s.append(time.monotonic() - began)
        return self.running

    def link(self, state: str) -> None:
        """`up` or `down`: the guest's interface to the world."""
        self.machine.shell(f"ip link set eth0 {state}")

    def hears(self) -> None:
        """Wait until both drivers hear their devices; what was on the wires before is not owed."""
        self.says("gnss: device ok")
        self.says("fms: device ok")
        # A port is open before its driver listens: here that takes longer than a second.
        for source in self.feed.wires:
            self.feed.deaf(source, self._down_ms)

    def says(self, text: str, timeout_s: float = 60.0) -> None:
        """Wait until the agent has logged `text` in this boot."""
        assert self.running.program is not None
        self.running.program.says(text, timeout_s)

    def accepted(self) -> int:
        """How many records it has said are on flash, over all boots."""
        return sum(accepted_in([*self.logs, self.log]).values())

    def accepts(self, records: int, timeout_s: float = 60.0) -> None:
        """Wait until that many more records are said to be on flash."""
        target = self.accepted() + records
        self.machine.until(
            lambda: self.accepted() >= target,
            f"{records} more records on flash",
            timeout_s,
            also=lambda: self.log,
        )

    def drives(self, seconds: float) -> None:
        """Wait that long: what is heard within seconds of a cut is not judged."""
        until = time.monotonic() + seconds
        self.machine.until(lambda: time.monotonic() >= until, "some way is driven")

    def cut(self, after_s: float = 0.0) -> None:
        """Cut the power `after_s` from now."""
        at = time.monotonic() + after_s
        self.machine.until(lambda: time.monotonic() >= at, "the moment of the cut")
        self.feed.power_cut()
        self.machine.cut_power()
        self._ended()

    def switch_off(self, script: str) -> None:
        """Stop the agent in an orderly way, run the shell script, power off."""
        program = self.running.program
        assert program is not None
        program.kill()
        program.wait()
        self.machine.shell(script)
        self.feed.power_cut()
        self.machine.power_off()
        self._ended()

    def _ended(self) -> None:
        self._down_ms = boottime_ms()
        self.logs.append(self.log)
        self.machine.close()

    def on_disk(self) -> Found:
        """What the next boot will find, and in `wrong` what of the accepted is nowhere any more.

        A copy of its state directory is left at `state`.
        """
        found = look(extract(self.disk, self.rig.directory / "extracted"))
        if found.opened not in {"clean", "unclean"}:
            found.wrong.append(f"the outbox is {found.opened}")
        missing = uncovered(accepted_in(self.logs), found.held, booked(self.world.ledger))
        if missing:
            found.wrong.append(f"accepted and neither delivered nor on the disk: {missing}")
        return found

    @property
    def state(self) -> Path:
        """Where `on_disk` leaves what it looked at."""
        return self.rig.directory / "extracted" / "state"

    def books(self) -> Books:
        """Of all boots so far."""
        logs = [*self.logs, self.log] if self.machine.alive else self.logs
        return books(self.world.ledger, logs)

    def arrive(self, timeout_s: float = 90.0) -> tuple[Books, dict[str, Any]]:
        """End the journey: silence on the wires, then wait until all that was accepted is booked.

        The books and `brain audit` as they are then, or when the time is up.
        """
        self.feed.stop()
        deadline = time.monotonic() + timeout_s
        while True:
            self.machine.listen(0.2)
            audit, found = self.running.audit(), self.books()
            through = not found.lost and not audit["queued"]
            if through or time.monotonic() > deadline:
                return found, audit

    def judge(self) -> dict[str, Any]:
        """What the world says: facts missing and values invented, by source."""
        stick = self.feed.wires["fms"]
        assert isinstance(stick, SlcanWire)
        assert stick.transmitted == 0, "something was sent on the vehicle's bus"
        verdict = self.feed.judge(delivered(self.world.ledger, self.zero_ms))
        assert min(verdict.facts.get(source, 0) for source in self.feed.wires) > 5, verdict.facts
        return {
            "facts": verdict.facts,
            "missing": sum(verdict.missing.values()),
            "invented": sum(verdict.invented.values()),
            "examples": verdict.examples[:8],
            "cuts_ms": sorted({at_ms for _, at_ms in self.feed.ledger.kills}),
        }
