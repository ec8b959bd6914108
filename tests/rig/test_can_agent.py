"""The whole agent on a CAN interface of the kernel that has a mode, a bit rate and a state.

The bus is outside: an SLCAN stick on a serial line, of which the guest's kernel (module slcan)
makes a CAN interface. What the kernel asks of the stick is on the stick's record.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import pytest

from simulator.emission import Emission
from simulator.wires.j1939_slcan import SlcanWire
from tests import books
from tests.rig.feed import FULL_RATE, Feed
from tests.rig.machine import Machine
from tests.rig.onboard import RUN, Onboard
from tests.rig.rig import Rig
from tests.rig.vcan import ERRORS, LOST, READ, SCRIPTS, STATE

DRIVERS = """
[drivers.gnss]
type = "gnss_nmea0183"
port = "/dev/ttyS0"
[drivers.fms]
type = "fms_j1939"
interface = "socketcan"
channel = "can0"
"""
FRAMES = 14_000
LISTEN_ONLY = "Vehicle.Bus.Can.ListenOnly"
MODEM = "/opt/brain/src/tests/rig/guest/modem"
SET_UP = "ip link set can0 up type can bitrate 250000 listen-only"


def make_can0(guest: Machine) -> None:
    """The stick on ttyS1 becomes can0, down and without a mode."""
    stick = guest.start(f"{SCRIPTS}/slcan", "/dev/ttyS1", "down")
    stick.says("can")
    guest.shell(f"ip link set {stick.output.strip()} name can0")


def device(onboard: Onboard) -> str:
    """What `brain status` says of the FMS driver's device."""
    done = onboard.machine.run("brain", "status", "--json", "--run-dir", RUN, check=False)
    return str(done.json()["drivers"]["fms"]["device"]) if "{" in done.output else ""


def statuses(ledger: Path) -> list[dict[str, object]]:
    """What the drivers stated about themselves and the bus, in order."""
    with books._reader(ledger) as db:
        rows = db.execute(
            "SELECT vals FROM record WHERE kind = 'status' AND source = 'fms' ORDER BY epoch, seq"
        )
        return [json.loads(values) for (values,) in rows.fetchall()]


def counter(guest: Machine, name: str) -> int:
    """What the kernel has counted on can0."""
    return int(guest.shell(f"cat /sys/class/net/can0/statistics/{name}"))


def all_out(feed: Feed) -> int:
    """End the drive; frames that have gone out so far. What was under way may follow."""
    feed.stop()
    return feed.ledger.written["fms"]


@pytest.mark.rig(
    "K6",
    "the agent on a CAN interface with a mode: refused until it is listen-only; a full bus without "
    "a loss, the books balance, the stick was never asked to send",
)
def test_the_agent_on_a_listen_only_link(rig: Rig) -> None:
    feed = rig.feed(faults=frozenset({("can_silent", "fms")}))
    stick = feed.wires["fms"]
    assert isinstance(stick, SlcanWire)
    world = rig.world()
    guest = rig.boot(tap=world.network.tap, disks=[rig.disk()], serial=feed.serial)
    guest.run(MODEM, "start")
    guest.run(MODEM, "up")
    feed.start()
    make_can0(guest)
    onboard = Onboard(guest, drivers=DRIVERS)
    onboard.start()
    onboard.ready()
    guest.until(lambda: f"can0 is down. Bring it up with: {SET_UP} on" in device(onboard), "down")
    guest.shell(f"{SET_UP} on".replace("250000", "500000"))
    other = "can0 runs at 500000 bit/s, the configuration says 250000"
    guest.until(lambda: other in device(onboard), "another bit rate is said")
    guest.shell("ip link set can0 down")
    guest.shell(f"{SET_UP} off")
    refused = "can0 is not listen-only: its controller acknowledges frames. Set it with: "
    refused += f"ip link set can0 down && {SET_UP} on"
    guest.until(lambda: refused in device(onboard), "an active link is refused")
    guest.shell(f"ip link set can0 down && {SET_UP} on")
    guest.until(lambda: device(onboard) == "ok", "it is content", 90)

    feed.faults = FULL_RATE
    guest.until(lambda: feed.ledger.written.get("fms", 0) >= FRAMES, "the drive", 60)
    guest.until(lambda: all_out(feed) == counter(guest, "rx_packets"), "the kernel has them all")
    written = all_out(feed)
    guest.until(lambda: onboard.audit()["queued"] == 0, "everything is delivered", 60)
    feed.stop()
    zero_ms = {
        guest.shell("tr -d - </proc/sys/kernel/random/boot_id").strip(): round(guest.zero_s * 1000)
    }
    verdict = feed.judge(books.delivered(world.ledger, zero_ms))
    assert sum(verdict.missing.values()) == 0, verdict.examples
    assert sum(verdict.invented.values()) == 0, verdict.examples
    assert verdict.facts["fms"] > 100

    # The stick reports its controller; the kernel makes a state and an error frame of it.
    for line, state in ((b"sp130000", "error-passive"), (b"sb000000", "bus-off")):
        stick.write(Emission("fms", 0.0, line + b"\r"))
        guest.until(lambda state=state: f"can0 is {state}" in device(onboard), state)
    stick.write(Emission("fms", 0.0, b"sa000000\r"))
    guest.until(lambda: "bus-off" not in device(onboard), "it is content again")
    guest.until(
        lambda: {STATE: "error-active", ERRORS: 3}.items() <= merged(world.ledger).items(),
        "the state at the far end",
    )
    found = merged(world.ledger)
    states = [
        state
        for state, _ in groupby(said[STATE] for said in statuses(world.ledger) if STATE in said)
    ]
    assert found[LISTEN_ONLY] is True
    assert found[LOST] == 0
    assert states[-3:] == ["error-passive", "bus-off", "error-active"]
    audit, verified = onboard.audit(), onboard.verify()
    assert audit["accepted"] == audit["acknowledged"] + audit["queued"] + audit["dropped"]
    assert not verified["problems"]
    assert counter(guest, "tx_packets") == 0
    assert stick.transmitted == 0
    assert onboard.program is not None
    rig.note_books(books.books(world.ledger, [onboard.program.output]), runs=1)
    rig.note(bus_frames=written, delivered_frames=found[READ], facts=verdict.facts["fms"])


def merged(ledger: Path) -> dict[str, object]:
    """The last value of each of them."""
    return {path: value for said in statuses(ledger) for path, value in said.items()}
