"""Captures on the simulated wires: everything in the file goes out, in its own time."""

import gzip
import os
import re
import select
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import can
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
    not CAPTURES.is_dir(), reason="not run: no captures in ../shared/data; made ones are replayed"
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
        ("rubbish", "'rubbish' is not a line of candump"),
        ("(1.0) can0 18FEF100#FF0", "is not a line of candump"),
        ("(1.0) can0 18FEF100#112233445566778899", "is not a line of candump"),
        ("(1.0) can0 98FEF100#00", "is not a line of candump"),
        ("  can0  18FEF100   [3]  00 11", "is not a line of candump"),
        ("  can0  18FEF100   [9]  00 11 22 33 44 55 66 77 88", "is not a line of candump"),
        ("  can0  18FEF100   [2]  00`11", "is not a line of candump"),
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


def test_frames_that_no_stick_carries_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bus.log"
    more = (
        "(1700000003.0) can0 18FEF100##1AABB\n"
        "(1700000003.0) can0 20000080#0000000000000000\n"
        "  can0  20000004   [8]  00 04 00 00 00 00 00 00   ERRORFRAME\n"
        "\tcontroller-problem{tx-error-warning}\n"
        "  can0  18FEF100  [12]  00 11 22 33 44 55 66 77 88 99 AA BB\n"
    )
    path.write_text(LOG + more)
    assert len(list(replay_can(path))) == count_frames(path) == 5
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert said.endswith("cannot carry them: 2 CAN FD frames, 2 error frames\n")


@pytest.mark.parametrize(
    ("text", "times"),
    [
        (" (1436509052.25)  can0  {}\n (1436509053.5)  can0  {}\n (1436509053.5)  can0  {}\n",
         [0, 1.25, 1.25]),
        (" (000.000000)  can0  {}\n (000.500000)  can0  {}\n (001.500000)  can0  {}\n",
         [0, 0.5, 1.5]),
        (" (000.000000)  can0  {}\n (001.500000)  can0  {}\n (000.500000)  can0  {}\n",
         [0, 1.5, 2.0]),  # -td
        (" (2015-07-10 23:59:59.5)  can0  {}\n (2015-07-11 00:00:01.0)  can0  {}\n"
         " (2015-07-11 00:00:02.0)  can0  TX - -  {}\n", [0, 1.5, 2.5]),
        ("  can0  {}   'a...2'\n  can0  {}\n  can0  {}\n", [0, 0.001, 0.002]),  # no stamps
    ],
)  # fmt: skip
def test_what_candump_prints(tmp_path: Path, text: str, times: list[float]) -> None:
    path = tmp_path / "screen.txt"
    frames = ("18FEF100   [2]  FF 00", "123   [0]", "7FF   [3]  remote request")
    path.write_text(text.format(*frames))
    got = list(replay_can(path))
    assert [e.data for e in got] == [b"T18FEF1002FF00\r", b"t1230\r", b"r7FF3\r"]
    assert [e.at_s for e in got] == times


FRAMES = [
    (1_700_000_000.0, 0x18FEF100, True, bytes.fromhex("ff0032ffffffffff")),
    (1_700_000_000.25, 0x123, False, b"\x11"),
    (1_700_000_001.5, 0x100, True, b""),
]
WRITERS: dict[str, Any] = {
    "asc": can.ASCWriter,
    "blf": can.BLFWriter,
    "trc": can.TRCWriter,
    "csv": can.CSVWriter,
    "mf4": can.MF4Writer,
    "log": can.CanutilsLogWriter,
}


def written(folder: Path, kind: str) -> Path:
    path = folder / f"bus.{kind}"
    with WRITERS[kind](path) as log:
        for t, can_id, extended, data in FRAMES:
            log.on_message_received(
                can.Message(t, can_id, extended, data=data, channel="can0", is_rx=True)
            )
    return path


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_in_its_own_timing(tmp_path: Path, kind: str, zipped: bool) -> None:
    path = written(tmp_path, kind)
    if zipped and kind != "mf4":
        path.write_bytes(gzip.compress(path.read_bytes()))
    # Told by content, but for MF4 whose library looks at the name.
    path = path.rename(tmp_path / "capture") if kind != "mf4" else path
    got = list(replay_can(path))
    assert [e.data for e in got] == [
        b"T18FEF1008FF0032FFFFFFFFFF\r",
        b"t123111\r",
        b"T000001000\r",
    ]
    assert [e.at_s for e in got] == pytest.approx([0.0, 0.25, 1.5], abs=2e-6)
    assert count_frames(path) == 3


@pytest.mark.parametrize("kind", ["blf", "mf4", "trc", "asc"])
def test_what_no_reader_understands_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    data = bytearray(path.read_bytes())
    if kind == "trc":
        data = data.replace(b"18FEF100", b"18FEFXYZ")
    elif kind == "asc":
        data = data.replace(b"FF 00 32", b"FF 00 XX")
    else:
        del data[len(data) // 2 :]
        data[150:160] = bytes(10)
    path.write_bytes(data)
    with pytest.raises(ReplayError) as refused:
        replay_can(path)
    assert str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value)


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


@pytest.mark.parametrize(
    "stamps",
    [
        ("1635188455.5 ", "1635188455.75 ", "1635188458.0 "),
        ("(1635188455.5) ", "(1635188455.6) ", "(1635188458.0) "),
        ("1635188455500\t", "1635188455600\t", "1635188458000\t"),
        ("[2021-10-25 23:59:58.5] ", "[2021-10-25 23:59:59] ", "[2021-10-26 00:00:01] "),
        ("2021-10-25T23:59:58.5Z;", "2021-10-25T23:59:58.6Z;", "2021-10-26T00:00:01.0Z;"),
        ("23:59:58.500 > ", "23:59:58.600 > ", "00:00:01.000 > "),
        ("Mon Oct 25 23:59:58 2021: ", "Mon Oct 25 23:59:59 2021: ", "Tue Oct 26 00:00:01 2021: "),
    ],
)
def test_stamps_of_a_logger_are_the_timing_and_not_sent(
    tmp_path: Path, stamps: tuple[str, str, str]
) -> None:
    path = tmp_path / "gnss.log"
    rmc = "$GPRMC,22544{},A,4916.45,N,12311.12,W,000.5,054.7,191194,020.3,E*00\r\n"
    sentences = [rmc.format(4), "!AIVDM,1\r\n", rmc.format(5)]
    path.write_text("".join(a + b for a, b in zip(stamps, sentences, strict=True)))
    got = list(replay_nmea(path))
    assert [e.data.decode() for e in got] == ["".join(sentences[:2]), sentences[2]]
    assert got[0].at_s == 0.0
    assert got[1].at_s == pytest.approx(3.0 if "Mon" in stamps[0] else 2.5)
    assert [e.at_s for e in replay_nmea(path, 2.0)] == [0.0, got[1].at_s / 2]


def test_json_of_gpsd_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "gpspipe.log"
    report = b'{"class":"VERSION","release":"3.22"}\r\n'
    path.write_bytes(report + NMEA.replace(b"\xb5b", report + b"\xb5b"))
    assert b"".join(e.data for e in replay_nmea(path)) == NMEA[NMEA.index(b"$") :]
    path.write_bytes(report * 3)
    with pytest.raises(ReplayError, match=r"holds no NMEA sentence.*gpspipe -r"):
        replay_nmea(path)


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
