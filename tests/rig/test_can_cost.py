"""What receiving costs, and whether the sandbox of the unit lets the driver do it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.rig.place import CHECKOUT
from tests.rig.rig import Rig
from tests.rig.vcan import LOST, PYTHON, READ, SCRIPTS, SPEED, Alone, Can

OURS = "CAN_RAW, filter (the driver)"


@pytest.mark.rig("K5", "system calls by 1,000 bus frames: the driver, other readers, CAN_BCM")
def test_system_calls_by_frame(rig: Rig) -> None:
    guest = rig.boot()
    guest.shell("modprobe -a vcan can-raw can-bcm")
    script = f"cd /opt/brain/src && {PYTHON[0]} -m benchmarks.can_receive --seconds 1.5 --json"
    done = guest.run("sh", "-ec", script, timeout_s=180)
    rows = {row["reader"]: row for row in json.loads(done.output)["rows"]}
    calls = {reader: row["calls"] for reader, row in rows.items()}
    statements = {reader: row["statements"] for reader, row in rows.items()}
    # Whole batches: a small part of what a call a frame costs, filtered or not.
    assert calls[OURS] * 4 < calls["CAN_RAW, filter, recvmsg"] < calls["python-can"]
    # The filter takes nothing away that is stated; CAN_BCM's throttle takes most changes.
    assert statements[OURS] >= 0.95 * statements["CAN_RAW, no filter"]
    assert statements["CAN_BCM, changes, 1 s"] < 0.5 * statements["CAN_BCM, changes"]
    # What decides between them: no dearer in calls by much, and nothing left unsaid.
    assert calls[OURS] < 2 * calls["CAN_BCM, changes"]
    assert statements[OURS] >= statements["CAN_BCM, changes"]
    cpu_ms = {reader: [row["user_ms"], row["system_ms"]] for reader, row in rows.items()}
    rig.note(runs=1, calls=calls, statements=statements, user_and_system_ms=cpu_ms)


@pytest.mark.rig(
    "K7", "the unit with its drop-in for SocketCAN: the driver reads and may do no more"
)
def test_the_sandbox_of_the_unit(rig: Rig) -> None:
    guest = rig.boot(systemd=True)
    can = Can(guest)
    channel = can.interface()
    unit = (CHECKOUT / "systemd/brain-driver@.service").read_text()
    dropin = Path("systemd/socketcan/brain-driver@fms.service.d/device.conf")
    script = f"{SCRIPTS}/can_driver.py"
    (guest.control / "driver.service").write_text(
        # Neither the coordinator nor its door is here; everything else is as it ships.
        "\n".join(
            line
            for line in unit.splitlines()
            if not line.startswith(("ExecStart=", "Type=", "Watchdog", "After=", "Requires=",
                                    "NotifyAccess=", "SupplementaryGroups=", "RestartSec=",
                                    "Restart="))
        )
    )  # fmt: skip
    (guest.control / "own.conf").write_text(
        f"[Service]\nType=exec\nExecStart={' '.join(PYTHON)} {script} {channel}\n"
        "StandardOutput=file:/run/driver.out\nWorkingDirectory=/opt/brain/src\n"
    )
    guest.shell(
        "d=/etc/systemd/system; mkdir -p $d/brain-driver@fms.service.d; "
        "cp /rig/driver.service $d/brain-driver@.service; "
        f"cp /opt/brain/src/{dropin} $d/brain-driver@fms.service.d/; "
        "cp /rig/own.conf $d/brain-driver@fms.service.d/; "
        "systemctl daemon-reload; systemctl start brain-driver@fms"
    )
    driver = Alone(guest, guest.start("tail", "-n", "+1", "-f", "/run/driver.out", name="driver"))
    driver.until(lambda: driver.said("bus"), "the driver has its interface open", 30)
    can.send(channel, [f"18FEF100#F300{n:02X}FFFFFFFFFF" for n in range(50)])
    driver.until(lambda: driver.latest(SPEED) == 49.0, "it reads")
    driver.until(lambda: (driver.latest(READ), driver.latest(LOST)) == (50, 0), "all are counted")
    guest.shell(f"ip link set {channel} down")
    driver.until(lambda: "is down" in driver.devices()[-1], "it sees the link")
    guest.shell(
        "d=/etc/systemd/system/brain-driver@fms.service.d; systemctl stop brain-driver@fms; "
        f"sed -i 's#^ExecStart=.*#ExecStart={' '.join(PYTHON)} {SCRIPTS}/can_families.py#; "
        "s#driver.out#probe.out#' $d/own.conf; systemctl daemon-reload; "
        "systemctl start brain-driver@fms"
    )
    guest.until(
        lambda: guest.shell("cat /run/probe.out 2>/dev/null || true").count("\n") == 5, "the probe"
    )
    refused = "Address family not supported by protocol"
    assert guest.shell("cat /run/probe.out").splitlines() == [
        f"AF_INET: {refused}",
        f"AF_INET6: {refused}",
        f"AF_PACKET: {refused}",
        "AF_CAN: yes",
        "AF_NETLINK: yes",
    ]
    heard = can.heard()
    assert (heard["frames"], heard["lost"]) == (can.sent, 0)
    rig.note(runs=1)
