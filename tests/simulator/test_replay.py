"""Captures on the simulated wires: everything in the file goes out, in its own time."""

import gzip
import os
import re
import select
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from simulator.replay import ReplayError, count_bursts, count_frames, replay_can, replay_nmea
from simulator.wires.j1939_slcan import SlcanWire

CAPTURES = Path(__file__).parents[3] / "shared" / "data"
LOG = """\
(1700000000.000000) can0 18FEF100#FF0032FFFFFFFFFF
(1700000000.250000) can0 0CF00400#F0FF7D
(1700000000.200000) can1 123#AA R

(1700000002.000000) can0 18FEF100#R8
(1700000002.500000) can0 7FF#R
"""
needs_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the captures of ../shared/data are not on this machine"
)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_candump_log(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "bus.log"
    path.write_bytes(gzip.compress(LOG.encode()) if zipped else LOG.encode())
    got = list(replay_can(path))
    assert [(e.at_s, e.data) for e in got] == [
        (0.0, b"T18FEF1008FF0032FFFFFFFFFF\r"),
        (0.25, b"T0CF004003F0FF7D\r"),
        (0.25, b"t1231AA\r"),  # time went back: it stands still
        (2.0, b"R18FEF1008\r"),
        (2.5, b"r7FF0\r"),
    ]
    assert {(e.source, e.writings, e.fix) for e in got} == {("fms", (), False)}
    assert count_frames(path) == 5
    assert [e.at_s for e in replay_can(path, 2.0)] == [0.0, 0.125, 0.125, 1.0, 1.25]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rubbish", "'rubbish' is not a line of candump -L"),
        ("(1.0) can0 18FEF100#FF0", "is not a line of candump"),
        ("(1.0) can0 18FEF100#112233445566778899", "is not a line of candump"),
        ("(1.0) can0 18FEF100##1AABB", "is not a line of candump"),  # CAN FD
        ("(1.0) can0 20000080#0000000000000000", "is not a line of candump"),  # an error frame
        ("(1.0) can0 8FF#00", "is not a line of candump"),
    ],
)
def test_a_corrupt_line_is_named_before_anything_is_played(
    tmp_path: Path, line: str, said: str
) -> None:
    path = tmp_path / "bus.log"
    path.write_text("(1700000000.000000) can0 18FEF100#FF0032FFFFFFFFFF\n" + line + "\n")
    with pytest.raises(ReplayError) as refused:
        replay_can(path)
    assert str(refused.value).startswith(f"{path}: line 2: ") and said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    empty = tmp_path / "empty.log"
    empty.write_text("# only a comment\n")
    cut = tmp_path / "cut.log.gz"
    cut.write_bytes(gzip.compress((LOG * 5_000).encode())[:-2_000])
    for play in (replay_can, replay_nmea):
        with pytest.raises(ReplayError, match=r"missing\.log: No such file"):
            play(tmp_path / "missing.log")
        with pytest.raises(ReplayError, match="holds no"):
            play(empty)
        with pytest.raises(ReplayError, match="cut off"):
            play(cut)
        with pytest.raises(ReplayError, match="directory"):
            play(tmp_path)


NMEA = b"""\
# Name: nobody's
$GPGLL,4916.45,N,12311.12,W,225443.00,A*1D\r
$GPRMC,225444.00,A,4916.45,N,12311.12,W,000.5,054.7,191194,020.3,E*00\r
$GPGGA,225444.00,4916.45,N,12311.12,W,1,08,0.9,545.4,M,46.9,M,,*00\r
\xb5b\x01\x02 binary\r
$GPRMC,225445,A,4916.45,N,12311.12,W,000.5,054.7,191194,020.3,E*00\r
$GPGGA,225445.0,4916.45,N,12311.12,W,1,08,0.9,545.4,M,46.9,M,,*00\r
"""


