"""Files reach the cloud whole, through everything, and never in the way of telemetry."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.hil.files_rig import VEHICLE, running

BLOCK = 4_096


def test_a_file_reaches_the_cloud_and_leaves_the_box(run_dir: Path) -> None:
    with running(run_dir) as rig:
        sha256 = rig.order("clip.mp4", 1_000_000)
        empty = rig.order("empty.bin", 0)
        rig.wait_whole(sha256)
        rig.wait_whole(empty)
        rig.wait("the box has forgotten them", rig.settled)
        assert rig.made("clip.mp4")
        audit = rig.audit()
        assert audit["balanced"]
        assert audit["dropped"] == 0
        files = rig.report()["vehicles"][VEHICLE]["files"]
        assert {(f["path"], f["size"], f["whole"]) for f in files} == {
            ("clip.mp4", 1_000_000, True),
            ("empty.bin", 0, True),
        }
        assert set(Counter(rig.link.chunks).values()) == {1}, "each chunk once"
