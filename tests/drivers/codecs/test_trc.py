"""The TRC log of PEAK-System's tools, all versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.logged_frame import LoggedFrame
from drivers.codecs.trc import Trc, read

# 2023-09-21 06:00 is day 45190.25 of that calendar.
BEGUN = 1695276000.0

VERSIONS = {
    "1.0": """\
;##########################################################################
;   C:\\traces\\bus.trc
;----+- ---+--- ----+--- + -+ -- -- ...
     1)      1841 18FEF100  8 FF 00 32 FF FF FF FF FF
     2)      1850     0123  2 01 02
     3)      1900     0123  0 RTR
     4)      1950 FFFFFFFF  4 00 00 00 08 -- -- -- -- BUSHEAVY
     5)      2000 00000123  1 0A
""",
    "1.1": """\
;$FILEVERSION=1.1
;$STARTTIME=45190.25
;   Start time: 21.09.2023 06:00:00.000.0
     1)      1841.2  Rx     18FEF100  8  FF 00 32 FF FF FF FF FF
     2)      1850.0  Tx         0123  2  01 02
     3)      1900.0  Rx         0123  0  RTR
     4)      1950.0  Warng  FFFFFFFF  4  00 00 00 08  BUSHEAVY
     5)      1960.0  Error      0008  4  00 00 08 00
     6)      2000.0  Rx     00000123  1  0A
""",
    "1.2": """\
;$FILEVERSION=1.2
;$STARTTIME=45190.25
     1)      1841.213 1  Rx     18FEF100  8  FF 00 32 FF FF FF FF FF
     2)      1850.000 1  Tx         0123  2  01 02
     3)      1900.000 1  Rx         0123  0  RTR
     4)      1950.000 1  Warng  FFFFFFFF  4  00 00 00 08  BUSHEAVY
     5)      1960.000 1  Error      0008  4  00 00 08 00
     6)      2000.000 1  Rx     00000123  1  0A
""",
    "1.3": """\
;$FILEVERSION=1.3
;$STARTTIME=45190.25
     1)      1841.213 1  Rx     18FEF100 -  8    FF 00 32 FF FF FF FF FF
     2)      1850.000 1  Tx         0123 -  2    01 02
     3)      1900.000 1  Rx         0123 -  0    RTR
     4)      1950.000 1  Warng  FFFFFFFF -  4    00 00 00 08  BUSHEAVY
     5)      1960.000 1  Error      0008 -  4    00 00 08 00
     6)      2000.000 1  Rx     00000123 -  1    0A
""",
    "2.0": """\
;$FILEVERSION=2.0
;$STARTTIME=45190.25
;$COLUMNS=N,O,T,I,d,l,D
      1      1841.213 DT 18FEF100 Rx 8  FF 00 32 FF FF FF FF FF
      2      1850.000 DT     0123 Tx 2  01 02
      3      1900.000 RR     0123 Rx 0
      4      1950.000 ST          Rx    00 00 00 08
      5      1960.000 ER          Rx    04 00 02 00 00
      6      1970.000 EC          Rx    01 00
      7      2000.000 DT 00000123 Rx 1  0A
""",
    "2.1": """\
;$FILEVERSION=2.1
;$STARTTIME=45190.25
;$COLUMNS=N,O,T,B,I,d,R,L,D
      1      1841.213 DT  1 18FEF100 Rx -  8    FF 00 32 FF FF FF FF FF
      2      1850.000 DT  1     0123 Tx -  2    01 02
      3      1900.000 RR  1     0123 Rx -  0
      4      1950.000 ST  1        - Rx -  4    00 00 00 08
      5      1960.000 ER  1        - Rx -  5    04 00 02 00 00
      6      1980.000 EV  1  User's mark
      7      2000.000 DT  1 00000123 Rx -  1    0A