def test_a_receiver_s_log_is_a_burst_a_second(tmp_path: Path) -> None:
    path = tmp_path / "gnss.log"
    path.write_bytes(NMEA)
    got = list(replay_nmea(path))
    assert [e.at_s for e in got] == [0.0, 1.0, 2.0]
    assert b"".join(e.data for e in got) == NMEA[NMEA.index(b"$") :]
    assert got[1].data.startswith(b"$GPRMC,225444") and got[1].data.endswith(b"binary\r\n")
    assert count_bursts(path) == 3
    assert {(e.source, e.writings, e.fix) for e in got} == {("gnss", (), False)}


def test_a_burst_gets_the_time_that_9600_baud_needs(tmp_path: Path) -> None:
    path = tmp_path / "long.log"
    lines = [f"$GPRMC,0000{i:02d},V,,,,,,,,,\r\n" + "$GPGSV,x\r\n" * 400 for i in range(3)]
    path.write_text("".join(lines))
    times = [e.at_s for e in replay_nmea(path)]
    assert all(later - sooner > 4.0 for sooner, later in pairwise(times))


@needs_captures
@pytest.mark.parametrize("name", ["css-bus-2023", "css-truck-2021", "css-j1939tp-2021"])
def test_every_line_of_a_real_bus_is_a_frame(name: str) -> None:
    path = CAPTURES / "can" / f"{name}.log.gz"
    with gzip.open(path, "rt") as log:
        lines = [line.split() for line in log]
    got = list(replay_can(path))
    assert len(got) == len(lines) == count_frames(path)
    for emission, (stamp, _, text) in zip(got, lines, strict=True):
        can_id, _, data = text.partition("#")
        assert emission.data == f"T{can_id}{len(data) // 2}{data}\r".encode()
        assert emission.at_s >= 0
        assert stamp
    assert got[-1].at_s == pytest.approx(
        float(lines[-1][0][1:-1]) - float(lines[0][0][1:-1]), abs=1e-3
    )


@needs_captures
def test_every_sentence_of_real_receivers_goes_out() -> None:
    logs = sorted((CAPTURES / "gnss").glob("*.log"))
    assert logs
    refused = 0
    for path in logs:
        if re.search(rb"\$[A-Z]{2}[A-Z]{3},", path.read_bytes()) is None:
            with pytest.raises(ReplayError, match="holds no NMEA sentence"):
                list(replay_nmea(path))
            refused += 1
            continue
        want = b"".join(
            line for line in path.read_bytes().splitlines(keepends=True) if line[:1] != b"#"
        )
        # splitlines also cuts at lone CRs and more, join does not mind
        got = b"".join(e.data for e in replay_nmea(path))
        assert got.count(b"$") <= path.read_bytes().count(b"$")
        assert got.count(b"\n$") >= want.count(b"\n$") - 1
    # Some receivers of that collection speak a binary protocol only.
    assert 0 < refused < len(logs) / 2


@needs_captures
def test_a_real_bus_through_the_stick() -> None:
    emissions = list(replay_can(CAPTURES / "can" / "css-j1939tp-2021.log.gz"))
    wire = SlcanWire()
    wire.start()
    fd = os.open(wire.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        os.write(fd, b"S5\rL\r")
        deadline = time.monotonic() + 5
        tick = threading.Event()
        while not wire.is_open() and time.monotonic() < deadline:
            tick.wait(0.005)
        for emission in emissions:
            wire.write(emission)
        got, heard = b"", []
        while len(heard) < len(emissions) and time.monotonic() < deadline:
            if select.select([fd], [], [], 0.02)[0]:
                got += os.read(fd, 65_536)
            heard += wire.heard()
        while select.select([fd], [], [], 0.05)[0]:
            got += os.read(fd, 65_536)
    finally:
        os.close(fd)
        wire.stop()
    assert got == b"\r\r" + b"".join(e.data for e in emissions)
    assert len([h for h in heard if not h.dropped]) == len(emissions)
