"""A receiver on a serial line of the guest, fed from the host at the pace of 9600 baud.

The guest's terminals have no baud rate, so the wire keeps the pace and cuts sentences anywhere; a
wrong rate is played on pseudo-terminals only (tests/drivers). What a line says is judged by the
oracle: each fix that was heard is delivered, and no other.
"""

from __future__ import annotations

import json
import random

import pytest

from simulator.emission import Emission
from tests.rig.drive import Drive, boottime_s
from tests.rig.rig import Rig

GARBAGE_BYTES = 400
"""Between two bursts of some 500 bytes: 960 bytes a second are full."""
SILENT_S = 20.0
"""Longer than the 15 s after which the driver opens the port anew."""
GONE_S = 10.0
BACK_S = 3.0
"""So long after the plug is in again the first fix has been captured."""


@pytest.mark.rig("D2", "noise at the full rate of 9600 baud, sentences cut anywhere: no wrong fix")
@pytest.mark.rig("D6", "a receiver that says nothing for 20 s is heard as soon as it speaks again")
@pytest.mark.rig("D1", "the line is pulled while open and plugged in again: gap <= unplug + 3 s")
def test_a_receiver_on_a_bad_line(rig: Rig) -> None:
    drive = Drive(rig, links=True)
    drive.start()
    memory_kb = resident_kb(drive)

    noise = random.Random(2)
    for _ in range(8):
        drive.feed.wires["gnss"].write(Emission("gnss", 0.0, noise.randbytes(GARBAGE_BYTES)))
        drive.passes(1)
    assert resident_kb(drive) - memory_kb < 2_000, "noise is not kept"

    speak = drive.feed.wires["gnss"].write
    drive.feed.wires["gnss"].write = lambda emission: None  # type: ignore[method-assign]
    drive.passes(SILENT_S)
    drive.feed.wires["gnss"].write = speak  # type: ignore[method-assign]
    silence_s = drive.first_fix_after(boottime_s())

    drive.feed.pull()
    drive.passes(GONE_S)
    drive.feed.plug()
    gap_s = drive.first_fix_after(boottime_s())

    drive.settles()
    drive.judge()
    rig.note_for("D6", heal_ms=round(silence_s * 1000))
    rig.note_for("D1", heal_ms=round(gap_s * 1000))
    assert silence_s < BACK_S
    assert gap_s < BACK_S
    assert children(drive) == {"run": 0, "gnss": 0, "fms": 0}, "nobody was restarted"


def resident_kb(drive: Drive) -> int:
    """Memory of the GNSS driver's process."""
    pid = json.loads(drive.guest.shell("cat /run/brain/up.json"))["drivers"]["gnss"]["pid"]
    return int(drive.guest.shell(f"grep VmRSS /proc/{pid}/status").split()[1])


def children(drive: Drive) -> dict[str, int]:
    """How often `brain up` has restarted each of its children."""
    up = json.loads(drive.guest.shell("cat /run/brain/up.json"))
    return {name: child["restarts"] for name, child in {"run": up["run"], **up["drivers"]}.items()}
