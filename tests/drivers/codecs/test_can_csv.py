"""Tables of frames in CSV."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.can_csv import Table, read

PYTHON_CAN = "timestamp,arbitration_id,extended,remote,error,dlc,data"
SAVVYCAN = "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8"
CSS = "TimestampEpoch;BusChannel;ID;IDE;DLC;DataLength;Dir;EDL;BRS;ESI;RTR;DataBytes"


@pytest.mark.parametrize(
    ("header", "row", "want"),
    [
        (PYTHON_CAN, "1695284130.25,0x18fef100,1,0,0,2,/wA=",
         (1695284130.25, "1", 0x18FEF100, b"\xff\x00", True, False, False, False)),
        (PYTHON_CAN, "1.5,0x123,0,1,0,8,", (1.5, "1", 0x123, b"", False, True, False, False)),
        (PYTHON_CAN, "1.5,0x4,1,0,1,0,", (1.5, "1", 0x20000000, b"", False, False, False, True)),
        (SAVVYCAN, "166064000,0000021A,false,Rx,0,8,FE,36,12,FE,69,05,07,AD,",
         (166.064, "0", 0x21A, bytes.fromhex("fe3612fe690507ad"), False, False, False, False)),
        (SAVVYCAN, "1695284130250000,18FEF100,true,Rx,1,1,0A,,,,,,,,",
         (1695284130.25, "1", 0x18FEF100, b"\x0a", True, False, False, False)),
        (CSS, "1695284130.250000;1;18FEF100;1;8;8;0;0;0;0;0;FF0032FFFFFFFFFF",
         (1695284130.25, "1", 0x18FEF100, bytes.fromhex("ff0032ffffffffff"), True, False, False,
          False)),
        (CSS.replace(";", ","), "1.5,2,123,0,2,2,0,0,0,0,0,0102",
         (1.5, "2", 0x123, b"\x01\x02", False, False, False, False)),
        (CSS, "1.5;1;123;0;9;12;0;1;0;0;0;" + "01" * 12,
         (1.5, "1", 0x123, b"\x01" * 12, False, False, True, False)),
    ],
)  # fmt: skip
def test_rows(tmp_path: Path, header: str, row: str, want: tuple[object, ...]) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"{header}\r\n{row}\r\n")
    assert [tuple(frame) for frame in read(path)] == [want]


@pytest.mark.parametrize(
    ("header", "row", "says"),
    [
        (PYTHON_CAN, "1.5,0x123,0,0,0,2,/w==", "expected 2 bytes, got 1"),
        (PYTHON_CAN, "1.5,0x123,0,0,0,1,!!!!", "base64|non-alphabet|Only"),
        (PYTHON_CAN, "today,0x123,0,0,0,0,", "expected seconds"),
        (PYTHON_CAN, "1.5,0x123", "column 'extended' is missing"),
        (SAVVYCAN, "1,123,false,Rx,0,3,01,02", "expected 3 bytes"),
        (SAVVYCAN, "1,123,false,Rx,0,999999,01,02", "expected 999999 bytes"),
        (SAVVYCAN, "1,XYZ,false,Rx,0,0", "expected an identifier"),
        (CSS, "1.5;1;18FEF100;1;8;8;0;0;0;0;0;FF00", "expected 8 bytes, got 2"),
        (CSS, "1.5;1;98FEF100;1;1;1;0;0;0;0;0;FF", "no CAN identifier"),
    ],
)
def test_damaged_rows_name_file_and_line(tmp_path: Path, header: str, row: str, says: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"{header}\n{row}\n")
    with pytest.raises(ValueError, match=rf"log\.csv:2: .*({says})"):
        list(read(path))


@given(st.sampled_from([PYTHON_CAN, SAVVYCAN, CSS]), st.binary(max_size=100))
def test_any_row_gives_a_frame_or_value_error(header: str, row: bytes) -> None:
    parse = Table()
    parse(header.encode())
    try:
        frame = parse(row)
    except ValueError:
        return
    assert frame is not None and len(frame.payload) <= 64
