"""Files reach the cloud whole, through everything, and never in the way of telemetry."""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.hil.files_rig import VEHICLE, Rig, running

FILE_BYTES = 1_000_000


def settle(rig: Rig, *names: str, within_s: float = 90.0) -> None:
    """Every file is whole in the cloud and forgotten on the box, and the books say so."""
    for name in names:
        rig.wait_whole(rig.ordered[name], within_s)
    rig.wait("the box has forgotten them", rig.settled)
    audit = rig.audit()
    assert audit["balanced"]
    assert audit["dropped"] == 0
    assert rig.report()["vehicles"][VEHICLE]["conflicts"] == 0


def sent_again(rig: Rig) -> int:
    """Chunks that passed the link more than once, as often as they did."""
    return sum(times - 1 for times in Counter(rig.link.chunks).values())


def test_a_file_reaches_the_cloud_and_leaves_the_box(run_dir: Path) -> None:
    with running(run_dir) as rig:
        rig.order("clip.mp4", FILE_BYTES)
        rig.order("empty.bin", 0)
        settle(rig, "clip.mp4", "empty.bin")
        assert rig.made("clip.mp4")
        files = rig.report()["vehicles"][VEHICLE]["files"]
        assert {(f["path"], f["size"], f["whole"]) for f in files} == {
            ("clip.mp4", FILE_BYTES, True),
            ("empty.bin", 0, True),
        }
        assert sent_again(rig) == 0


@pytest.mark.parametrize("victim", ["agent", "cloud", "broker"])
def test_kills_at_random_moments_of_an_upload(run_dir: Path, victim: str) -> None:
    with running(run_dir) as rig:
        rig.link.bytes_per_s = 250_000
        draw = random.Random(victim)
        rig.order("clip.mp4", FILE_BYTES)
        for _ in range(4):
            target = len(rig.link.chunks) + draw.randint(1, 4)
            rig.wait(
                "the upload gets on",
                lambda target=target: (
                    len(rig.link.chunks) >= target or rig.whole(rig.ordered["clip.mp4"])
                ),
            )
            if victim == "agent":
                rig.kill_agent()
            elif victim == "cloud":
                rig.cloud.kill()
                rig.start_cloud()
            else:
                rig.broker.kill()
                rig.start_broker()
        settle(rig, "clip.mp4")
        # Of each kill what was not on the cloud's disk: 256 KiB and the chunk that was cut.
        assert sent_again(rig) <= 4 * 6


def test_what_the_driver_says_wrongly_of_a_file_has_an_account(run_dir: Path) -> None:
    with running(run_dir) as rig:
        rig.order("liar.mp4", 50_000, sha256="0" * 64)
        rig.wait("its record is dropped", lambda: rig.audit()["dropped"] == 1)
        rig.order("good.mp4", 50_000)
        rig.wait_whole(rig.ordered["good.mp4"])
        rig.wait("nothing waits", rig.settled)
        epochs = rig.report()["vehicles"][VEHICLE]["epochs"]
        (drop,) = [drop for epoch in epochs.values() for drop in epoch["drops"]]
        assert (drop["class"], drop["count"], drop["reason"]) == ("bulk", 1, "file_changed")
        assert rig.audit()["balanced"]


def test_the_oldest_files_make_room_with_an_account(run_dir: Path) -> None:
    with running(run_dir, files_mb=1) as rig:
        rig.cloud.stop()
        for number in range(4):
            rig.order(f"{number}.mp4", 400_000, seed=number)
            rig.wait("it is on flash", lambda number=number: rig.made(f"{number}.mp4"))
        held = [name for name in rig.spooled() if "." not in name]
        assert sorted(held) == sorted(rig.ordered[f"{n}.mp4"] for n in (2, 3))
        rig.start_cloud()
        for number in (2, 3):
            rig.wait_whole(rig.ordered[f"{number}.mp4"])
        rig.wait("nothing waits", rig.settled)
        epochs = rig.report()["vehicles"][VEHICLE]["epochs"]
        drops = [drop for epoch in epochs.values() for drop in epoch["drops"]]
        assert sum(drop["count"] for drop in drops) == 2
        assert {drop["reason"] for drop in drops} == {"quota"}
        assert rig.audit()["balanced"]


def test_telemetry_does_not_wait_for_files(run_dir: Path) -> None:
    """An upload of 8 s over a slow link: alarms and samples come as without one."""
    with running(run_dir) as rig:
        rig.link.bytes_per_s = 48_000  # 384 kbit/s
        rig.wait("telemetry flows", lambda: len(rig.latencies_s("alarms")) > 8)
        alone = rig.latencies_s("alarms")[-1]
        rig.order("clip.mp4", 400_000)
        rig.wait_whole(rig.ordered["clip.mp4"])
        alarms, counts = rig.latencies_s("alarms"), rig.latencies_s("counts")
        print(f"alarms: {alone:.2f} s alone, {alarms[-1]:.2f} s with an upload")  # noqa: T201
        assert len(alarms) > 16
        assert alarms[int(0.99 * len(alarms))] < 4.0, alarms
        assert counts[int(0.99 * len(counts))] < 6.0, counts[-10:]


def test_a_file_that_goes_first_overtakes(run_dir: Path) -> None:
    with running(run_dir, uplink={"files_first": ["application/x-ddd"]}) as rig:
        rig.link.bytes_per_s = 100_000
        rig.order("a.mp4", FILE_BYTES)
        rig.wait("it is under way", lambda: len(rig.link.chunks) > 1)
        rig.order("card.ddd", 60_000, seed=2, media_type="application/x-ddd")
        rig.wait_whole(rig.ordered["card.ddd"])
        assert not rig.whole(rig.ordered["a.mp4"])
        settle(rig, "a.mp4", "card.ddd")


def test_kills_of_all_at_once(run_dir: Path) -> None:
    """Several files, two of them with the same content, everybody killed in turn."""
    with running(run_dir) as rig:
        rig.link.bytes_per_s = 400_000
        draw = random.Random(5)
        names = [f"{number}.mp4" for number in range(5)]
        for number, name in enumerate(names):
            rig.order(name, 150_000, seed=number // 2)
        pause = threading.Event()
        for _ in range(5):
            pause.wait(draw.uniform(0.2, 1.2))
            draw.choice([rig.kill_agent, rig.cloud.kill, rig.broker.kill])()
            if not rig.broker.alive():
                rig.start_broker()
            if not rig.cloud.alive():
                rig.start_cloud()
        settle(rig, *names)
