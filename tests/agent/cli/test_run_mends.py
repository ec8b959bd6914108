"""A start with a bad configuration: what came as a command is out of the way, all else is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli.run import mended, valid
from agent.commands import settable
from agent.config import ConfigInvalid

MAIN = '[vehicle]\nid = "bus-1"\n'
REMOTE = '# remote\n[store]\ncommit_interval_s = 2.0\n\n[uplink]\nformat = "json"\nwindow = 4\n'


def place(folder: Path, remote: bytes, main: str = MAIN) -> Path:
    (folder / "conf.d").mkdir(exist_ok=True)
    (folder / "conf.d" / settable.FILE).write_bytes(remote)
    (folder / "brain.toml").write_text(main)
    return folder / "brain.toml"


def starts(main: Path) -> bool:
    """As `brain run` does it."""
    try:
        valid(main)
    except ConfigInvalid as error:
        if not mended(main, error):
            return False
        valid(main)
    return True


def test_cut_at_each_byte_it_starts_and_never_with_a_torn_value(tmp_path: Path) -> None:
    for length in range(len(REMOTE) + 1):
        main = place(tmp_path, REMOTE[:length].encode())
        assert starts(main), length
        config = valid(main).require()
        assert config.store.commit_interval_s in (1.0, 2.0)
        assert config.uplink.window in (4, 6)


@pytest.mark.parametrize(
    "remote",
    [
        b"",
        b"\xff\xfe",
        b"\x00" * 100,
        b"a = 1",
        b"[store]\nx = 1",
        b"x" * 3_000_000,
        b"[vehicle]\nid=7",
    ],
)
def test_nonsense_is_put_aside(tmp_path: Path, remote: bytes) -> None:
    main = place(tmp_path, remote)
    assert starts(main)
    aside = tmp_path / "conf.d" / "zz-remote.damaged"
    assert aside.exists() == bool(remote)


def test_where_the_main_file_is_to_blame_nothing_is_touched(tmp_path: Path) -> None:
    main = place(tmp_path, REMOTE.encode(), "[vehicle]\n")
    assert not starts(main)
    assert (tmp_path / "conf.d" / settable.FILE).read_text() == REMOTE
