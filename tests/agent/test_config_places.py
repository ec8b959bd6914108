"""The run and the state directory, by the rule of the documentation."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent import config_places
from agent.config_places import (
    PlaceUnusable,
    make_run_directory,
    run_directory,
    state_directory,
)


@pytest.fixture(autouse=True)
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(config_places, "SYSTEM_RUN", tmp_path / "run-brain")
    monkeypatch.setattr(config_places, "SYSTEM_STATE", tmp_path / "var-lib-brain")
    return tmp_path


def test_the_run_directory(system: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": "/run/user/5", "TMPDIR": "/t"}
    assert run_directory(None, {"TMPDIR": "/t"}) == Path(f"/t/brain-{os.getuid()}")
    assert run_directory("", environ) == Path("/run/user/5/brain")
    (system / "run-brain").mkdir()
    assert run_directory(None, environ) == system / "run-brain"
    assert run_directory("/own", environ) == Path("/own")
    assert run_directory("own", environ) == Path.cwd() / "own"


def test_the_state_directory(system: Path) -> None:
    run = Path("/r")
    assert state_directory(None, run, own_run_dir=False) == Path("/r/state")
    (system / "var-lib-brain").mkdir()
    assert state_directory("", run, own_run_dir=False) == system / "var-lib-brain"
    assert state_directory("/own", run, own_run_dir=False) == Path("/own")
    # A simulation beside a real agent keeps off its outbox.
    assert state_directory(None, run, own_run_dir=True) == Path("/r/state")
    real = system / "run-brain"
    assert state_directory(None, real, own_run_dir=True) == system / "var-lib-brain"


def test_the_run_directory_is_made_for_us_alone(tmp_path: Path) -> None:
    make_run_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    make_run_directory(tmp_path / "a" / "b")


def test_a_run_directory_that_cannot_be_used_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PlaceUnusable, match="longer than"):
        make_run_directory(tmp_path / ("x" * 110))
    (tmp_path / "file").touch()
    with pytest.raises(PlaceUnusable, match="--run-dir"):
        make_run_directory(tmp_path / "file")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(PlaceUnusable, match="belongs to user"):
        make_run_directory(tmp_path)
