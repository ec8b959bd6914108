"""3G as it is: slow, late, lossy; nearly nothing; and what both cost in bytes and seconds.

netem is on both ends of the vehicle's radio link, so a figure holds for each direction.
"""

from __future__ import annotations

import pytest

from tests.rig.drive import Drive
from tests.rig.rig import Rig

THIRD_GENERATION = ("rate", "384kbit", "delay", "300ms", "loss", "5%")
"""300 ms each way, so 600 ms there and back: the harder reading of "300 ms"."""
A_HUNDREDTH = ("rate", "4kbit", "delay", "300ms", "limit", "32")
ROUND_TRIP_MS = 600


@pytest.mark.rig("G11", "3G: 384 kbit/s, 300 ms and 5 % loss, each way")
def test_slow_and_lossy(rig: Rig) -> None:
    drive = Drive(rig, ballast=True)
    drive.start()
    drive.modem("shape", *THIRD_GENERATION)
    before = drive.wire()
    drive.load(400)
    drive.passes(12)
    drive.settles()
    found = drive.judge()
    wire, lost = drive.wire(), drive.lost_packets()
    events = drive.latencies("event")
    rig.note(
        **drive.latencies(),
        **events,
        sent_bytes=wire.sent_bytes - before.sent_bytes,
        received_bytes=wire.received_bytes - before.received_bytes,
        retransmitted_segments=wire.retransmitted_segments - before.retransmitted_segments,
        lost_packets_up=lost[0],
        lost_packets_down=lost[1],
    )
    assert min(lost) > 0, "5 % of the packets were lost, each way"
    # 200 kB of history are under way: an event does not wait for them.
    assert events["event_p50_ms"] < ROUND_TRIP_MS + 2_000
    # Everything once, with its headers and what was lost on the way; never everything twice.
    assert wire.sent_bytes - before.sent_bytes < 1.5 * (400 * 300 + found.accepted * 100)
    assert drive.status()["duplicates_sent"] == 0


@pytest.mark.rig("G11.1", "4 kbit/s, which is 1 % of 3G: progress, no repeats, alarms first")
def test_a_hundredth_of_the_rate(rig: Rig) -> None:
    drive = Drive(rig, ballast=True)
    drive.start()
    drive.modem("shape", *A_HUNDREDTH)
    before = drive.wire()
    drive.load(400)
    drive.delivers(30, timeout_s=120)
    crawled = drive.wire()
    status = drive.status()
    assert status["state"] == "up"
    assert (status["duplicates_sent"], status["resent_batches"]) == (0, 0), "no storm"
    drive.modem("clear")
    heal_s = drive.delivers(350, timeout_s=60)
    drive.settles()
    drive.judge()
    rig.note(
        heal_ms=round(heal_s * 1000),
        **drive.latencies("event"),
        crawl_bytes=crawled.sent_bytes - before.sent_bytes,
    )
