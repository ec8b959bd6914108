"""A GNSS receiver on a USB serial adaptor: pulled while open, plugged in again under another name.

The adaptor is a gadget in the guest; what it says comes from the vehicle outside, through ttyS0.
"""

from __future__ import annotations

import pytest

from tests.rig.drive import Drive, boottime_s
from tests.rig.onboard import SERIAL_DRIVERS
from tests.rig.rig import Rig

GUEST = "/opt/brain/src/tests/rig/guest"
GADGET = f"{GUEST}/gadget"
PULLED_S, BACK_S = 12, 3.0
HOLDER = """
import os, signal, sys
os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
os.write(1, b"held\\n")
signal.pause()
"""


@pytest.mark.rig("D1.1", "USB serial pulled while open, back as ttyACM1: gap <= unplug + 3 s")
def test_usb_serial_under_another_name(rig: Rig) -> None:
    drive = Drive(rig, kernel="own", drivers=SERIAL_DRIVERS.replace('"/dev/ttyS0"', '"/dev/gnss"'))
    drive.guest.run(GADGET, "start")
    drive.guest.run(GADGET, "plug")
    relay = ("python3", f"{GUEST}/relay.py", "/dev/ttyS0", "/dev/ttyGS0", "/run/plugged")
    drive.guest.start(*relay)
    drive.start()
    drive.passes(5)
    assert drive.guest.shell("readlink /dev/gnss") == "ttyACM0\n"

    # Somebody else has the old name open, so the kernel cannot give it again.
    holder = drive.guest.start("python3", "-c", HOLDER, "/dev/ttyACM0")
    holder.says("held")
    pulled_s = boottime_s()
    drive.guest.run(GADGET, "pull")
    drive.up.says("Was the receiver unplugged?")
    drive.passes(PULLED_S)
    drive.guest.run(GADGET, "plug")
    gap_s = drive.first_fix_after(boottime_s())
    drive.feed.deaf("gnss", round(pulled_s * 1000))  # the relay hears, the adaptor is out
    assert drive.guest.shell("readlink /dev/gnss") == "ttyACM1\n"
    drive.passes(3)
    drive.settles()
    drive.judge()
    rig.note(heal_ms=round(gap_s * 1000))
    assert gap_s < BACK_S