""",
}


def frames(tmp_path: Path, text: str) -> list[LoggedFrame]:
    path = tmp_path / "log.trc"
    path.write_bytes(text.replace("\n", "\r\n").encode("latin-1"))
    return list(read(path))


@pytest.mark.parametrize("version", VERSIONS)
def test_versions(tmp_path: Path, version: str) -> None:
    got = frames(tmp_path, VERSIONS[version])
    zero = 0.0 if version == "1.0" else BEGUN
    errors = [frame for frame in got if frame.error]
    assert [round(f.t - zero, 6) for f in errors] == ([] if version == "1.0" else [1.96])
    fraction = {"1.0": 1.841, "1.1": 1.8412}.get(version, 1.841213)
    assert [
        (round(f.t - zero, 6), f.can_id, f.payload.hex(), f.extended, f.remote, f.fd)
        for f in got
        if not f.error
    ] == [
        (fraction, 0x18FEF100, "ff0032ffffffffff", True, False, False),
        (1.85, 0x123, "0102", False, False, False),
        (1.9, 0x123, "", False, True, False),
        (2.0, 0x123, "0a", True, False, False),  # 29 bits, though it fits 11
    ]
    assert {f.interface for f in got} == {"1"}


def test_can_fd(tmp_path: Path) -> None:
    text = VERSIONS["2.1"] + "      8  2001.0 FB  2 0300 Rx -  9    " + "AB " * 12 + "\n"
    frame = frames(tmp_path, text)[-1]
    assert (frame.fd, frame.payload, frame.interface) == (True, b"\xab" * 12, "2")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("     7)      2000.0  Rx     18FEF100  8  FF 00 32", "expected 8 bytes"),
        ("     7)      2000.0  Rx     18FEF100  2  FF 0", "expected 2 bytes"),
        ("     7)      2000.0  Rx     18FEF100  2  FF 00 11", "expected 2 bytes"),
        ("     7)      2000.0  Rz     18FEF100  1  FF", "'Rz' is no type"),
        ("     7)      2000.0  Rx     98FEF100  1  FF", "98FEF100 is no CAN identifier"),
        ("     7)      2000.0  Rx     18FEF100", "expected a row of columns N,O,T,I,l,D"),
        ("     7)      now  Rx     18FEF100  1  FF", "expected a row"),
        ("garbage", "expected a row"),
        ("     7)      2000.0  Rx     18FEF100  9  " + "00 " * 9, "cannot have 9 bytes"),
    ],
)
def test_damaged_rows_name_file_and_line(tmp_path: Path, row: str, says: str) -> None:
    with pytest.raises(ValueError, match=rf"log\.trc:10: .*{says}"):
        frames(tmp_path, VERSIONS["1.1"] + row + "\n")


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (";$FILEVERSION=3.0\n", "version '3.0'"),
        (";$FILEVERSION=1.1\n;$STARTTIME=today\n", "no start time"),
        (";$FILEVERSION=1.1\n;$STARTTIME=1e300\n", "no start time"),
        (";$FILEVERSION=1.1\n;$STARTTIME=nan\n", "no start time"),
        (";$FILEVERSION=2.1\n;$COLUMNS=N,I,D\n", "lack O, T, I or the length"),
        (";$FILEVERSION=2.1\n 1 2.0 DT 1 0300 Rx - 0\n", "needs a line ;.COLUMNS"),
    ],
)
def test_damaged_headers(tmp_path: Path, header: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        frames(tmp_path, header)


@given(st.sampled_from(sorted(VERSIONS)), st.binary(max_size=60))
def test_any_row_gives_a_frame_or_value_error(version: str, row: bytes) -> None:
    parse = Trc()
    for line in VERSIONS[version].encode().splitlines():
        parse(line)
    for text in (row, b" 9) 1.0 Rx 123 " + row, b" 9 1.0 DT 1 123 Rx - " + row):
        try:
            frame = parse(text)
        except ValueError:
            continue
        assert frame is None or len(frame.payload) <= 64
