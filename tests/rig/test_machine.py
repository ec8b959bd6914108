"""The rig itself: boots, shares, gives clock and disk, loses its power, never hides why."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.rig.machine import GuestFailed
from tests.rig.place import NoRig, Place
from tests.rig.rig import Rig


@pytest.mark.rig(
    "R1", "boots bare, runs the checkout's brain, tells output and exit code", slice=True
)
def test_runs_programs(rig: Rig) -> None:
    guest = rig.boot()
    rig.note(runs=1, heal_ms=round(guest.boot_s * 1000))
    done = guest.run("brain", "--version")
    assert done.output.startswith("brain ")
    assert guest.run("sh", "-c", "echo out; echo err >&2; exit 42", check=False).code == 42
    assert guest.run("sh", "-c", "kill -9 $$", check=False).code == -9
    # What the host shares cannot be written; everything else is the guest's own.
    assert "Read-only" in guest.run("touch", "/opt/brain/src/x", check=False).output
    guest.shell("echo mine > /etc/mine; cat /etc/mine")
    assert not (rig.place.root / "etc/mine").exists()


@pytest.mark.rig("R2", "boots with systemd as PID 1, no unit fails", slice=True)
def test_boots_with_systemd(rig: Rig) -> None:
    guest = rig.boot(systemd=True)
    rig.note(runs=1, heal_ms=round(guest.boot_s * 1000))
    assert guest.run("cat", "/proc/1/comm").output == "systemd\n"
    guest.until(
        lambda: "running" in guest.run("systemctl", "is-system-running", check=False).output,
        "the system is running",
    )
    assert guest.run("systemctl", "--failed", "--quiet", "--no-legend").output == ""


@pytest.mark.rig("R3", "a failure shows output and console, a lost guest is not waited for")
def test_failures_are_told(rig: Rig) -> None:
    guest = rig.boot()
    with pytest.raises(GuestFailed, match=r"(?s)code 3.*to the user.*--- console ---"):
        guest.run("sh", "-c", "echo to the user; exit 3")
    with pytest.raises(GuestFailed, match="not seen within 1 s: 'sleep 60' ends"):
        guest.run("sleep", "60", timeout_s=1)
    began = time.monotonic()
    guest.cut_power()
    with pytest.raises(GuestFailed):
        guest.run("true")
    assert time.monotonic() - began < 5
    assert not guest.alive


@pytest.mark.rig("R4", "a clock at 1970; a disk that keeps what was synced over a power cut")
def test_clock_and_disk(rig: Rig) -> None:
    disk = rig.disk()
    guest = rig.boot(disks=[disk], clock=5)
    assert int(guest.shell("date +%s")) < 600
    guest.shell("echo synced > /data/synced; sync; echo not > /data/not-synced")
    guest.cut_power()
    again = rig.boot(disks=[disk])
    assert again.shell("cat /data/synced") == "synced\n"
    # The negative control of every power cut: what only the page cache had is gone.
    assert again.run("cat", "/data/not-synced", check=False).output != "not\n"
    assert abs(int(again.shell("date +%s")) - time.time()) < 5


@pytest.mark.rig("R5", "a shaped link, a silent one, a closed one, another address")
def test_link(rig: Rig) -> None:
    guest = rig.boot(tap=rig.network().tap)
    modem = "/opt/brain/src/tests/rig/guest/modem"
    guest.run(modem, "start")
    ping = ("ping", "-q", "-c", "3", "-i", "0.3", "-W", "2", "10.99.0.1")
    assert "0% packet loss" in guest.run(*ping).output
    guest.run(modem, "shape", "delay", "150ms")
    round_trip_ms = float(guest.run(*ping).output.rsplit("= ", 1)[1].split("/")[0])
    assert 300 <= round_trip_ms < 400
    guest.run(modem, "clear")
    for close, reopen in (("silence", "heard"), ("down", "up")):
        guest.run(modem, close)
        assert guest.run(*ping, check=False).code != 0
        guest.run(modem, reopen)
        assert "0% packet loss" in guest.run(*ping).output
    guest.run(modem, "address", "10.99.0.77")
    assert "0% packet loss" in guest.run(*ping).output
    guest.run(modem, "mtu", "1200")
    assert "0% packet loss" in guest.run(*ping, "-s", "1000").output
    assert guest.run(*ping, "-s", "1400", check=False).code != 0


def test_a_kernel_that_was_not_built_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoRig, match=r"not run: no kernel 'own' in .*: make rig-kernel"):
        Place(tmp_path).kernel("own")
