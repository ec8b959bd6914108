"""3G as it is: slow, late, lossy; nearly nothing; and what both cost in bytes and seconds.

netem is on both ends of the vehicle's radio link, so a figure holds for each direction.
"""

from __future__ import annotations

import pytest

from tests.rig.drive import Drive
from tests.rig.rig import Rig

THIRD_GENERATION = ("rate", "384kbit", "delay", "300ms", "loss", "5%")
"""300 ms each way, so 600 ms there and back: the harder reading of "300 ms"."""


@pytest.mark.rig("G11", "3G: 384 kbit/s, 300 ms and 5 % loss each way; then 4 kbit/s, which is 1 %")
def test_a_slow_and_lossy_link(rig: Rig) -> None:
    drive = Drive(rig)
    drive.start()
    drive.modem("shape", *THIRD_GENERATION)
    drive.passes(30)
    drive.settles()
    found = drive.judge()
    wire = drive.wire()
    rig.note(
        **drive.latencies(),
        sent_bytes=wire.sent_bytes,
        received_bytes=wire.received_bytes,
        retransmitted_segments=wire.retransmitted_segments,
        bytes_a_record=round((wire.sent_bytes + wire.received_bytes) / found.accepted, 1),
    )
    print(rig.figures)
