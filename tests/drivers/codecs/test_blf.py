"""The BLF log of Vector's tools, friendly and hostile."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from pathlib import Path

import can
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.codecs.blf import LARGEST_OBJECT, read
from drivers.codecs.logged_frame import LoggedFrame

# 2023-09-21 08:15:30.250, a Thursday
START = (2023, 9, 4, 21, 8, 15, 30, 250)
BEGUN = 1695284130.25


def header(start: tuple[int, ...] = START) -> bytes:
    head = struct.pack("<4sL8BQQLL8H8H", b"LOGG", 144, *bytes(8), 0, 0, 0, 0, *start, *start)
    return head.ljust(144, b"\0")


def item(
    kind: int, body: bytes, *, t: int = 2_000_000_000, flags: int = 2, version: int = 1
) -> bytes:
    stamp = struct.pack("<LHHQ", flags, 0, 0, t) + bytes(8 * (version - 1))
    size = 16 + len(stamp) + len(body)
    whole = struct.pack("<4sHHLL", b"LOBJ", 16 + len(stamp), version, size, kind) + stamp + body
    return whole + bytes(len(whole) % 4)


def container(content: bytes, *, method: int = 2, declared: int | None = None) -> bytes:
    packed = zlib.compress(content) if method == 2 else content
    size = 32 + len(packed)
    head = struct.pack("<4sHHLL", b"LOBJ", 16, 1, size, 10)
    whole = head + struct.pack("<H6xL4x", method, declared or len(content)) + packed
    return whole + bytes(size % 4)


def classic(can_id: int, payload: bytes, flags: int = 0, *, channel: int = 1) -> bytes:
    return struct.pack("<HBBL8s", channel, flags, len(payload), can_id, payload)


def fd(can_id: int, payload: bytes, flags: int = 1) -> bytes:
    return struct.pack("<HBBLLBBB5x64s", 1, 0, 9, can_id, 0, 0, flags, len(payload), payload)


def fd64(can_id: int, payload: bytes, flags: int, valid: int) -> bytes:
    return struct.pack("<BBBBLLLLLLLHBBL", 1, 9, valid, 0, can_id, 0, flags, *[0] * 8) + payload


def frames(path: Path) -> list[LoggedFrame]:
    return list(read(path))


@pytest.mark.parametrize(
    ("whole", "can_id", "payload", "flags"),
    [
        (item(1, classic(0x98FEF100, b"\xff\x00")), 0x18FEF100, "ff00", "x"),
        (item(86, classic(0x123, b"\x01") + bytes(8)), 0x123, "01", ""),
        (item(1, classic(0x80000100, b"\x01"), version=2), 0x100, "01", "x"),
        (item(1, classic(0x18FEF100, b"\x01")), 0x18FEF100, "01", "x"),  # the bit forgotten
        (item(1, classic(0x123, b"", 0x80)), 0x123, "", "r"),
        (item(1, classic(0x123, b"\x01"), t=200_000, flags=1), 0x123, "01", ""),  # 10 us
        (item(100, fd(0x98FEF100, b"\x01" * 12)), 0x18FEF100, "01" * 12, "xf"),
        (item(100, fd(0x98FEF100, b"\x01" * 8, 0)), 0x18FEF100, "01" * 8, "x"),  # classic CAN
        (item(101, fd64(0x123, b"\x01" * 12, 0x1000, 12)), 0x123, "01" * 12, "f"),
        (item(101, fd64(0x123, b"\x01" * 8, 0x1000, 12)), 0x123, "01" * 8 + "00" * 4, "f"),
        (item(101, fd64(0x123, b"\x01" * 8, 0, 8)), 0x123, "01" * 8, ""),
        (item(73, bytes(40)), 0x20000000, "", "e"),
        (item(2, bytes(8)), 0x20000000, "", "e"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["compressed", "stored", "bare", "gzip"])
def test_objects(
    tmp_path: Path, whole: bytes, can_id: int, payload: str, flags: str, form: str
) -> None:
    path = tmp_path / "log.blf"
    other = item(115, b"statistics" * 3)  # no multiple of four
    body = {"stored": container(other + whole, method=0), "bare": other + whole}.get(
        form, container(other + whole)
    )
    data = header() + body
    path.write_bytes(gzip.compress(data) if form == "gzip" else data)
    (frame,) = frames(path)
    assert frame.t == BEGUN + 2
    assert (frame.can_id, frame.payload) == (can_id, bytes.fromhex(payload))
    names = {"x": "extended", "r": "remote", "f": "fd", "e": "error"}
    assert {key for key, name in names.items() if getattr(frame, name)} == set(flags)


def test_an_object_may_begin_in_one_container_and_end_in_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log.blf"
    content = b"".join(item(1, classic(0x100 + n, bytes([n]))) for n in range(20))
    for cut in range(1, len(content)):
        path.write_bytes(header() + container(content[:cut]) + container(content[cut:]))
        assert [frame.can_id for frame in frames(path)] == list(range(0x100, 0x114))


def test_without_a_start_the_stamps_are_relative(tmp_path: Path) -> None:
    path = tmp_path / "log.blf"
    path.write_bytes(header((0,) * 8) + container(item(1, classic(0x123, b""))))
    assert [frame.t for frame in frames(path)] == [2.0]


ANY = item(1, classic(0x123, b"\x01"))


@pytest.mark.parametrize(
    ("tail", "says"),
    [
        (b"LOBJ" + bytes(28), "an object of 0 bytes cannot be"),  # no endless loop
        (struct.pack("<4sHHLL", b"LOBJ", 16, 1, 0xFFFFFFFF, 10), "an object of 4294967295 bytes"),
        (b"rubbish that is no object", "no object begins here"),
        (container(ANY, method=7), "compression 7 is not known"),
        (container(b"rubbish" * 5), "no object begins where one should"),
        (container(item(1, b"abc")), "an object of type 1 has"),
        (container(item(100, b"")[:20]), "cut off within an object"),
        (container(item(1, classic(1, b""), version=1).replace(b"\x20\0\x01\0", b"\x20\0\x09\0")),
         "version 9 of an object's header"),
        (container(item(100, fd(0x123, b"\0" * 33))), "a frame cannot have 33 bytes"),
        (container(bytes(LARGEST_OBJECT + 1)), "a container of more than"),
        (container(ANY)[:-6], "cut off within a container"),
        (container(ANY)[:-9] + bytes(9), "incorrect|invalid|Error"),
    ],
)  # fmt: skip
def test_damage_is_told_after_the_frames_before_it(tmp_path: Path, tail: bytes, says: str) -> None:
    path = tmp_path / "log.blf"
    good = header() + container(item(1, classic(0x321, b"")))
    path.write_bytes(good + tail)
    found = read(path)
    assert next(found).can_id == 0x321
    with pytest.raises(ValueError, match=rf"log\.blf: byte \d+: .*({says})") as told:
        list(found)
    assert int(str(told.value).split("byte ")[1].split(":")[0]) >= len(good)


def test_a_container_that_is_cut_off_gives_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "log.blf"
    whole = container(b"".join(item(1, classic(n, n.to_bytes(2, "big"))) for n in range(2000)))
    path.write_bytes(header() + whole[: len(whole) // 2])
    got = []
    with pytest.raises(ValueError, match="cut off within a container"):
        for frame in read(path):
            got.append(frame.can_id)
    assert len(got) > 500
    assert got == list(range(len(got)))


def test_a_bomb_costs_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "log.blf"
    path.write_bytes(header() + container(bytes(16 * LARGEST_OBJECT)))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="a container of more than"):
            frames(path)
        assert tracemalloc.get_traced_memory()[1] < 3 * LARGEST_OBJECT
    finally:
        tracemalloc.stop()


@settings(deadline=None)  # files
@given(
    st.lists(
        st.tuples(st.integers(0, 0x1FFFFFFF), st.booleans(), st.binary(max_size=8)), max_size=30
    )
)
def test_what_python_can_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, what: list[tuple[int, bool, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("blf") / "log.blf"
    with can.BLFWriter(path, max_container_size=200) as log:
        for n, (can_id, extended, payload) in enumerate(what):
            log.on_message_received(
                can.Message(
                    timestamp=1.7e9 + n / 1000,
                    arbitration_id=can_id if extended else can_id & 0x7FF,
                    is_extended_id=extended,
                    data=payload,
                )
            )
    assert [(f.t, f.can_id, f.extended, f.payload) for f in read(path)] == [
        (1.7e9 + n / 1000, can_id if extended else can_id & 0x7FF, extended, payload)
        for n, (can_id, extended, payload) in enumerate(what)
    ]


@settings(deadline=None)  # files
@given(st.data())
def test_any_damage_gives_frames_or_value_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = item(1, classic(0x98FEF100, b"\xff\x00")) + item(100, fd(1, b"\x01" * 12)) + ANY
    whole = header() + container(content) + container(content, method=0) + content
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("blf") / "log.blf"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        frames(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: byte ")
