"""F7 and what else befalls a file on its way: real processes, one relay that knows MQTT."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.hil.chunk_link import Fate
from tests.hil.files_rig import VEHICLE, Rig, running


@pytest.fixture
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path: a socket's address has 108 bytes at most."""
    return tmp_path_factory.mktemp("f")


def gaps_of(rig: Rig) -> int:
    """Numbers that the cloud end has neither a record nor a drop of, below its highest."""
    epochs = rig.report()["vehicles"][VEHICLE]["epochs"].values()
    return sum(last - first + 1 for epoch in epochs for first, last in epoch["gaps"])


def judge_books(rig: Rig, figures: dict[str, Any], began: float, dropped: int = 0) -> None:
    """Every file is whole, nothing waits on the box, and the books agree with the cloud's."""
    for name in rig.ordered:
        rig.wait_whole(rig.ordered[name], 100)
    healed = time.monotonic()
    rig.wait("the box has forgotten them", rig.settled)
    # A record of the agent's own may still be on its way behind the file's; a lost one never comes.
    rig.wait("the numbers have no gap", lambda: not gaps_of(rig))
    audit, vehicle = rig.audit(), rig.report()["vehicles"][VEHICLE]
    epochs = vehicle["epochs"].values()
    records = sum(epoch["records"] for epoch in epochs)
    gaps = gaps_of(rig)
    figures.update(
        runs=1,
        accepted=audit["accepted"],
        delivered=records,
        dropped=audit["dropped"],
        lost=gaps,
        invented=vehicle["conflicts"],
        heal_ms=round((healed - began) * 1000),
    )
    assert audit["balanced"]
    assert audit["dropped"] == dropped
    assert (gaps, vehicle["conflicts"]) == (0, 0)


def sent_again(rig: Rig) -> int:
    """Chunks that passed the link more than once, as often as they did."""
    return sum(times - 1 for times in Counter(rig.link.chunks).values())


@pytest.mark.fault(
    "F7", "upload cut at each chunk, a chunk twice, a bit of one flipped", slice=True
)
@pytest.mark.parametrize("fate", ["cut", "swallow"])
def test_cut_at_each_chunk(run_dir: Path, figures: dict[str, Any], fate: Fate) -> None:
    """The connection ends in the middle of each chunk once, or just behind it."""
    with running(run_dir) as rig:
        seen: set[tuple[str, int]] = set()

        def judge(number: int) -> Fate:
            key = rig.link.chunks[number - 1]
            fresh = key not in seen
            seen.add(key)
            return fate if fresh else "pass"

        rig.link.judge = judge
        began = time.monotonic()
        rig.order("clip.mp4", 40_000)
        judge_books(rig, figures, began)
        assert rig.link.cuts >= 3
        assert sent_again(rig) <= rig.link.cuts


@pytest.mark.fault(
    "F7", "upload cut at each chunk, a chunk twice, a bit of one flipped", slice=True
)
def test_twice_and_flipped(run_dir: Path, figures: dict[str, Any]) -> None:
    """Every third chunk comes twice, every fifth one has a flipped bit."""
    with running(run_dir) as rig:

        def judge(number: int) -> Fate:
            return "flip" if number % 5 == 2 else "twice" if number % 3 == 0 else "pass"

        rig.link.judge = judge
        began = time.monotonic()
        rig.order("clip.mp4", 1_000_000)
        judge_books(rig, figures, began)
        flipped = sum(judge(n) == "flip" for n in range(1, len(rig.link.chunks) + 1))
        assert flipped > 2
        assert rig.report()["counters"]["rejected"] == flipped
        assert sent_again(rig) <= 2 * flipped


@pytest.mark.fault("F7", "upload cut at each chunk, a chunk twice, a bit of one flipped")
def test_cut_at_random_chunks_of_a_large_file(run_dir: Path, figures: dict[str, Any]) -> None:
    with running(run_dir) as rig:
        rig.link.judge = lambda number: "cut" if number % 7 == 3 else "pass"
        began = time.monotonic()
        rig.order("clip.mp4", 2_000_000)
        judge_books(rig, figures, began)
        assert rig.link.cuts >= 4
        assert sent_again(rig) <= rig.link.cuts


