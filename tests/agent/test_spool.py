"""The spool: copies that are what was stated, within a quota, under names of ours."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

from agent.spool import FileRefused, Spool


def nothing() -> None:
    return


def given(directory: Path, content: bytes) -> tuple[int, str]:
    path = directory / "given"
    path.write_bytes(content)
    return os.open(path, os.O_RDONLY), hashlib.sha256(content).hexdigest()


def take(spool: Spool, directory: Path, content: bytes) -> str:
    source, sha256 = given(directory, content)
    try:
        spool.take(source, sha256, len(content), nothing)
    finally:
        os.close(source)
    return sha256


def test_a_copy_outlives_what_was_copied(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "files", 1000, 0)
    sha256 = take(spool, tmp_path, b"clip")
    (tmp_path / "given").write_bytes(b"other")
    again = Spool(tmp_path / "files", 1000, 0)
    assert again.has(sha256)
    descriptor = again.open(sha256)
    assert descriptor is not None
    with os.fdopen(descriptor, "rb") as file:
        assert file.read() == b"clip"
    again.remove(sha256)
    assert not again.has(sha256)
    assert list((tmp_path / "files").iterdir()) == []


@pytest.mark.parametrize(
    ("size", "sha256", "reason"),
    [
        (4, "0" * 64, "file_changed"),
        (3, hashlib.sha256(b"clip").hexdigest(), "file_changed"),
        (5, hashlib.sha256(b"clip").hexdigest(), "file_changed"),
        (2_000, hashlib.sha256(b"x" * 2_000).hexdigest(), "quota"),
    ],
)
def test_refused_with_a_reason(tmp_path: Path, size: int, sha256: str, reason: str) -> None:
    spool = Spool(tmp_path / "files", 1000, 0)
    source, _ = given(tmp_path, b"x" * 2_000 if size == 2_000 else b"clip")
    with pytest.raises(FileRefused) as refused:
        spool.take(source, sha256, size, nothing)
    os.close(source)
    assert refused.value.reason == reason == spool.why(sha256)
    assert not spool.has(sha256)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_no_name_but_ours(tmp_path: Path, name: str) -> None:
    spool = Spool(tmp_path / "files", 1000, 0)
    source, _ = given(tmp_path, b"clip")
    with pytest.raises(ValueError, match="sha256"):
        spool.take(source, name, 4, nothing)
    os.close(source)
    spool.remove(name)
    assert spool.open(name) is None


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "files", 1000, 0)
    for source in (os.open("/dev/zero", os.O_RDONLY), os.open(tmp_path, os.O_RDONLY), *os.pipe()):
        with pytest.raises(FileRefused):
            spool.take(source, "0" * 64, 4, nothing)
        os.close(source)


def test_the_oldest_make_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "files", 1000, 0)
    names = [take(spool, tmp_path, bytes([n]) * 400) for n in range(4)]
    assert [spool.has(name) for name in names] == [False, False, True, True]
    assert spool.why(names[0]) == "quota"
    assert spool.nbytes == 800
    held = {path.name for path in (tmp_path / "files").iterdir() if path.suffix != ".why"}
    assert held == set(names[2:])


def test_room_is_left_to_records(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "files", 1 << 40, 1 << 60)
    source, sha256 = given(tmp_path, b"clip")
    with pytest.raises(FileRefused, match="free"):
        spool.take(source, sha256, 4, nothing)
    os.close(source)
    assert spool.why(sha256) == "disk_full"


def test_a_kill_while_copying_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "files", 10**9, 0)
    source, sha256 = given(tmp_path, b"x" * 600_000)

    def killed() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spool.take(source, sha256, 600_000, killed)
    (tmp_path / "files" / f"{sha256}.new").write_bytes(b"half")
    again = Spool(tmp_path / "files", 10**9, 0)
    assert list((tmp_path / "files").iterdir()) == []
    again.take(source, sha256, 600_000, nothing)
    os.close(source)
    assert again.has(sha256)


def test_only_what_an_earlier_life_left_is_swept(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "files", 1000, 0)
    old, named, seen = (take(spool, tmp_path, bytes([n])) for n in range(3))
    again = Spool(tmp_path / "files", 1000, 0)
    assert again.has(seen)
    new = take(again, tmp_path, b"new")
    assert again.sweep({named}) == 1
    assert [again.has(name) for name in (old, named, seen, new)] == [False, True, True, True]


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    secret = Path(tempfile.mkdtemp(dir=tmp_path)) / "secret"
    secret.write_text("secret")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / ("0" * 64)).symlink_to(secret)
    spool = Spool(tmp_path / "files", 1000, 0)
    assert not spool.has("0" * 64)
    assert spool.open("0" * 64) is None
