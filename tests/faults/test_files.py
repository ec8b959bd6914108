"""F7 and what else befalls a file on its way: real processes, one relay that knows MQTT."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.hil.chunk_link import Fate
from tests.hil.files_rig import VEHICLE, Rig, running


@pytest.fixture
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path: a socket's address has 108 bytes at most."""
    return tmp_path_factory.mktemp("f")


def judge_books(rig: Rig, figures: dict[str, Any], began: float, dropped: int = 0) -> None:
    """Every file is whole, nothing waits on the box, and the books agree with the cloud's."""
    for name in rig.ordered:
        rig.wait_whole(rig.ordered[name], 100)
    healed = time.monotonic()
    rig.wait("the box has forgotten them", rig.settled)
    audit, vehicle = rig.audit(), rig.report()["vehicles"][VEHICLE]
    epochs = vehicle["epochs"].values()
    records = sum(epoch["records"] for epoch in epochs)
    gaps = sum(last - first + 1 for epoch in epochs for first, last in epoch["gaps"])
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