@pytest.mark.fault("F7", "agent or cloud end killed at each chunk of a file")
@pytest.mark.parametrize("victim", ["agent", "cloud"])
def test_killed_at_each_chunk(run_dir: Path, figures: dict[str, Any], victim: str) -> None:
    """Each new chunk passes, and whoever is the victim dies with it."""
    with running(run_dir) as rig:
        seen: set[tuple[str, int]] = set()

        def judge(number: int) -> Fate:
            key = rig.link.chunks[number - 1]
            if key not in seen:
                seen.add(key)
                if victim == "agent":
                    rig.kill_agent()
                else:
                    rig.cloud.kill()
                    rig.start_cloud()
            return "pass"

        rig.link.judge = judge
        began = time.monotonic()
        rig.order("clip.mp4", 100_000)
        judge_books(rig, figures, began)
        assert len(seen) >= 3
        # Of each kill at most what the cloud end had not on its disk.
        assert sent_again(rig) <= 6 * len(seen)


def cut_short(path: Path) -> None:
    os.truncate(path, 100)


def changed_at_its_end(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))


@pytest.mark.fault("F7", "our copy of a file is cut, changed or gone while it is uploaded")
@pytest.mark.parametrize(
    ("harm", "reason"),
    [(cut_short, "damaged"), (changed_at_its_end, "damaged"), (Path.unlink, "file_missing")],
    ids=["cut", "changed", "gone"],
)
def test_our_copy_is_harmed(
    run_dir: Path, figures: dict[str, Any], harm: Callable[[Path], None], reason: str
) -> None:
    """It is given up with an account, and stands in nobody's way."""
    with running(run_dir) as rig:
        rig.link.bytes_per_s = 60_000
        sha256 = rig.order("bad.mp4", 400_000)
        rig.wait("it is under way", lambda: len(rig.link.chunks) > 2)
        began = time.monotonic()
        harm(rig.state_dir / "files" / sha256)
        if reason == "file_missing":
            rig.kill_agent()  # who has it open still could go on
        rig.link.bytes_per_s = 0
        del rig.ordered["bad.mp4"]
        rig.order("good.mp4", 50_000, seed=2)
        rig.wait("it is given up", lambda: rig.audit()["dropped"] == 1)
        judge_books(rig, figures, began, dropped=1)
        epochs = rig.report()["vehicles"][VEHICLE]["epochs"].values()
        (drop,) = [drop for epoch in epochs for drop in epoch["drops"]]
        assert (drop["class"], drop["count"], drop["reason"]) == ("bulk", 1, reason)
        assert not rig.whole(sha256)


@pytest.mark.fault("F7", "a broker lies about what is missing of a file")
def test_a_broker_lies_about_what_is_missing(run_dir: Path, figures: dict[str, Any]) -> None:
    with running(run_dir) as rig:
        rig.link.bytes_per_s = 150_000
        began = time.monotonic()
        sha256 = rig.order("clip.mp4", 500_000)
        rig.wait("it is under way", lambda: len(rig.link.chunks) > 2)
        rig.order("other.mp4", 60_000, seed=2)
        lies: list[object] = [
            {"sha256": sha256, "missing": [], "answers": "manifest"},
            {"sha256": sha256, "missing": [[0, 10**12]], "answers": "chunks"},
            {"sha256": sha256, "missing": [[0, 121]], "answers": "manifest", "again": True},
            {"sha256": sha256, "missing": [[5, 5]], "put": [[0, 4096, "http://127.0.0.1:1/"]]},
            {"sha256": "f" * 64, "missing": [[0, 1]]},
            {"sha256": "../../etc", "missing": [[9, 1]]},
            [[[]]],
        ]
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="liar", protocol=mqtt.MQTTv5)
        client.connect("127.0.0.1", rig.broker_port)
        client.loop_start()
        try:
            for number in range(300):
                client.publish(f"brain/v1/{VEHICLE}/dn/need", json.dumps(lies[number % len(lies)]))
        finally:
            judge_books(rig, figures, began)
            client.disconnect()
            client.loop_stop()
