"""The shipped units under systemd 252: their watchdog, their journal, who may speak, and what each
cannot do, tried from inside its sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from agent.alarms import Alarm
from tests.rig.bus import Bus, board
from tests.rig.install import CANARY, PYTHON, SRC, WATCHDOG_S, unit
from tests.rig.lifecycle import TABLE as SITUATIONS
from tests.rig.lifecycle import check, until_whole
from tests.rig.place import NoRig
from tests.rig.program import GuestFailed
from tests.rig.rig import Rig
from tests.rig.sandbox import TABLE, UNITS

PROBE = f"{SRC}/tests/rig/guest/probe.py"
# Everything else is as shipped: only what is started differs, and that it may end.
INSTEAD = """[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecStart=
ExecStart={python} -P {probe} {arguments}
"""
DEVICES = {"run": ("/dev/ttyS0", "/dev/ttyS1"), "gnss": ("/dev/gnss", "/dev/ttyS1")}
DEVICES["fms"] = DEVICES["fms on can0"] = ("/dev/can-usb", "/dev/ttyS0")
OTHERS = {"run": "/var/lib/private/brain-driver-gnss"}


def probe(bus: Bus, who: str) -> dict[str, Any]:
    """What the probe says in the sandbox of a unit."""
    name = who.split(maxsplit=1)[0]
    own, other = DEVICES[who]
    arguments = f"{name} {own} {other} {OTHERS.get(who, '/var/lib/brain')}"
    instead = INSTEAD.format(python=PYTHON, probe=PROBE, arguments=arguments)
    bus.units.drop_in(name, "zz-probe", instead)
    since = bus.units.mark()
    bus.units.machine.run("systemctl", "start", unit(name))
    said = [line for line in bus.units.log(since).splitlines() if line.startswith("{")]
    return dict(json.loads(said[-1]))


STRANGER = """
import json, os, socket, sys
from agent.protocol import Hello, declare, decode_downward, encode
hello = Hello("fms", "fms_j1939", "1", "0" * 32, [], os.getpid())
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
    sock.settimeout(20)
    sock.connect("/run/brain/ingest.sock")
    sock.send(encode(hello))
    print(decode_downward(sock.recv(65536)))
"""

HANG = next(row for row in SITUATIONS if row.id == "A12")
LOOP_LIMIT_S = 15


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    """One boot; the units run until the table stops them."""
    try:
        rig = Rig(tmp_path_factory.mktemp("sandbox"))
    except NoRig as reason:
        pytest.skip(str(reason))
    try:
        made = board(rig)
        made.units.dial()
        until_whole(made.units, 90)
        yield made
    finally:
        rig.close()


@pytest.mark.rig("A12", f"systemd: {HANG.situation}", slice=True)
def test_a_hung_coordinator(bus: Bus, figures: dict[str, Any]) -> None:
    figures["heal_ms"] = check(bus.units, HANG)
    states = bus.units.states()
    assert [states[name].restarts for name in bus.units.names] == [1, 0, 0]
    bus.settle(figures)


@pytest.mark.rig("A12-control", "with the watchdog fed regardless the same check fails")
def test_the_check_fails_where_the_feed_is_forced(bus: Bus, figures: dict[str, Any]) -> None:
    fed = replace(
        HANG,
        inject=lambda units: units.break_it("run", "feed_anyway", "hang"),
        limit_s=LOOP_LIMIT_S + 2.0 * WATCHDOG_S,
    )
    with pytest.raises(GuestFailed, match=r"not seen within .* s: run is started again"):
        check(bus.units, fed)
    bus.units.signal("run", 9)
    until_whole(bus.units)
    bus.settle(figures)


@pytest.mark.rig("S9", "systemd: no driver speaks for another, whoever is in the group")
def test_nobody_speaks_for_another(bus: Bus, figures: dict[str, Any]) -> None:
    units, before = bus.units, bus.units.states()
    # In the group that may open the door, as each driver is; but another user.
    uid = units.machine.shell(f"stat -c %u /proc/{before['gnss'].pid}").strip()
    done = units.machine.run(
        *("setpriv", f"--reuid={uid}", "--regid=brain-ingest", "--clear-groups"),
        *(PYTHON, "-c", STRANGER),
        env={"PYTHONPATH": ""},
    )
    assert "Refused" in done.output and "may not speak as 'fms'" in done.output
    assert units.states() == before
    until_whole(units)
    refused = units.journal(f"MESSAGE_ID={Alarm.SPEAKER_REFUSED}")
    assert [f"user id {uid}" in entry["MESSAGE"] for entry in refused] == [True]
    # Whoever is not in the group does not even reach the door.
    done = units.machine.run(
        *("setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", PYTHON, "-c", STRANGER),
        check=False,
    )
    assert "PermissionError" in done.output
    bus.settle(figures)


@pytest.mark.rig("S10", "systemd: fields in the journal by which a fleet operator searches")
def test_the_journal(bus: Bus, figures: dict[str, Any]) -> None:
    units = bus.units
    about = units.journal("BRAIN_DRIVER=gnss")
    said = [entry["MESSAGE"] for entry in about]
    assert any(text.startswith("gnss: gnss_nmea0183") for text in said), said
    told = {entry["PRIORITY"] for entry in about if " connected, pid " in entry["MESSAGE"]}
    assert told == {"6"}
    assert not units.journal("BRAIN_DRIVER=fms", "BRAIN_DRIVER=gnss", f"_SYSTEMD_UNIT={unit('x')}")
    recording = units.journal(f"MESSAGE_ID={Alarm.RECORDING}")
    assert recording[0]["_SYSTEMD_UNIT"] == "brain.service"
    assert recording[0]["CODE_FUNC"] == "run" and recording[0]["LOGGER"] == "brain"
    # A driver that raises: one line for people; its traceback, many lines in one entry, for debug.
    since = units.mark()
    units.break_it("fms", "raise")
    units.until(lambda: "RuntimeError: on demand" in units.log(since), "the driver raised")
    until_whole(units)
    failed = units.journal(f"MESSAGE_ID={Alarm.DRIVER_FAILED}", "BRAIN_DRIVER=fms")
    assert len(failed) == 1 and failed[0]["PRIORITY"] == "3"
    traces = [
        e for e in units.journal("PRIORITY=7", "BRAIN_DRIVER=fms") if "Traceback" in e["MESSAGE"]
    ]
    assert len(traces) == 1
    assert traces[0]["MESSAGE"].splitlines()[-1] == "RuntimeError: on demand"
    bus.settle(figures)


@pytest.mark.rig("I12", "systemd: a planted password is nowhere in the journal")
def test_no_secret_is_logged(bus: Bus, figures: dict[str, Any]) -> None:
    units = bus.units
    assert units.machine.run("grep", "-q", CANARY, "/etc/brain/password", check=False).code == 0
    units.stop("run")
    units.start("run")
    until_whole(units)
    whole = units.machine.run("journalctl", "-b", "-o", "export", "--no-pager", "-a").output
    assert "uplink up" in whole and CANARY not in whole
    bus.settle(figures)


@pytest.mark.rig("S8", "systemd: what each unit cannot do, tried inside its sandbox")
def test_the_table(bus: Bus, figures: dict[str, Any]) -> None:
    units, guest = bus.units, bus.units.machine
    guest.shell("mknod /dev/ubda b 98 0; modprobe -a vcan can-raw")
    guest.shell("ip link add can0 type vcan; ip link set can0 up")
    bus.settle(figures)
    units.stop()
    found = {who: probe(bus, who) for who in UNITS[:3]}
    shipped = "/usr/lib/systemd/system/brain-driver@fms.service.d/device.conf"
    guest.shell(
        f"install -m 644 {SRC}/systemd/socketcan/brain-driver@fms.service.d/device.conf {shipped}"
    )
    guest.shell("rm /etc/systemd/system/brain-driver@fms.service.d/line.conf")
    found[UNITS[3]] = probe(bus, UNITS[3])
    figures["runs"] = len(UNITS)
    wrong = [
        f"{who}: {what}: {found[who].get(what)!r}, not {answers[at]!r}"
        for what, answers in TABLE.items()
        for at, who in enumerate(UNITS)
        if found[who].get(what) != answers[at]
    ]
    assert not wrong, "\n".join(wrong)
    assert all(found[who].keys() == TABLE.keys() for who in UNITS)
