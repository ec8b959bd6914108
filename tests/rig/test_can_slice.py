"""The part of SocketCAN for which `make test` has time: one boot."""

from __future__ import annotations

import pytest

from tests.rig.rig import Rig
from tests.rig.vcan import READ, SPEED, Can

KNOWN = "18FEF1{sa:02X}#F300{kmh:02X}FFFFFFFFFF"


@pytest.mark.rig(
    "K1",
    "a CAN interface: the kernel hands on known messages only, the driver transmits nothing, and "
    "hears again after the interface was down",
    slice=True,
)
def test_filtered_never_written_to_and_back_after_down(rig: Rig) -> None:
    can = Can(rig.boot())
    channel = can.interface()
    driver = can.driver(channel)
    lines = [KNOWN.format(sa=n % 5, kmh=n % 100) for n in range(100)]
    lines += ["18FF5B27#0102030405060708", "123#11", "18FEF100#R"] * 100
    sent = can.send(channel, lines)
    driver.read(100)
    assert (sent.frames, driver.latest(READ)) == (400, 100)
    can.machine.shell(f"ip link set {channel} down")
    driver.until(lambda: "is down. Bring it up with" in driver.devices()[-1], "it says so")
    sender = can.sender(channel, ["wait 1", *[KNOWN.format(sa=0, kmh=111), "wait 0.05"] * 40])
    can.machine.shell(f"ip link set {channel} up")
    sent = can.sent_by(sender)
    driver.until(lambda: driver.latest(SPEED) == 111.0, "it hears again")
    heal_ms = (
        next(said.now_ms for said in driver.said("ccvs1") if said.values.get(SPEED) == 111.0)
        - sent.first_ms
    )
    assert heal_ms <= 2000
    assert driver.stop() == ""
    heard = can.heard()
    assert heard == {"frames": can.sent, "errors": 0, "lost": 0}
    rig.note(runs=1, heal_ms=heal_ms, bus_frames=400, delivered_frames=100, transmitted=0)
