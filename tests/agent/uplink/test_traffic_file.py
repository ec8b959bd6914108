"""The counts on disk: what a kill, a torn write, a power cut and a failing disk leave of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uplink_rig import until

from agent.uplink.traffic import KEPT_DAYS, KEPT_MONTHS, Counted, Day, Traffic
from agent.uplink.traffic_file import (
    FILE,
    SLOT_BYTES,
    SLOTS,
    TrafficFile,
    decode,
    encode,
    load,
)

DAY_MS = 86_400_000


def counted(nbytes: int) -> Counted:
    traffic = Traffic()
    traffic.add("live", nbytes, metered=True, utc_ms=20_000 * DAY_MS)
    return traffic.counted


def spent(directory: Path) -> int:
    return Traffic(load(directory)[1]).spent()


def test_what_was_written_is_there_without_any_sync(tmp_path: Path) -> None:
    file = TrafficFile(tmp_path)
    for n in range(1, 6):
        file.write(encode(counted(n)), sync=False)
        assert spent(tmp_path) == n


KILLED = """
import os, signal, sys
from pathlib import Path
from agent.uplink.traffic import Traffic
from agent.uplink.traffic_file import TrafficFile, encode
file = TrafficFile(Path(sys.argv[1]))
file.start()
traffic = Traffic(file.counted)
for n in range(1000):
    traffic.add("history", 1000, metered=True, utc_ms=1_728_000_000_000)
    traffic.counted.owed = 7
    file.write(encode(traffic.counted), sync=n % 100 == 0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_loses_nothing_and_what_was_owed_counts(tmp_path: Path) -> None:
    for life in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path)], timeout=60, check=False
        )
        assert done.returncode == -signal.SIGKILL
        assert spent(tmp_path) == life * 1_000_000 + (7 * life)


def slot(directory: Path, number: int) -> bytes:
    return (directory / FILE).read_bytes()[number * SLOT_BYTES : (number + 1) * SLOT_BYTES]


def synced(directory: Path) -> TrafficFile:
    """Slot 1 and 2 hold 100 and 200, slot 0 holds 250."""
    file = TrafficFile(directory)
    file.start()
    for number, nbytes in ((1, 100), (2, 200)):
        file.write(encode(counted(nbytes)), sync=True)
        until(lambda at=number: slot(directory, at).strip(b"\0"), "the slot is written")
    file.write(encode(counted(250)), sync=False)
    file.stop()
    return file


def test_a_power_cut_costs_what_was_counted_since_the_last_sync(tmp_path: Path) -> None:
    """Slot 0 never reached the disk, or only a part of it did."""
    synced(tmp_path)
    assert spent(tmp_path) == 250
    raw = bytearray((tmp_path / FILE).read_bytes())
    raw[40:SLOT_BYTES] = bytes(SLOT_BYTES - 40)
    (tmp_path / FILE).write_bytes(raw)
    assert spent(tmp_path) == 200
    raw[2 * SLOT_BYTES + 30] ^= 1  # and it was cut while slot 2 was written
    (tmp_path / FILE).write_bytes(raw)
    assert spent(tmp_path) == 100


@pytest.mark.parametrize("number", range(SLOTS))
def test_a_bit_flip_costs_one_slot_at_most(tmp_path: Path, number: int) -> None:
    synced(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    used = len(slot(tmp_path, number).rstrip(b"\0"))
    for at in range(0, used, 3):
        raw = bytearray(whole)
        raw[number * SLOT_BYTES + at] ^= 1 << (at % 8)
        (tmp_path / FILE).write_bytes(raw)
        assert spent(tmp_path) == (200 if number == 0 else 250)


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=300))
def test_any_file_is_read(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    directory = tmp_path_factory.mktemp("any")
    (directory / FILE).write_bytes(raw)
    assert load(directory) == (0, Counted())


def test_a_huge_file_costs_no_memory(tmp_path: Path) -> None:
    with (tmp_path / FILE).open("wb") as file:
        file.truncate(1 << 32)
    tracemalloc.start()
    load(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_the_largest_counts_fit_a_slot() -> None:
    most = [1 << 62] * 5
    whole = Counted(
        {f"2027-01-{n:02}": Day(most, most) for n in range(KEPT_DAYS + 1)},
        {f"2027-{n:02}": Day(most, most) for n in range(KEPT_MONTHS + 1)},
    )
    assert len(encode(whole)) < SLOT_BYTES - 100
    assert decode(encode(whole)) == whole


def test_a_disk_that_refuses_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = TrafficFile(tmp_path / "missing")
    for n in range(3):
        file.write(encode(counted(n)), sync=False)
    assert [r.getMessage() for r in caplog.records] == [
        f"{tmp_path / 'missing' / FILE}: No such file or directory; "
        "bytes are counted in memory until it works"
    ]
    (tmp_path / "missing").mkdir()
    file.write(encode(counted(9)), sync=False)
    assert spent(tmp_path / "missing") == 9
    assert oct(os.stat(tmp_path / "missing" / FILE).st_mode)[-3:] == "600"
