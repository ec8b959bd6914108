"""The ASC log of Vector's tools."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.asc import Asc, read
from drivers.codecs.logged_frame import LoggedFrame

HEADER = """\
date Thu Sep 21 08:15:30.250 2023
base hex  timestamps absolute
internal events logged
// version 13.0.0
Begin Triggerblock Thu Sep 21 08:15:30.250 2023
   0.000000 Start of measurement
"""
BEGUN = 1695284130.25


def frames(tmp_path: Path, text: str) -> list[LoggedFrame]:
    path = tmp_path / "log.asc"
    path.write_bytes(text.encode("latin-1"))
    return list(read(path))


@pytest.mark.parametrize(
    ("line", "can_id", "payload", "flags"),
    [
        ("1  18FEF100x       Rx   d 8 FF 00 32 FF FF FF FF FF  Length = 283910 BitCount = 146 "
         "ID = 419361024x", 0x18FEF100, "ff0032ffffffffff", "x"),
        ("1  7FF             Tx   d 2 01 02", 0x7FF, "0102", ""),
        ("2  100x            Rx   d 0", 0x100, "", "x"),  # 29 bits, though it fits 11
        ("1  18FEF100        Rx   d 1 0a", 0x18FEF100, "0a", "x"),  # the x left out
        ("1  EngineSpeed     Rx   d 1 0A  Length = 1 BitCount = 2 ID = 217056256x", 0x0CF00400,
         "0a", "x"),
        ("1  FACE            Rx   d 1 0A  Length = 1 BitCount = 2 ID = 291", 0x123, "0a", ""),
        ("1  0x123           Rx   d 1 0A", 0x123, "0a", ""),
        ("1  18FEF100x       Rx   d f 00 01 02 03 04 05 06 07", 0x18FEF100, "0001020304050607",
         "x"),
        ("1  123             Rx   r", 0x123, "", "r"),
        ("1  123             rx   r 8  Length = 0 BitCount = 66 ID = 291", 0x123, "", "r"),
        ("CANFD   1 Rx   18FEF100x                        0 0 8  8 01 02 03 04 05 06 07 08"
         "  102203  133  200040 e0006659 46500250 4b140250 20011736 2001040d", 0x18FEF100,
         "0102030405060708", "x"),  # a frame of classic CAN on a bus of CAN FD
        ("CANFD   2 Rx   300  Name_12                     1 0 9 12 01 02 03 04 05 06 07 08"
         " 09 0a 0b 0c  102203  133  303000 e0006659", 0x300, "0102030405060708090a0b0c", "f"),
        ("CANFD   3 Tx   50005x   0 0 5 0 140000 73 200050 7a60", 0x50005, "", "xr"),
    ],
)  # fmt: skip
def test_frames(tmp_path: Path, line: str, can_id: int, payload: str, flags: str) -> None:
    (frame,) = frames(tmp_path, f"{HEADER}   2.500100 {line}\nEnd TriggerBlock\n")
    assert frame.t == BEGUN + 2.5001
    assert (frame.can_id, frame.payload) == (can_id, bytes.fromhex(payload))
    names = {"x": "extended", "r": "remote", "f": "fd", "e": "error"}
    assert {key for key, name in names.items() if getattr(frame, name)} == set(flags)


@pytest.mark.parametrize(
    "line",
    [
        "1  Statistic: D 0 R 0 XD 214 XR 0 E 0 O 0 B 11.04%",
        "CAN 1 Status:chip status error active",
        "1  J1939TP FEE3p        6    0  0   -   Rx   d 9 A0 0F A6 60 3B D1 40 1F DE",
        "1  18FEF100x       TxRq d 1 00",  # asked for, not sent
        "CANFD   Start of measurement",
        "Li 3c  Rx  8 00 01",
        "log trigger event",
    ],
)
def test_other_events_are_skipped(tmp_path: Path, line: str) -> None:
    text = f"{HEADER}   1.000000 {line}\n   2.0 1 123 Rx d 1 00\nEnd TriggerBlock\n"
    assert [frame.can_id for frame in frames(tmp_path, text)] == [0x123]


@pytest.mark.parametrize(
    "line", ["1  ErrorFrame", "1  ErrorFrame Flags = 0xe", "CANFD 1 Rx ErrorFrame"]
)
def test_error_frames(tmp_path: Path, line: str) -> None:
    (frame,) = frames(tmp_path, f"{HEADER}   1.0 {line}\n")
    assert (frame.error, frame.extended, frame.interface) == (True, False, "1")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1  18FEF100x Rx d 8 00 11 22", "expected 8 bytes, got 3"),
        ("1  18FEF100x Rx d 2 00 1", "expected 2 bytes"),
        ("1  18FEF100x Rx d 2 00 GG", "expected a number"),
        ("1  18FEF100x Rx q 2 00 11", "expected 'd'"),
        ("1  98FEF100x Rx d 1 00", "98FEF100 is no CAN identifier"),
        ("1  Name Rx d 1 00", "expected an identifier"),
        ("1  18FEF100x Rx", "expected 'd'"),
        ("CANFD 1 Rx 123 1 0 9 12 00", "expected 12 bytes, got 1"),
        ("CANFD 1 Rx 123 1 0", "expected flags"),
    ],
)
def test_damaged_frames_name_file_and_line(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(ValueError, match=rf"log\.asc:8: .*{says}"):
        frames(tmp_path, f"{HEADER}   1.0 1 123 Rx d 1 00\n   2.0 {line}\n")


def test_a_base_that_is_none_ends_it(tmp_path: Path) -> None:
    """All numbers behind it would mean something else."""
    with pytest.raises(ValueError, match=r"log\.asc:2: expected base hex or base dec"):
        frames(tmp_path, "date Thu Sep 21 08:15:30 2023\nbase dxc\n  1.0 1 123 Rx d 1 00\n")


def test_stamps_before_the_trigger(tmp_path: Path) -> None:
    got = frames(tmp_path, HEADER + "  -0.500000 1 123 Rx d 1 00\n")
    assert [frame.t for frame in got] == [BEGUN - 0.5]


def test_decimal(tmp_path: Path) -> None:
    text = HEADER.replace("base hex", "base dec") + " 770.5 7  419361024x  Rx D 3   0 170  99\n"
    (frame,) = frames(tmp_path, text)
    assert (frame.can_id, frame.payload, frame.interface) == (0x18FEF100, b"\x00\xaa\x63", "7")


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Thu Sep 21 08:15:30.250 2023", BEGUN),
        ("Thu Sep 21 08:15:30 2023", 1695284130.0),
        ("Thu Sep 21 08:15:30.250 am 2023", BEGUN),
        ("Thu Sep 21 08:15:30.250 PM 2023", BEGUN + 43200),
        ("Thu Sep 21 12:15:30.250 am 2023", BEGUN - 8 * 3600),
        ("Don Mär 2 00:00:00 2023", 1677715200.0),
        ("Mit Okt 4 00:00:00.5 2023", 1696377600.005),  # python-can: 5 ms
        ("2023-09-21T08:15:30", 0.0),  # not a date of this format: the stamps stay relative
    ],
)
def test_dates_are_read_as_utc(tmp_path: Path, date: str, seconds: float) -> None:
    text = f"date {date}\nbase hex timestamps absolute\n   0.0 1 123 Rx d 1 00\n"
    assert [frame.t for frame in frames(tmp_path, text)] == [seconds]


def test_blocks_of_triggers(tmp_path: Path) -> None:
    first = HEADER + "   1.0 1 123 Rx d 1 00\nEnd TriggerBlock\n"
    # CANoe: stamps go on from the start of the measurement.
    more = "Begin Triggerblock Thu Sep 21 08:17:10.250 2023\n 100.5 1 123 Rx d 1 01\n"
    assert [f.t - BEGUN for f in frames(tmp_path, first + more)] == [1.0, 100.5]
    # A new measurement appended: stamps begin anew.
    more = "Begin Triggerblock Thu Sep 21 08:17:10.250 2023\n 0.5 1 123 Rx d 1 01\n"
    assert [f.t - BEGUN for f in frames(tmp_path, first + more)] == [1.0, 100.5]


def test_differences(tmp_path: Path) -> None:
    header = HEADER.replace("absolute", "relative")
    lines = [f"   {d:.6f} 1 123 Rx d 1 00\n" for d in (0.5, 0.25, 0.5, 0.125)]
    got = [f.t - BEGUN for f in frames(tmp_path, header + "".join(lines))]
    assert got == [0.5, 0.75, 1.25, 1.375]
    # Some converters say "relative" and mean since the beginning.
    lines = [f"   {d:.6f} 1 123 Rx d 1 00\n" for d in (0.5, 0.75, 1.25)]
    assert [f.t - BEGUN for f in frames(tmp_path, header + "".join(lines))] == [0.5, 0.75, 1.25]


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_any_lines_give_frames_or_value_error(lines: list[bytes]) -> None:
    parse = Asc()
    for line in [
        *lines,
        b"1.0 1 123 Rx d " + b"".join(lines),
        b"1.0 CANFD 1 Rx " + b"".join(lines),
    ]:
        try:
            frame = parse(line)
        except ValueError:
            continue
        assert frame is None or len(frame.payload) <= 64
