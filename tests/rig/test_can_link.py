"""CAN interfaces that go down, away and come back under the driver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rig.rig import Rig
from tests.rig.vcan import READ, SPEED, Can, guest_with_can


@pytest.fixture(scope="module")
def can(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Can]:
    """The guest, its CAN interfaces and the second socket."""
    yield from guest_with_can(tmp_path_factory.mktemp("can"))


@pytest.mark.rig("E2", "interface removed and made again: heard within 2 s, counts go on")
def test_removed_and_made_again(rig: Rig, can: Can) -> None:
    channel = can.interface()
    driver = can.driver(channel)
    healed_ms = []
    for life in (1, 2, 3):
        can.send(channel, [f"18FEF100#F300{life:02X}FFFFFFFFFF"])
        driver.until(lambda life=life: driver.latest(SPEED) == float(life), "it hears")
        can.machine.shell(f"ip link delete {channel}")
        driver.until(lambda: "is not there" in driver.devices()[-1], "it says so")
        kmh = 100 + life
        sender = can.sender(channel, [f"18FEF100#F300{kmh:02X}FFFFFFFFFF", "wait 0.02"] * 100)
        can.machine.shell(f"ip link add {channel} type vcan && ip link set {channel} up")
        sent = can.sent_by(sender)
        driver.until(lambda kmh=kmh: float(kmh) in driver.values(SPEED), "it hears again")
        heard_ms = next(
            said.now_ms for said in driver.said("ccvs1") if said.values.get(SPEED) == float(kmh)
        )
        healed_ms.append(heard_ms - sent.first_ms)
        driver.until(lambda: driver.devices()[-1] == "ok", "it is content")
    assert max(healed_ms) <= 2000
    counts = [said.values[READ] for said in driver.said("bus")]
    assert counts == sorted(counts)
    assert driver.stop() == ""
    rig.note(runs=len(healed_ms), heal_ms=max(healed_ms))


@pytest.mark.rig("E2", "interface down when the driver starts, and down and up again")
def test_down_at_the_start(rig: Rig, can: Can) -> None:
    channel = can.interface()
    can.machine.shell(f"ip link set {channel} down")
    driver = can.driver(channel)
    assert f"{channel} is down. Bring it up with: ip link set {channel} up" in driver.devices()
    healed_ms = []
    for kmh in (10, 20, 30):
        sender = can.sender(channel, [f"18FEF100#F300{kmh:02X}FFFFFFFFFF", "wait 0.02"] * 50)
        can.machine.shell(f"ip link set {channel} up")
        sent = can.sent_by(sender)
        driver.until(lambda kmh=kmh: float(kmh) in driver.values(SPEED), "it hears")
        heard_ms = next(
            said.now_ms for said in driver.said("ccvs1") if said.values.get(SPEED) == float(kmh)
        )
        healed_ms.append(heard_ms - sent.first_ms)
        driver.until(lambda: driver.devices()[-1] == "ok", "it is content")
        can.machine.shell(f"ip link set {channel} down")
        driver.until(lambda: "is down" in driver.devices()[-1], "it says so")
    assert max(healed_ms) <= 2000
    assert driver.stop() == ""
    rig.note(runs=len(healed_ms), heal_ms=max(healed_ms))


@pytest.mark.rig("E2", "no such interface, none of CAN, one that is down or silent: it is said")
def test_absent_at_the_start(rig: Rig, can: Can) -> None:
    script = (
        "import time; from drivers.fms_j1939.driver import *; began = time.monotonic()\n"
        "from pathlib import Path; from types import SimpleNamespace\n"
        "ctx = SimpleNamespace(workdir=Path('/tmp'))\n"
        "try: FmsJ1939(FmsConfig(channel='{}', interface='socketcan')).run(ctx)\n"
        "except DeviceUnavailable as error: print(time.monotonic() - began, error)"
    )
    for channel, why in (("can0", "CAN interface can0 is not there"), ("lo", "lo is no CAN inter")):
        said = can.machine.python("-P", "-c", script.format(channel)).output
        assert why in said
        assert float(said.split()[0]) < 2.0
    name = can.interface()
    probe = f"print(FmsJ1939(FmsConfig(channel='{name}', interface='socketcan')).probe())"
    script = "from drivers.fms_j1939.driver import *; " + probe
    said = can.machine.python("-P", "-c", script).output
    assert f"socketcan {name} (virtual) is open, but the bus is silent" in said
    can.machine.shell(f"ip link set {name} down")
    said = can.machine.python("-P", "-c", script, check=False).output
    assert f"DeviceUnavailable: {name} is down. Bring it up with" in said
    rig.note(runs=4)


@pytest.mark.rig("E9", "a second socket: of all that was on any interface, the driver sent nothing")
def test_nothing_was_transmitted(rig: Rig, can: Can) -> None:
    """Last: it ends the second socket, which has heard all tests before it in this guest."""
    can.ends_unheard()
    rig.note(runs=1, bus_frames=can.sent, transmitted=0)
