"""What candump prints to the screen, in its dialects."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.candump_screen import parse, read


@pytest.mark.parametrize(
    ("text", "t", "can_id", "payload", "flags"),
    [
        ("  can0  18FEF100   [8]  FF 00 32 FF FF FF FF FF", 0, 0x18FEF100, "ff0032ffffffffff", "x"),
        (" (1436509052.249713)  can0  18FEF100   [2]  FF 00", 1436509052.249713, 0x18FEF100, "ff00",
         "x"),
        (" (000.000123)  vcan1  123   [0]", 0.000123, 0x123, "", ""),
        (" (2015-07-10 06:17:32.249713)  can0  123   [1]  0A", 1436509052.249713, 0x123, "0a", ""),
        ("  can0       123   [3]  11 22 33                  '.\"3'", 0, 0x123, "112233", ""),
        ("  can0  123   [2]  41 42                     'AB'", 0, 0x123, "4142", ""),
        ("  can0  123   [4]  remote request", 0, 0x123, "", "r"),
        ("  can0  18FEF100  [08]  00 01 02 03 04 05 06 07", 0, 0x18FEF100,
         "0001020304050607", "xf"),
        ("  can0  123  [12]  00 01 02 03 04 05 06 07 08 09 0A 0B", 0, 0x123,
         "000102030405060708090a0b", "f"),
        ("  can0  20000004   [8]  00 04 00 00 00 00 00 00   ERRORFRAME", 0, 0x20000004,
         "0004000000000000", "e"),
        ("  can0  RX - -  18FEF117   [1]  01", 0, 0x18FEF117, "01", "x"),
        (" (12.5)  can0  TX B E  123   [1]  01", 12.5, 0x123, "01", ""),
        ("  can0  123   {F}  00 01 02 03 04 05 06 07", 0, 0x123, "0001020304050607", ""),
        ("can0 123 [1] FF", 0, 0x123, "ff", ""),
    ],
)  # fmt: skip
def test_parse(text: str, t: float, can_id: int, payload: str, flags: str) -> None:
    frame = parse(text.encode())
    assert (frame.t, frame.can_id, frame.payload) == (t, can_id, bytes.fromhex(payload))
    names = {"x": "extended", "r": "remote", "f": "fd", "e": "error"}
    assert {key for key, name in names.items() if getattr(frame, name)} == set(flags)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("  can0  18FEF100   [8]  FF 00", "expected 8 bytes"),
        ("  can0  18FEF100   [2]  FF 00 11", "expected 2 bytes"),
        ("  can0  18FEF100   [2]  FF 0", "expected 2 bytes"),
        ("  can0  18FEF100   [9]  00 01 02 03 04 05 06 07 08", "cannot have 9 bytes|expected"),
        ("  can0  8FF   [1]  00", "8FF is no CAN identifier"),
        ("  can0  98FEF100   [1]  00", "98FEF100 is no CAN identifier"),
        ("  can0  123   [2]  00`FF", "reverse order"),
        ("  can0  123   [1]  00000001", "in binary"),
        (" (yesterday)  can0  123   [1]  00", "expected a line like"),
        (" (2015-13-10 06:17:32.249713)  can0  123   [1]  00", "no time stamp"),
        ("(12.5) can0 123#00", "expected a line like"),
    ],
)
def test_what_is_no_frame(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text.encode())


def test_stamps_that_are_differences_are_summed_up(tmp_path: Path) -> None:
    path = tmp_path / "delta.txt"
    differences = [0.0, 0.01, 0.02, 0.005, 0.01, 0.002, 0.02]
    path.write_text("".join(f" ({d:010.6f})  can0  123   [1]  00\n" for d in differences))
    assert [f.t for f in read(path)] == [0.0, 0.01, 0.03, 0.035, 0.045, 0.047, 0.067]
    path.write_text("".join(f" ({n / 8:010.6f})  can0  123   [1]  00\n" for n in range(7)))
    assert [f.t for f in read(path)] == [n / 8 for n in range(7)]


def test_lines_below_an_error_frame_and_colours(tmp_path: Path) -> None:
    path = tmp_path / "errors.txt"
    path.write_bytes(
        b"  can0  20000024   [8]  00 04 00 00 00 00 00 00   ERRORFRAME\n"
        b"\tcontroller-problem{rx-error-warning}\n"
        b"\tbus-error\n"
        b"DROPCOUNT: dropped 2 CAN frames on 'can0' socket (total drops 2)\n"
        b"\x1b[31m  can0  123   [1]  00\x1b[0m\n"
    )
    assert [(f.can_id, f.error) for f in read(path)] == [(0x20000024, True), (0x123, False)]
    path.write_bytes(b"  can0  123   [1]  00\n\tbus-error\n")
    with pytest.raises(ValueError, match=r"errors\.txt:2: "):
        list(read(path))


@given(st.binary(max_size=120))
def test_any_bytes_give_a_frame_or_value_error(text: bytes) -> None:
    try:
        frame = parse(text)
    except ValueError:
        return
    assert len(frame.payload) <= 64


@given(
    st.integers(0, 0x1FFFFFFF),
    st.binary(max_size=8),
    st.sampled_from(["", "   '........'", "\r"]),
)
def test_any_frame(can_id: int, payload: bytes, tail: str) -> None:
    cells = payload.hex(" ").upper()
    frame = parse(f" (001.500000)  can0  {can_id:08X}   [{len(payload)}]  {cells}{tail}".encode())
    assert (frame.t, frame.can_id, frame.payload, frame.extended) == (1.5, can_id, payload, True)
