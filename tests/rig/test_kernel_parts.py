"""What only a kernel of our own has: each part is shown to work, for the drivers that need it."""

from __future__ import annotations

import pytest

from tests.rig.rig import Rig

GUEST = "/opt/brain/src/tests/rig/guest"


@pytest.mark.rig("W1", "ISO-TP sockets: 1,024 bytes on vcan0, there and back")
def test_isotp(rig: Rig) -> None:
    guest = rig.boot(kernel="own")
    guest.shell("ip link add vcan0 type vcan; ip link set vcan0 up")
    assert "equal both ways" in guest.run("python3", f"{GUEST}/isotp.py").output
    rig.note(runs=1)


@pytest.mark.rig("W2", "V4L2: frames of a camera that is a program (vivid)")
def test_v4l2(rig: Rig) -> None:
    guest = rig.boot(kernel="own")
    guest.shell("modprobe vivid n_devs=1")
    size = "width=320,height=180,pixelformat=YUYV"
    capture = ("v4l2-ctl", "-d", "/dev/video0", "--set-fmt-video", size, "--stream-mmap")
    guest.run(*capture, "--stream-count=3", "--stream-to=/tmp/frames")
    assert guest.shell("stat -c %s /tmp/frames") == f"{3 * 320 * 180 * 2}\n"
    rig.note(runs=1)


@pytest.mark.rig("W3", "USB: a serial adaptor (CDC-ACM) passes bytes both ways")
def test_usb_serial(rig: Rig) -> None:
    guest = rig.boot(kernel="own")
    guest.run(f"{GUEST}/gadget", "start")
    guest.run(f"{GUEST}/gadget", "plug")
    guest.until(
        lambda: guest.run("test", "-e", "/dev/gnss", check=False).code == 0, "udev names the port"
    )
    through = guest.run("python3", f"{GUEST}/through.py", "/dev/ttyGS0", "/dev/gnss")
    assert "equal both ways" in through.output
    rig.note(runs=1)


@pytest.mark.rig("W4", "GPIO: an ignition line is driven from outside and read, each edge once")
def test_gpio(rig: Rig) -> None:
    guest = rig.boot(kernel="own")
    guest.shell(
        "mount -t configfs none /sys/kernel/config; "
        "mkdir -p /sys/kernel/config/gpio-sim/dashboard/bank0; "
        "echo 1 >/sys/kernel/config/gpio-sim/dashboard/live"
    )
    reader = guest.start("python3", f"{GUEST}/ignition.py", "2")
    reader.says("ignition 0\n")
    pull = "/sys/devices/platform/gpio-sim.0/gpiochip0/sim_gpio0/pull"
    guest.shell(f"echo pull-up >{pull}")
    reader.says("ignition 1\n")
    guest.shell(f"echo pull-down >{pull}")
    assert reader.wait().output == "ignition 0\nignition 1\nignition 0\n"
    rig.note(runs=1)


@pytest.mark.rig("W5", "TPM 2.0: random bytes, and a key that the chip made and keeps")
def test_tpm(rig: Rig) -> None:
    guest = rig.boot(kernel="own")
    guest.shell("mkdir /tmp/tpm")
    chip = guest.start(
        "swtpm", "chardev", "--tpm2", "--vtpm-proxy", "--tpmstate", "dir=/tmp/tpm",
        "--flags", "startup-clear",
    )  # fmt: skip
    chip.says("New TPM device: /dev/tpm0")
    env = {"TPM2TOOLS_TCTI": "device:/dev/tpm0"}
    drawn = {guest.run("tpm2_getrandom", "16", "--hex", env=env).output for _ in range(2)}
    assert len(drawn) == 2 and all(len(text.strip()) == 32 for text in drawn)
    made = guest.run("tpm2_createprimary", "-C", "o", "-c", "/tmp/key", env=env)
    assert "name-alg" in made.output
    rig.note(runs=1)
