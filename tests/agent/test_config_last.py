"""The configuration that is kept: whole or not there, and never with a secret in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import config_last
from agent.config import load, validated
from agent.config_files import read

TEXT = """\
[vehicle]
id = "bus-1"
[uplink]
username = "bus"
password = "env:SECRET"
ca_file = "ca.pem"
[drivers.gnss]
type = "gnss_nmea0183"
port = "/dev/gnss"
"""


@pytest.fixture
def main(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    (folder / "conf.d").mkdir(parents=True)
    (folder / "ca.pem").touch()
    (folder / "brain.toml").write_text(TEXT)
    (folder / "conf.d" / "50-line.toml").write_text("[uplink]\nwindow = 3\n")
    return folder / "brain.toml"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def test_what_is_kept_says_the_same(main: Path, state: Path) -> None:
    """Drop-ins are in it, and paths count from the files that stated them."""
    environ = {"SECRET": "x"}
    before = load(main, environ=environ)
    assert config_last.keep(state, before.tree)
    main.unlink()
    tree = config_last.last(state, main)
    assert tree is not None
    after = validated(tree, environ=environ)
    assert after.require() == before.require()
    assert after.tree.places == before.tree.places
    assert after.require().uplink.ca_file == str(main.parent / "ca.pem")
    assert (state / config_last.FILE).stat().st_mode & 0o777 == 0o600


def test_the_same_again_is_not_written(main: Path, state: Path) -> None:
    assert config_last.keep(state, read(main))
    inode = (state / config_last.FILE).stat().st_ino
    assert not config_last.keep(state, read(main))
    assert (state / config_last.FILE).stat().st_ino == inode


def test_cut_at_each_byte_it_is_not_there(main: Path, state: Path) -> None:
    config_last.keep(state, read(main))
    kept = (state / config_last.FILE).read_bytes()
    for end in range(len(kept)):
        (state / config_last.FILE).write_bytes(kept[:end])
        assert config_last.last(state, main) is None, end


@pytest.mark.parametrize(
    "kept", [b"[]", b"1", b"\xff", b'{"format": 2}', b"[" * 100_000, b'{"format": 1, "values": 1}']
)
def test_nonsense_is_not_there(kept: bytes, main: Path, state: Path) -> None:
    (state / config_last.FILE).write_bytes(kept)
    assert config_last.last(state, main) is None


@pytest.mark.parametrize(
    "line", ['[uplink]\npassword = "hunter2"\n', '[drivers.gnss]\napi_token = "hunter2"\n']
)
def test_a_secret_by_itself_is_not_kept(line: str, main: Path, state: Path) -> None:
    (main.parent / "conf.d" / "60-secret.toml").write_text(line)
    assert not config_last.keep(state, read(main))
    assert list(state.iterdir()) == []


def test_a_part_is_what_one_driver_needs(main: Path, state: Path) -> None:
    config_last.keep(state, config_last.part(read(main), ("agent",), ("drivers", "gnss")))
    tree = config_last.last(state, main)
    assert tree is not None
    assert tree.values == {"drivers": {"gnss": {"type": "gnss_nmea0183", "port": "/dev/gnss"}}}
    assert tree.place(("drivers", "gnss", "port")).line == 9
