"""Captures of every format: recognised by content, read back, cut off anywhere, damaged."""

from __future__ import annotations

import functools
import gzip
import itertools
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.codecs import can_log
from drivers.codecs.logged_frame import LoggedFrame

from .formats import NO_REMOTE, TEXTS, WRITERS

BEGUN = 1695284130.0


def made(what: list[tuple[int, bool, bool, bytes]], step: float = 0.25) -> list[LoggedFrame]:
    """Frames from identifier, extended, remote, bytes; `step` seconds apart."""
    return [
        LoggedFrame(
            round(BEGUN + n * step, 6),
            "1",
            can_id if extended else can_id & 0x7FF,
            b"" if remote else payload,
            extended,
            remote,
            False,
            False,
        )
        for n, (can_id, extended, remote, payload) in enumerate(what)
    ]


SAMPLE = made(
    [
        (0x18FEF100, True, False, bytes.fromhex("ff0032ffffffffff")),
        (0x0CF00400, True, False, bytes.fromhex("f0ff7dffff")),
        (0x123, False, False, b"\x11"),
        (0x100, True, False, b"\x22\x33"),
        (0x18EAFF00, True, False, b"\xec\xfe\x00"),
        (0x7FF, False, False, b"\xc8\x0c"),
    ]
)


@functools.cache
def sample(kind: str) -> bytes:
    """SAMPLE as a file; one and the same: some writers put the time or their path into it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture"
        WRITERS[kind](path, SAMPLE)
        return path.read_bytes()


def alike(frames: list[LoggedFrame]) -> list[tuple[object, ...]]:
    return [(f.t, *f[2:]) for f in frames]


frame_lists = st.lists(
    st.tuples(st.integers(0, 0x1FFFFFFF), st.booleans(), st.booleans(), st.binary(max_size=8)),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if kind != "mf4"])
@settings(max_examples=40, deadline=None)
@given(what=frame_lists)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    what: list[tuple[int, bool, bool, bytes]],
) -> None:
    if kind in NO_REMOTE:
        what = [(can_id, extended, False, payload) for can_id, extended, _, payload in what]
    frames = made(what)
    path = tmp_path_factory.mktemp("log") / "capture"
    WRITERS[kind](path, frames)
    got = list(can_log.read(path))
    if kind == "gvret":  # its readers tell 29 bits by a flag or by the number, as we do
        assert [f[2:4] for f in got] == [f[2:4] for f in frames]
    else:
        assert alike(got) == alike(frames)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("name", ["capture", "capture.log", "capture.txt.gz"])
def test_the_name_of_a_file_says_nothing(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    plain = tmp_path / ("plain" + {"mf4": ".mf4"}.get(kind, ""))
    WRITERS[kind](plain, SAMPLE)
    data = plain.read_bytes()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") and kind != "mf4" else data)
    assert alike(list(can_log.read(path))) == alike(SAMPLE)


@pytest.mark.parametrize("kind", [*TEXTS, "blf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_cut_off_anywhere(tmp_path: Path, kind: str, end: bytes) -> None:
    """All whole frames, none that was not there, and word of it, but at the end of a line."""
    path = tmp_path / "capture"
    WRITERS[kind](path, SAMPLE)
    data = path.read_bytes()
    if kind != "blf":
        data = data.replace(b"\r\n", b"\n").replace(b"\n", end)
    elif end != b"\n":
        return
    whole = alike(list(can_log.read(path)))
    assert whole == alike(SAMPLE)
    seen = set()
    for size in range(1, len(data)):
        path.write_bytes(data[:size])
        got: list[LoggedFrame] = []
        told = False
        try:
            for frame in can_log.read(path):
                got.append(frame)
        except ValueError as error:
            told = True
            assert str(error).startswith(f"{path}:")
        assert alike(got) == whole[: len(got)], data[:size][-60:]
        lines = data[:size].count(b"\n") if kind != "blf" else 0
        header = data.replace(b"\r\n", b"\n").count(b"\n") - len(SAMPLE) if kind != "blf" else 0
        header -= kind == "asc"  # its last line closes the block
        assert len(got) >= lines - header - (kind == "asc"), data[:size][-60:]
        if kind != "blf" and not told and len(got) < len(SAMPLE):
            # Nothing looks amiss: at the end of a line, or where only its end is missing.
            line = data[:size].rsplit(b"\n", 1)[-1].strip()
            assert (
                not line or len(got) > lines - header or line.startswith((b";", b"date", b"base"))
            )
        seen.add(len(got))
    assert seen >= set(range(len(SAMPLE))) or kind == "blf"


@pytest.mark.parametrize("kind", [*TEXTS, "blf"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_gives_frames_or_value_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "capture"
    content = bytearray(sample(kind))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        for frame in can_log.read(path):
            assert len(frame.payload) <= 64
            assert frame.can_id <= 0x3FFFFFFF
    except ValueError as error:
        assert str(error).startswith(f"{path}:")


def read_all(path: Path) -> tuple[list[LoggedFrame], str]:
    """The frames of a capture and what it then says is wrong."""
    got: list[LoggedFrame] = []
    try:
        for frame in can_log.read(path):
            got.append(frame)
    except ValueError as error:
        return got, str(error)
    return got, ""


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("count", [1, 2])
def test_a_damaged_line_costs_its_own_frame(tmp_path: Path, kind: str, count: int) -> None:
    path = tmp_path / "capture"
    lines = sample(kind).splitlines(keepends=True)
    before = len(lines) - len(SAMPLE) - (kind == "asc")
    for n in range(count):
        text = lines[before + 1 + n].rstrip(b" ,\r\n")
        lines[before + 1 + n] = text[:-1] + b"\xff\n"
    path.write_bytes(b"".join(lines))
    got, says = read_all(path)
    assert says.startswith(f"{path}:{before + 2}: ")
    assert ("2 damaged lines" in says) == (count == 2)
    assert alike(got) == alike(SAMPLE[:1] + SAMPLE[1 + count :])


def test_a_file_of_damaged_lines_only_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(b"(1.0) can0 123#00\n" + b"(1.0) can0 123#0\n" * 5000 + b"(9.0) can0 124#\n")
    got, says = read_all(path)
    assert [frame.can_id for frame in got] == [0x123]
    assert f"{path}:2: " in says and "given up" in says


@pytest.mark.parametrize("kind", ["csv", "gvret", "asc decimal", "trc 1.1"])
def test_a_log_that_was_gone_on_with_has_its_header_again(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "capture"
    path.write_bytes(sample(kind) * 2)
    assert alike(list(can_log.read(path))) == alike(SAMPLE) * 2


def test_a_gzipped_mf4_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "capture.mf4.gz"
    path.write_bytes(gzip.compress(b"MDF     4.10    " + bytes(100)))
    want = f"{path}: an MF4 log that is gzipped is not read; unpack it with gunzip"
    assert read_all(path) == ([], want)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            b"Dear all,\n\nfind the log attached.\n",
            r":1: no known format of a capture: 'Dear all,'",
        ),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), r":1: no known format"),
        (bytes(10_000), r":1: no known format"),
        (b"x" * 100_000, r":1: no known format"),
        (gzip.compress(b"Dear all,\n", mtime=0), r":1: no known format of a capture: 'Dear all,'"),
        (b"# a comment\nnothing\n" * 300, r":2: no known format of a capture: 'nothing'"),
        ("(1.0) can0 123#00\n".encode("utf-16"), r":1: no known format"),
        (b"$GPRMC,225444.00,A,4916.45,N,12311.12,W,000.5,054.7,191194,020.3,E*00\r\n", r":1: "),
    ],
)
def test_files_of_no_known_format(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "capture.log"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"capture\.log" + says) as told:
        list(can_log.read(path))
    assert "Vector ASC and BLF, PEAK TRC, MF4" in str(told.value)
    assert "\n" not in str(told.value)


def test_damaged_compression_is_named(tmp_path: Path) -> None:
    path = tmp_path / "capture.log"
    path.write_bytes(gzip.compress(b"(1.0) can0 123#00\n" * 1000)[:-20])
    with pytest.raises(ValueError, match=r"capture\.log:\d+: gzip data is damaged"):
        list(can_log.read(path))


def test_what_stands_before_the_first_frame_is_named(tmp_path: Path) -> None:
    path = tmp_path / "capture.log"
    path.write_bytes(b"F100#FF00\n(1.0) can0 123#00\n")
    with pytest.raises(ValueError, match=r"capture\.log:1: expected a line like '\(12\.5\) can0"):
        list(can_log.read(path))


@pytest.mark.parametrize(
    "content", [b"", b"\n\r\n", b"# only\n# comments\n", gzip.compress(b"", mtime=0)]
)
def test_files_without_anything(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "capture.log"
    path.write_bytes(content)
    assert list(can_log.read(path)) == []


def test_a_byte_order_mark_is_none_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "capture.log"
    path.write_bytes(b"\xef\xbb\xbf(1.0) can0 123#00\n")
    assert [frame.can_id for frame in can_log.read(path)] == [0x123]


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.log"):
        with pytest.raises(OSError, match=r"directory"):
            list(can_log.read(path))


@pytest.mark.parametrize("kind", [*TEXTS, "blf"])
def test_a_long_log_is_streamed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "capture"
    frame = SAMPLE[0]
    WRITERS[kind](path, [frame._replace(t=round(BEGUN + n / 1000, 6)) for n in range(20_000)])
    tracemalloc.start()
    try:
        assert sum(1 for _ in can_log.read(path)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 1_500_000
    finally:
        tracemalloc.stop()


def test_endless_zeros_packed_small_cost_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "capture.gz"
    path.write_bytes(gzip.compress(bytes(200 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="no known format"):
            list(can_log.read(path))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_duplicates_and_stamps_that_go_back_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    stamps = [5.0, 5.0, 4.0, 4.0, 9.0]
    frames = [SAMPLE[0]._replace(t=BEGUN + t) for t in stamps]
    for kind in ("candump -L", "candump -ta", "trc 1.1", "csv", "gvret", "asc decimal"):
        WRITERS[kind](path, frames)
        got = [frame.t - BEGUN for frame in itertools.islice(can_log.read(path), 9)]
        assert got == stamps, kind
