"""A whole drive: vehicle outside, agent in the guest, modem between, broker and cloud end outside.

The guest is bare, the agent under `brain up`. `Drive` starts all of it, does things to the modem,
and in the end asks everybody who keeps books: the cloud end, the oracle, the agent itself.
"""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from simulator.emission import NO_FAULTS, ActiveFaults
from tests.books import (
    Books,
    accepted_in,
    books,
    delivered,
    highest,
    latencies_ms,
    records,
)
from tests.rig.onboard import SERIAL_DRIVERS, Onboard
from tests.rig.rig import Rig

MODEM = "/opt/brain/src/tests/rig/guest/modem"
BALLAST_PATH = "/opt/brain/src/tests/rig/ballast"
BALLAST = """
[drivers.ballast]
type = "rig_ballast"
load = "/rig/load"
"""
RING_S = 3.0
"""After this long nothing is in a driver's ring any more: 50 ms there, a commit each second."""


@dataclass(frozen=True)
class Wire:
    """What passed the vehicle's side of the radio since it was made, retransmissions included."""

    sent_bytes: int
    received_bytes: int
    retransmitted_segments: int


class Drive:
    """An agent that drives; `guest`, `feed`, `world`, `onboard` for what a test does to them."""

    def __init__(
        self, rig: Rig, *, drivers: str = SERIAL_DRIVERS, faults: ActiveFaults = NO_FAULTS,
        more: str = "", ballast: bool = False, links: bool = False, **boot: Any,
    ) -> None:  # fmt: skip
        """Boot and start all; the modem is unshaped. Raises NoRig, GuestFailed.

        `ballast`: with a driver that gives events, and as much history as `load` asks for. `links`:
        for a wire that is to be pulled.
        """
        self.rig = rig
        self.world = rig.world()
        self.feed = rig.feed(faults=faults, links=rig.directory if links else None)
        boot = {"serial": self.feed.serial, **boot}
        self.guest = rig.boot(disks=[rig.disk()], tap=self.world.network.tap, **boot)
        self.guest.run(MODEM, "start")
        self.boot = self.guest.shell("cat /proc/sys/kernel/random/boot_id").strip().replace("-", "")
        self._load = self.guest.control / "load"
        self._load.write_text("0")
        self.onboard = Onboard(
            self.guest, drivers=drivers + (BALLAST if ballast else ""), more=more
        )
        self.up = self.onboard.start(env={"PYTHONPATH": BALLAST_PATH} if ballast else None)

    def start(self) -> None:
        """Drive off once the drivers listen and the uplink is up."""
        self.onboard.ready()
        self.feed.start()
        self.guest.until(self.feed.open, "both ports are open")
        self.up.says("uplink up")
        self.delivers(1)

    def modem(self, *what: str) -> None:
        """See tests/rig/guest/modem."""
        self.guest.run(MODEM, *what)

    def load(self, records: int) -> None:
        """Have so many records of 500 bytes in all accepted, and wait until they are on flash."""
        before = self.accepted
        missing = records - int(self._load.read_text())
        self._load.write_text(str(records))
        self.guest.until(
            lambda: self.accepted >= before + missing, f"{missing} records are accepted",
            also=self.log,
        )  # fmt: skip

    def passes(self, seconds: float) -> None:
        """Let the vehicle drive for so long."""
        end = time.monotonic() + seconds
        self.guest.until(lambda: time.monotonic() >= end, "time passes", seconds + 60)

    @property
    def accepted(self) -> int:
        """The highest number that the agent said is on flash."""
        return sum(accepted_in([self.up.output]).values())

    @property
    def delivered(self) -> int:
        """The highest number of which the cloud end knows."""
        return sum(highest(self.world.ledger).values())

    def counted(self) -> int:
        """How many records the cloud end has."""
        return records(self.world.ledger)

    def delivers(self, records: int, timeout_s: float = 60.0) -> float:
        """Wait until so many records more have arrived; seconds that it took."""
        wanted, began = self.counted() + records, time.monotonic()
        self.guest.until(
            lambda: self.counted() >= wanted,
            f"{records} records more arrive",
            timeout_s,
            also=self.log,
        )
        return time.monotonic() - began

    def says_again(self, text: str, before: int, timeout_s: float) -> float:
        """Wait until the agent has said `text` more than `before` times; seconds that it took."""
        began = time.monotonic()
        self.guest.until(
            lambda: self.up.output.count(text) > before, repr(text), timeout_s, also=self.log
        )
        return time.monotonic() - began

    def log(self) -> str:
        """What the agent said last, without the lines of single commits."""
        lines = [line for line in self.up.output.splitlines() if "on flash" not in line]
        return "\n".join(lines[-40:])

    def wire(self) -> Wire:
        """Bytes on the radio and TCP segments that were sent again, both of the vehicle's side."""
        counts = self.guest.shell(
            "cat /sys/class/net/3g0/statistics/tx_bytes /sys/class/net/3g0/statistics/rx_bytes; "
            "grep ^Tcp: /proc/net/snmp"
        ).splitlines()
        names, values = (line.split() for line in counts[2:4])
        again = int(values[names.index("RetransSegs")])
        return Wire(int(counts[0]), int(counts[1]), again)

    def lost_packets(self) -> tuple[int, int]:
        """Packets that netem has dropped on the radio, from the vehicle and to it."""
        up = self.guest.shell("tc -s qdisc show dev 3g0")
        down = self.guest.shell("ip netns exec modem tc -s qdisc show dev radio")
        return _dropped(up), _dropped(down)

    def settles(self, timeout_s: float = 90.0) -> None:
        """The journey ends; wait until all that was accepted is delivered."""
        self.feed.stop()
        end = time.monotonic() + RING_S
        self.guest.until(
            lambda: time.monotonic() > end and self._through(),
            "all that was accepted is delivered",
            timeout_s,
            also=lambda: f"{books(self.world.ledger, [self.up.output])}\n{self.log()}",
        )
        self.feed.stop()  # what was on the wire when the journey ended is in the ledger now

    def _through(self) -> bool:
        """Whether all is delivered; the highest number may be there before all others."""
        if not 0 < self.accepted <= self.delivered:
            return False
        return books(self.world.ledger, [self.up.output]).lost == 0

    def first_fix_after(self, at_s: float) -> float:
        """Seconds from `at_s`, of the host's boot time, to the capture of the first fix after."""
        at_ms = round((at_s - self.guest.zero_s) * 1000)
        sql = (
            "SELECT min(boottime_ms) FROM record "
            "WHERE source = 'gnss' AND boottime_ms > ? AND vals LIKE '%Latitude%'"
        )
        found: list[int] = []

        def captured() -> bool:
            with closing(sqlite3.connect(f"file:{self.world.ledger}?mode=ro", uri=True)) as db:
                found[:] = [row[0] for row in db.execute(sql, (at_ms,)) if row[0] is not None]
            return bool(found)

        self.guest.until(captured, "a fix arrives", 60, also=self.log)
        return (found[0] - at_ms) / 1000

    def judge(self, runs: int = 1) -> Books:
        """All books, after `settles`: nothing lost, missing or invented. Enters the figures."""
        found = books(self.world.ledger, [self.up.output])
        self.rig.note_books(found, runs=runs)
        assert (found.lost, found.invented) == (0, 0), found.examples
        assert found.accepted > 0
        verdict = self.feed.judge(
            delivered(self.world.ledger, {self.boot: round(self.guest.zero_s * 1000)})
        )
        for source in ("gnss", "fms"):
            assert verdict.facts.get(source, 0) > 10, (source, verdict.facts)
            assert verdict.invented.get(source, 0) == 0, verdict
            assert verdict.missing.get(source, 0) == 0, verdict
        audit = self.onboard.audit()
        assert audit["balanced"] and not audit["gaps"], audit
        found_by_agent = self.onboard.verify()
        assert found_by_agent["sound"], found_by_agent
        return found

    def latencies(self, kind: str = "sample") -> dict[str, int]:
        """Capture to receipt: 50th, 95th and 99th of a hundred records of a kind, in ms."""
        zero_ms = {self.boot: round(self.guest.zero_s * 1000)}
        times = latencies_ms(self.world.ledger, zero_ms, kind)
        return {
            f"{kind}_p{p}_ms": times[min(len(times) - 1, len(times) * p // 100)]
            for p in (50, 95, 99)
        }

    def status(self) -> dict[str, Any]:
        """What `brain status` says of the uplink."""
        done = self.guest.run(
            "brain", "status", "--json", "--config", self.onboard.arguments[1],
            "--run-dir", self.onboard.arguments[3], check=False,
        )  # fmt: skip
        return dict(done.json()["uplink"])


def boottime_s() -> float:
    """The host's boot time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def connections(log: str) -> int:
    """How often the uplink came up."""
    return len(re.findall(r"uplink up", log))


def _dropped(shown: str) -> int:
    found = re.search(r"dropped (\d+)", shown)
    return int(found[1]) if found else 0
