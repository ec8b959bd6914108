"""The candump log reader."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.candump import line, parse, read
from drivers.codecs.logged_frame import LoggedFrame


@pytest.mark.parametrize(
    ("text", "can_id", "payload", "flags"),
    [
        ("18FEF100#FF00", 0x18FEF100, "ff00", {"extended"}),
        ("18fef100#", 0x18FEF100, "", {"extended"}),
        ("cf00400#01", 0x0CF00400, "01", {"extended"}),  # a logger that drops the zero
        ("123#11.22.33", 0x123, "112233", set()),
        ("7FF#0011223344556677_F", 0x7FF, "0011223344556677", set()),
        ("123#R", 0x123, "", {"remote"}),
        ("18EAFF00#R3", 0x18EAFF00, "", {"extended", "remote"}),
        ("123##1" + "AB" * 12, 0x123, "ab" * 12, {"fd"}),
        ("20000004#0004000000000000", 0x20000004, "0004000000000000", {"error"}),
        ("123#00 R", 0x123, "00", set()),
    ],
)
def test_parse(text: str, can_id: int, payload: str, flags: set[str]) -> None:
    frame = parse(f"(1701363725.986550) can0 {text}".encode())
    assert frame[:4] == (1701363725.98655, "can0", can_id, bytes.fromhex(payload))
    assert {name for name in ("extended", "remote", "fd", "error") if getattr(frame, name)} == flags


@pytest.mark.parametrize(
    "corrupt",
    [
        "(1701363725.98",
        "18FEF100#FF00",
        "(1701363725.986550) can0 18FEF100",
        "(1701363725.986550) can0 18FEF100#FF0",  # half a byte
        "(1701363725.986550) can0 18FEF100#FFGG",
        "(1701363725.986550) can0 8FF#00",  # more than 11 bits
        "(1701363725.986550) can0 98FEF100#00",
        "(1701363725.986550) can0 18FEF100#001122334455667788",  # nine bytes
        "(1701363725.986550) can0 123##1" + "00" * 65,
        "(nan) can0 123#00",
        " can0  18FEF100   [8]  FF FF FF FF FF FF FF FF",  # another format of candump
        "\x00\xff\xfe",
    ],
)
def test_corrupt_lines_name_file_and_line(tmp_path: Path, corrupt: str) -> None:
    path = tmp_path / "broken.log"
    path.write_bytes(b"# a comment\n\n(1.0) can0 123#00\r\n" + corrupt.encode("latin-1") + b"\n")
    frames = read(path)
    assert next(frames).can_id == 0x123
    with pytest.raises(ValueError, match=r"broken\.log:4: "):
        next(frames)


def test_plain_and_gzip_are_told_by_content(tmp_path: Path) -> None:
    text = b"(1.5) can0 18FEF100#FF00\n(1.6) vcan1 18FEF117#00\n"
    (tmp_path / "a.log").write_bytes(text)
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(text))
    (tmp_path / "c.log").write_bytes(gzip.compress(text))
    plain = list(read(tmp_path / "a.log"))
    assert [(f.t, f.interface) for f in plain] == [(1.5, "can0"), (1.6, "vcan1")]
    assert list(read(tmp_path / "b.log.gz")) == plain
    assert list(read(tmp_path / "c.log")) == plain


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_gzip_names_file_and_line(tmp_path: Path, damage: str) -> None:
    text = b"".join(b"(%d.0) can0 18FEF100#%08X\n" % (n, n * 7919) for n in range(5000))
    packed = bytearray(gzip.compress(text))
    if damage == "cut":
        del packed[len(packed) // 2 :]
    else:
        packed[-6] ^= 1  # in the checksum
    path = tmp_path / "x.log.gz"
    path.write_bytes(packed)
    with pytest.raises(ValueError, match=r"x\.log\.gz:\d+: "):
        list(read(path))


def test_an_empty_capture_has_no_frames(tmp_path: Path) -> None:
    (tmp_path / "a.log").touch()
    assert list(read(tmp_path / "a.log")) == []


def test_a_file_without_lines_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "zeros"
    path.write_bytes(bytes(1 << 20))
    with pytest.raises(ValueError, match="zeros:1: "):
        list(read(path))


@given(st.binary(max_size=80))
def test_any_bytes_give_a_frame_or_value_error(text: bytes) -> None:
    try:
        frame = parse(text)
    except ValueError:
        return
    assert len(frame.payload) <= 64


@given(
    st.decimals(0, 10**10, places=6, allow_nan=False),
    st.integers(0, 0x1FFFFFFF),
    st.binary(max_size=8),
)
def test_what_candump_writes_is_read(t: object, can_id: int, payload: bytes) -> None:
    frame = parse(f"({t}) can0 {can_id:08X}#{payload.hex().upper()}".encode())
    assert (frame.t, frame.can_id, frame.payload) == (float(str(t)), can_id, payload)
    assert frame.extended


@given(
    st.builds(
        LoggedFrame,
        st.integers(0, 4 * 10**15).map(lambda us: us / 1e6),
        st.sampled_from(["can0", "vcan1", "1"]),
        st.integers(0, 0x7FF),
        st.binary(max_size=8),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    )
)
def test_what_is_written_is_read(frame: LoggedFrame) -> None:
    if frame.error:
        frame = frame._replace(can_id=0x20000004, extended=False, remote=False, fd=False)
    elif frame.extended:
        frame = frame._replace(can_id=frame.can_id << 18 | 0xF100)
    if frame.remote:
        frame = frame._replace(payload=b"", fd=False)
    text = line(frame)
    assert text.endswith(b"\n") and text.count(b"\n") == 1
    assert parse(text[:-1]) == frame


def test_the_line_is_the_one_of_can_utils() -> None:
    frame = LoggedFrame(12.5, "can0", 0x0CF00400, b"\xff\x00", True, False, False, False)
    assert line(frame) == b"(12.500000) can0 0CF00400#FF00\n"
    assert line(frame._replace(fd=True)) == b"(12.500000) can0 0CF00400##0FF00\n"
